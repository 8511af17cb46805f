"""The settings of a sweep: each combination of methods, options, parameters and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from unlearn_cli.assignments import ends
from unlearn_cli.config import SweepConfig
from unlearn_cli.contract import METHODS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import is_file, unknown


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    name: str  # of its run folder
    group: str  # the name without the seed
    values: dict[str, Any]  # settings of `unlearn forget`


def output_folder(config: SweepConfig) -> Path:
    """The folder of the run folders."""
    assert config.output_dir is not None  # refused before, see `checking/sweep.py`
    return config.output_dir


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
