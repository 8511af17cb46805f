"""Checks before a command starts, and before the imports that take seconds: names, expressions, files and folders.

Every command is checked here once, from the command line and from Python. Recipes rely on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unlearn_cli.config import (
    EvaluateConfig,
    ForgetConfig,
    ForgettingOptions,
    ModelOptions,
    Options,
    PlacementOptions,
    SweepConfig,
    VerifyConfig,
)
from unlearn_cli.contract import METHODS
from unlearn_cli.data.files import find_files
from unlearn_cli.data.hub_spec import PREFIX
from unlearn_cli.data.written import AUTO
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.run_files import ABOUT
from unlearn_cli.models.source import check_spec
from unlearn_cli.recipes.catalogue.entries import KINDS
from unlearn_cli.recipes.checking import expressions, sweep
from unlearn_cli.recipes.checking.required import check_measurable, check_required
from unlearn_cli.recipes.scoring.metric_parameters import check_metric_parameters
from unlearn_cli.recipes.storage.output_files import check_file
from unlearn_cli.recipes.storage.run_folder import RunFolder, default_output
from unlearn_cli.registry import is_file
from unlearn_cli.rendering.plots import check_drawable
from unlearn_cli.report import read_report
from unlearn_cli.values import extra_of


def check(config: Options) -> None:
    """Refuse settings that cannot work.

    Raises:
        UnlearnError: an unknown name, an expression without a value, a missing or an unwritable file, or a missing setting.
    """
    _check_names(config)
    if isinstance(config, SweepConfig):
        sweep.check(config)
    if plot := getattr(config, "plot", None):
        check_drawable(plot)
    for flag in ("plot", "junit"):
        if path := getattr(config, flag, None):
            check_file(f"--{flag}", path)
    if type(config) is ForgetConfig:  # not for a sweep, which may vary any of these settings
        check_required(config)
    if isinstance(config, EvaluateConfig):
        check_measurable(config)
    if isinstance(config, PlacementOptions) and config.max_memory and config.device_map == "none":
        raise UnlearnError("--max-memory is for a base on several devices", "add --device-map auto, or leave it out")
    run, measured = getattr(config, "run", None), getattr(config, "measured", None)
    # `verify` has to name an edited report even if it can no longer be read.
    report = read_report(run) if run and not measured and not isinstance(config, VerifyConfig) else None
    expressions.check(config, report)
    check_metric_parameters(getattr(config, "metric_parameters", {}))
    if isinstance(config, ModelOptions) and config.model:
        check_spec(config.model, config.revision, config.base)
    given = getattr(config, "baseline", None) or ()
    baselines = (given,) if isinstance(given, str) else given
    if measured or isinstance(given, Path):  # folders of measurements, and in `compare` of a report
        baselines = ()
    for baseline in baselines:
        check_spec(baseline)
        if (Path(baseline).expanduser() / ABOUT).is_file():
            raise UnlearnError(
                f"--baseline {baseline} is a run of `unlearn forget`, whose model has seen the forget rows",
                "give a model trained without the forget rows",
            )
    for name, spec in _data(config):
        if (name, spec) == ("retain", AUTO):
            raise UnlearnError("--retain auto: rows are written by `unlearn forget`, and read from its run", "--retain FILE")
        if not spec.startswith(PREFIX) and not (name in ("forget", "retain") and getattr(config, "about", None)):
            find_files(name, spec)
    if type(config) is ForgetConfig:
        # A typing error is refused 3 s earlier than in the recipe. That reads the parameters again, because a sweep's runs
        # come to it unchecked, and `resolve_method` would otherwise take both given and resolved values.
        METHODS.get(config.method).resolve(config.parameters)
        RunFolder(config.output_dir or default_output(config)).check(resume=config.resume, overwrite=config.overwrite)


def _check_names(config: Options) -> None:
    for name, field in type(config).model_fields.items():
        kind = extra_of(field).get("names")
        if kind is None:
            continue
        for given in _listed(getattr(config, name)):
            if not is_file(given):
                KINDS[kind].canonical(given)
            elif not Path(given.strip()).expanduser().is_file():
                KINDS[kind].get(given)


def _data(config: Options) -> Iterator[tuple[str, str]]:
    """The split and the value of each data option that is given."""
    named = {name: getattr(config, name, None) for name in expressions.DATA}
    named["attack"] = getattr(config, "attack_data", None)
    named["retain_eval"] = getattr(config, "retain_eval", None)
    if named.get("retain") == AUTO and (isinstance(config, ForgettingOptions) or getattr(config, "run", None)):
        del named["retain"]
    return ((name, spec) for name, spec in named.items() if spec)


def _listed(value: Any) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,) if value else ()
