"""The settings of a sweep: methods, options, parameters, seeds, each combination once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from unlearn_cli.config import DataOptions, ForgetConfig, MeasuringOptions, SweepConfig, runtime_fields
from unlearn_cli.contract import METHODS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import is_file, unknown


@dataclass
class Setting:
    """One point of the grid, and what came of it."""

    name: str  # of its folder
    values: dict[str, Any]  # of ForgetConfig
    score: float | None = None
    status: str = ""
    seconds: dict[str, float] = field(default_factory=dict)  # spent on it by this sweep, by phase


def settings_of(config: SweepConfig) -> list[Setting]:
    """Every combination.

    Raises:
        UnlearnError: an unknown name, an option that a sweep cannot vary, or a combination that comes twice.
    """
    made = list(_combinations(config))
    names = [setting.name for setting in made]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UnlearnError(f"{twice} is asked for twice", "give each method, value and seed once")
    return made


def _combinations(config: SweepConfig) -> Iterator[Setting]:
    methods = list(config.methods) or [config.method]
    _check_options(config.grid)
    seeds = list(config.seeds) or [config.seed]
    for method in methods:
        varied = _parameters(config, methods, method)
        for values in product(*config.grid.values()):
            for chosen in product(*varied.values()):
                for seed in seeds:
                    options = dict(zip(config.grid, values, strict=True))
                    parameters = dict(zip(varied, chosen, strict=True))
                    yield Setting(
                        _name(method, {**options, **parameters}, seed if len(seeds) > 1 else None),
                        {"method": method, "seed": seed, "parameters": parameters, **options},
                    )


def _check_options(grid: dict[str, Any]) -> None:
    fixed = set(MeasuringOptions.model_fields) | set(DataOptions.model_fields)
    own = {"method": "--methods", "seed": "--seeds", "parameters": "-p"}
    free = sorted(set(ForgetConfig.model_fields) - runtime_fields(ForgetConfig) - fixed - set(own))
    for name in grid:
        if name in fixed:
            raise UnlearnError(
                f"--grid {name}: a sweep compares its runs, so all have the same rows and are measured alike",
                f"give --{name.replace('_', '-')} once, and sweep again into another folder",
            )
        if name in own:
            raise UnlearnError(f"--grid {name} has a flag of its own", f"{own[name]} varies it")
        if name not in free:
            raise unknown("option of --grid", name, free)


def _parameters(config: SweepConfig, methods: Sequence[str], method: str) -> dict[str, tuple[Any, ...]]:
    """The values of this method's parameters; a name without a method counts for those that have it."""
    own, made = METHODS.get(method), {}
    for key, values in config.parameters.items():
        owner, dot, name = key.rpartition(".")
        owner = owner.replace("_", "-")
        if dot and owner not in [m.replace("_", "-") for m in methods]:
            raise unknown("method in -p", owner, methods)
        if not dot and not any(name in METHODS.get(m).parameters for m in methods):
            raise unknown("parameter", name, [p for m in methods for p in METHODS.get(m).parameters])
        if (dot and owner == method.replace("_", "-")) or (not dot and name in own.parameters):
            for value in values:
                own.resolve({name: value})
            made[name] = values
    return made


def _name(method: str, varied: dict[str, Any], seed: int | None) -> str:
    stem = Path(method).stem if is_file(method) else method
    parts = [stem, *(f"{name}={value}" for name, value in varied.items()), *([f"seed={seed}"] if seed is not None else [])]
    return "-".join(parts).replace("/", "_").replace(" ", "")
