"""Checks before a command starts, and before the imports that take seconds: names, expressions, files and folders.

Every command is checked here once, from the command line and from Python. Recipes rely on it.
"""

from __future__ import annotations

import os
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
from unlearn_cli.recipes.catalogue import KINDS
from unlearn_cli.recipes.scoring import benchmark_splits, check_expressions
from unlearn_cli.recipes.storage.output_files import check_file
from unlearn_cli.recipes.storage.run_folder import RunFolder, default_output
from unlearn_cli.recipes.sweeping import grid
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
        grid.check(config)
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
    check_expressions.check(config, report)
    check_expressions.check_metric_parameters(getattr(config, "metric_parameters", {}))
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
        METHODS.get(config.method).resolve(config.parameters)  # a typing error is refused 3 s earlier than in the recipe
        RunFolder(config.output_dir or default_output(config)).check(resume=config.resume, overwrite=config.overwrite)


def check_required(config: ForgetConfig) -> None:
    """Check that a run of `unlearn forget` has rows and a model, and that its options do not exclude each other.

    Raises:
        UnlearnError: it has not, or they do.
    """
    benchmark = benchmark_splits.chosen(config)
    if benchmark and not config.forget:
        benchmark.trained()
    if config.neighbors and not config.about:
        raise UnlearnError("--neighbors is for --about", "--about NAME")
    if not (config.forget or benchmark or config.about):
        raise UnlearnError("no rows to forget are given", "--forget forget.jsonl; `unlearn forget --help` shows the formats")
    if not (config.model or config.run):
        raise UnlearnError("no model is given", "--model FOLDER_OR_HUB_ID")
    if config.resume and config.overwrite:
        raise UnlearnError("--resume and --overwrite exclude each other", "--resume continues, --overwrite starts anew")
    if config.load_in_4bit and config.load_in_8bit:
        raise UnlearnError("--load-in-4bit and --load-in-8bit exclude each other", "leave one of the two out")


def check_measurable(config: EvaluateConfig) -> None:
    """Check that `unlearn evaluate` has one model to measure, and a folder to write into.

    Raises:
        UnlearnError: it has not.
    """
    if not (config.run or config.model or config.measured):
        raise UnlearnError("nothing to evaluate", "unlearn evaluate RUN, or --model FOLDER_OR_HUB_ID")
    named = {"RUN": config.run, "--model": config.model, "--measured": config.measured}
    given = [name for name, value in named.items() if value]
    same = config.run and config.model and Path(config.model).resolve() == config.run.resolve()
    if len(given) > 1 and not (same and not config.measured):
        exported = [f"UNLEARN_{name.strip('-').upper()}" for name in given]
        raise UnlearnError(
            f"{' and '.join(given)} are given, but only one model is measured",
            f"leave one out; a variable counts as given: unset {' '.join(n for n in exported if n in os.environ)}"
            if any(n in os.environ for n in exported)
            else "leave one out",
        )
    if config.output_dir is None and (config.measured or not config.run) and not config.json_output:
        raise UnlearnError(
            "missing --output-dir", "-o DIR keeps the measurements and the report; --json prints the report alone"
        )


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
    named = {name: getattr(config, name, None) for name in check_expressions.DATA}
    named["attack"] = getattr(config, "attack_data", None)
    named["retain_eval"] = getattr(config, "retain_eval", None)
    if named.get("retain") == AUTO and (isinstance(config, ForgettingOptions) or getattr(config, "run", None)):
        del named["retain"]
    return ((name, spec) for name, spec in named.items() if spec)


def _listed(value: Any) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,) if value else ()
