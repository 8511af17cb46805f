"""What `unlearn sweep` refuses, as far as it is known before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from pydantic import ValidationError

from unlearn_cli.assignments import ends, range_of
from unlearn_cli.config import DataOptions, ForgetConfig, MeasuringOptions, SweepConfig, runtime_fields
from unlearn_cli.errors import UnlearnError, plain_reason
from unlearn_cli.recipes.storage.output_files import why_not_writable
from unlearn_cli.registry import unknown


def check(config: SweepConfig) -> None:
    """Refuse an impossible sweep, as far as it is known before anything is loaded.

    Raises:
        UnlearnError: there is no folder for the runs, or a sweep cannot have an option or a value.
    """
    if config.output_dir is None:
        raise UnlearnError("no folder for the runs", "-o DIR gets a run folder for each setting")
    if why := why_not_writable(config.output_dir):
        raise UnlearnError(f"--output-dir {config.output_dir} cannot be written: {why}", "another --output-dir")
    for flag, varied in (("--grid", config.grid), ("-p", config.parameters)):
        for name, values in varied.items():
            _check_ranges(f"{flag} {name}", values, config)
    for name, values in config.grid.items():
        _check_option(name)
        for value in ends(values):
            _check_value(name, value)
    if config.launcher_options and config.launcher == "none":
        raise UnlearnError("--launcher-option is for a sweep in a cluster's queue", "add --launcher submitit or ray")
    if config.launcher != "none" and config.search and not config.jobs:
        raise UnlearnError("--jobs 0 submits all runs, and a search chooses each from earlier ones", "--jobs 4, for example")
    if config.search:
        _check_search(config)


def _check_ranges(named: str, values: Sequence[Any], config: SweepConfig) -> None:
    """Refuse a wrong range, a range beside other values, and a range without a search."""
    ranges = []
    for value in values:
        try:
            ranges += [value] if range_of(value) else []
        except ValueError as error:
            raise UnlearnError(f"{named}={value}: {error}", f"{named}=1e-4:1e-2:log, for example") from None
    if ranges and not config.search:
        raise UnlearnError(
            f"{named}={ranges[0]} is a range: a grid has single values", "--search 20 chooses 20 values in it"
        )
    if ranges and len(values) > 1:
        raise UnlearnError(f"{named} has a range and other values", "give one range, or single values")


def _check_search(config: SweepConfig) -> None:
    """Refuse a search that varies nothing, or has options of a grid."""
    if config.halving:
        raise UnlearnError("--halving is for a grid", "a search itself ends bad runs early")
    if len(config.seeds) > 1:
        raise UnlearnError(
            "--search runs each setting with one seed, which --seed gives",
            "leave --seeds out; a later sweep of the best setting with --seeds 0,1,2 shows how much of it was luck",
        )
    varied = [*config.grid.values(), *config.parameters.values()]
    if len(config.methods) < 2 and not any(len(ends(values)) > 1 for values in varied):
        raise UnlearnError("the search varies nothing", "--grid learning_rate=1e-4:1e-2:log, --methods npo,simnpo or -p")
    if find_spec("optuna") is None:
        raise UnlearnError("--search needs Optuna", "pip install 'unlearn-cli[search]'")


def _check_option(name: str) -> None:
    fixed = set(MeasuringOptions.model_fields) | set(DataOptions.model_fields) | {"allow_overlap"}
    flags = {"method": "--methods", "seed": "--seeds", "parameters": "-p"}
    free = sorted(set(ForgetConfig.model_fields) - runtime_fields(ForgetConfig) - fixed - set(flags))
    if name in fixed:
        raise UnlearnError(
            f"--grid {name}: a sweep compares its runs, so all have the same rows and the same measurements",
            f"give --{name.replace('_', '-')} once, and sweep again into another folder",
        )
    if name in flags:
        raise UnlearnError(f"--grid {name} has its own flag", f"{flags[name]} varies it")
    if name not in free:
        raise unknown("option of --grid", name, free)


def _check_value(name: str, value: Any) -> None:
    """Refuse a value that `unlearn forget` refuses."""
    try:
        ForgetConfig.model_validate({name: value})
    except ValidationError as error:
        why = plain_reason(error.errors()[0]["msg"])
        raise UnlearnError(f"--grid {name}={value}: {why}", ForgetConfig.model_fields[name].description) from None
