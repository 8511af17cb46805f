"""The settings of a sweep: each combination of methods, options, parameters and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unlearn_cli.assignments import range_of
from unlearn_cli.config import DataOptions, ForgetConfig, MeasuringOptions, SweepConfig, runtime_fields
from unlearn_cli.contract import METHODS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.storage.output_files import why_not_writable
from unlearn_cli.registry import is_file, unknown


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    name: str  # of its run folder
    group: str  # the name without the seed
    values: dict[str, Any]  # settings of `unlearn forget`


def output_folder(config: SweepConfig) -> Path:
    """The folder of the run folders.

    Raises:
        UnlearnError: none was given.
    """
    if config.output_dir is None:
        raise UnlearnError("no folder for the runs", "-o DIR gets a run folder for each setting")
    return config.output_dir


def check(config: SweepConfig) -> None:
    """Refuse an impossible sweep, as far as it is known before anything is loaded.

    Raises:
        UnlearnError: there is no folder for the runs, or a sweep cannot have an option or a value.
    """
    if why := why_not_writable(output_folder(config)):
        raise UnlearnError(f"--output-dir {config.output_dir} cannot be written: {why}", "another --output-dir")
    for flag, varied in (("--grid", config.grid), ("-p", config.parameters)):
        for name, values in varied.items():
            _check_ranges(f"{flag} {name}", values, config)
    for name, values in config.grid.items():
        _check_option(name)
        for value in ends(values):
            _check_value(name, value)
    if config.launcher_options and config.launcher == "none":
        raise UnlearnError("--launcher-option is for a sweep in a cluster's queue", "add --launcher submitit")
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


def ends(values: Sequence[Any]) -> Sequence[Any]:
    """The values; if there is a range in their place, its two ends."""
    between = range_of(values[0]) if len(values) == 1 else None
    return (between.low, between.high) if between else values


def settings_of(config: SweepConfig) -> list[Setting]:
    """Every combination. A range counts with its two ends.

    Raises:
        UnlearnError: an unknown name, a value that a method does not take, or a combination that is given twice.
    """
    settings = list(_combinations(config))
    names = [setting.name for setting in settings]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise UnlearnError(f"{duplicate} is given twice", "give each method, value and seed once")
    return settings


def _combinations(config: SweepConfig) -> Iterator[Setting]:
    methods = list(config.methods) or [config.method]
    seeds = list(config.seeds) or [config.seed]
    for method in methods:
        varied = parameters(config, methods, method)
        for name, values in varied.items():
            for value in ends(values):
                METHODS.get(method).resolve({name: value})
        for values in product(*map(ends, config.grid.values())):
            for chosen in product(*map(ends, varied.values())):
                options = dict(zip(config.grid, values, strict=True))
                own = dict(zip(varied, chosen, strict=True))
                yield from (setting(method, options, own, seed, alone=len(seeds) == 1) for seed in seeds)


def setting(method: str, options: Mapping[str, Any], own: Mapping[str, Any], seed: int, *, alone: bool = True) -> Setting:
    """A setting, from options and the method's own parameters. `alone`: no other setting differs only in its seed."""
    group = _name(method, {**options, **own})
    values = {"method": method, "seed": seed, "parameters": dict(own), **options}
    return Setting(group if alone else f"{group}-seed={seed}", group, values)


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
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UnlearnError(f"--grid {name}={value}: {why}", ForgetConfig.model_fields[name].description) from None


def parameters(config: SweepConfig, methods: Sequence[str], method: str) -> dict[str, tuple[Any, ...]]:
    """The values of this method's parameters. A name without a method is for every method that has the parameter.

    Raises:
        UnlearnError: an unknown name.
    """
    declared, varied = METHODS.get(method), {}
    for key, values in config.parameters.items():
        owner, dot, name = key.rpartition(".")
        owner = owner.replace("_", "-")
        if dot and owner not in [m.replace("_", "-") for m in methods]:
            raise unknown("method in -p", owner, methods)
        if not dot and not any(name in METHODS.get(m).parameters for m in methods):
            raise unknown("parameter", name, [p for m in methods for p in METHODS.get(m).parameters])
        if (dot and owner == method.replace("_", "-")) or (not dot and name in declared.parameters):
            varied[name] = values
    return varied


def _name(method: str, varied: dict[str, Any]) -> str:
    stem = Path(method).stem if is_file(method) else method
    return "-".join([stem, *(f"{name}={value}" for name, value in varied.items())]).replace("/", "_").replace(" ", "")
