"""The settings of a sweep: methods, options, parameters, seeds, each combination once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unlearn_cli.config import DataOptions, ForgetConfig, MeasuringOptions, SweepConfig, runtime_fields
from unlearn_cli.contract import METHODS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.storage.output_files import why_not_writable
from unlearn_cli.registry import is_file, unknown


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    name: str  # of its folder
    group: str  # the name without the seed
    values: dict[str, Any]  # of ForgetConfig


def output_folder(config: SweepConfig) -> Path:
    """The folder of the run folders.

    Raises:
        UnlearnError: none was given.
    """
    if config.output_dir is None:
        raise UnlearnError("no folder for the runs", "-o DIR holds a run folder for each setting")
    return config.output_dir


def check(config: SweepConfig) -> None:
    """Refuse a sweep that is not possible, as far as that is known before anything is loaded.

    Raises:
        UnlearnError: no folder for the runs, or an option, a value or a score that a sweep cannot have.
    """
    if why := why_not_writable(output_folder(config)):
        raise UnlearnError(f"--output-dir {config.output_dir} cannot be written: {why}", "another --output-dir")
    for name, values in config.grid.items():
        _check_option(name)
        for value in values:
            _check_value(name, value)


def settings_of(config: SweepConfig) -> list[Setting]:
    """Every combination.

    Raises:
        UnlearnError: an unknown name, or a combination that comes twice.
    """
    settings = list(_combinations(config))
    names = [setting.name for setting in settings]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise UnlearnError(f"{duplicate} is asked for twice", "give each method, value and seed once")
    return settings


def _combinations(config: SweepConfig) -> Iterator[Setting]:
    methods = list(config.methods) or [config.method]
    seeds = list(config.seeds) or [config.seed]
    for method in methods:
        varied = _parameters(config, methods, method)
        for values in product(*config.grid.values()):
            for chosen in product(*varied.values()):
                options = dict(zip(config.grid, values, strict=True))
                parameters = dict(zip(varied, chosen, strict=True))
                group = _name(method, {**options, **parameters})
                for seed in seeds:
                    name = f"{group}-seed={seed}" if len(seeds) > 1 else group
                    yield Setting(name, group, {"method": method, "seed": seed, "parameters": parameters, **options})


def _check_option(name: str) -> None:
    fixed = set(MeasuringOptions.model_fields) | set(DataOptions.model_fields) | {"allow_overlap"}
    flags = {"method": "--methods", "seed": "--seeds", "parameters": "-p"}
    free = sorted(set(ForgetConfig.model_fields) - runtime_fields(ForgetConfig) - fixed - set(flags))
    if name in fixed:
        raise UnlearnError(
            f"--grid {name}: a sweep compares its runs, so all have the same rows and are measured alike",
            f"give --{name.replace('_', '-')} once, and sweep again into another folder",
        )
    if name in flags:
        raise UnlearnError(f"--grid {name} has a flag of its own", f"{flags[name]} varies it")
    if name not in free:
        raise unknown("option of --grid", name, free)


def _check_value(name: str, value: Any) -> None:
    """Refuse a value that `unlearn forget` refuses."""
    try:
        ForgetConfig.model_validate({name: value})
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UnlearnError(f"--grid {name}={value}: {why}", ForgetConfig.model_fields[name].description) from None


def _parameters(config: SweepConfig, methods: Sequence[str], method: str) -> dict[str, tuple[Any, ...]]:
    """The values of this method's parameters. A name without a method is for every method that has the parameter."""
    declared, varied = METHODS.get(method), {}
    for key, values in config.parameters.items():
        owner, dot, name = key.rpartition(".")
        owner = owner.replace("_", "-")
        if dot and owner not in [m.replace("_", "-") for m in methods]:
            raise unknown("method in -p", owner, methods)
        if not dot and not any(name in METHODS.get(m).parameters for m in methods):
            raise unknown("parameter", name, [p for m in methods for p in METHODS.get(m).parameters])
        if (dot and owner == method.replace("_", "-")) or (not dot and name in declared.parameters):
            for value in values:
                declared.resolve({name: value})
            varied[name] = values
    return varied


def _name(method: str, varied: dict[str, Any]) -> str:
    stem = Path(method).stem if is_file(method) else method
    return "-".join([stem, *(f"{name}={value}" for name, value in varied.items())]).replace("/", "_").replace(" ", "")
