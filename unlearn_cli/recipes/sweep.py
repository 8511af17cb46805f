"""`unlearn sweep`: many settings on one base in memory, each a run folder of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from unlearn_cli.config import CompareConfig, ForgetConfig, SweepConfig, runtime_fields
from unlearn_cli.console import Reporter
from unlearn_cli.contract import METHODS, METRICS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.gates import Missing, arithmetic, lookup_in
from unlearn_cli.models.kept import KeptModel
from unlearn_cli.recipes import compare, forget
from unlearn_cli.registry import is_file, unknown
from unlearn_cli.report import FILE, RunReport, read_report

SHARES = (0.25, 0.5, 1.0)  # of the epochs, in the rounds of --halving
EPOCHS = 5.0


@dataclass
class Setting:
    """One point of the grid."""

    name: str  # of its folder
    values: dict[str, Any]  # of ForgetConfig
    score: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def run(
    config: SweepConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[dict[str, Any], list[Setting]]:
    """Run every setting that is not finished yet, and compare them all.

    Raises:
        UnlearnError: anything the user can mend before the first run.
    """
    if config.output_dir is None:
        raise UnlearnError("nowhere to write to", "-o DIR holds a folder for each run")
    score = arithmetic(config.score, metrics=[name.replace("-", "_") for name in METRICS.names()])
    settings = list(_settings(config, sources))
    reporter.say(f"{len(settings)} settings in {config.output_dir}")
    kept, began = KeptModel(), time.perf_counter()
    rounds = SHARES if config.halving else (1.0,)
    finished: list[Setting] = []
    for number, share in enumerate(rounds):
        finished = []
        for place, setting in enumerate(settings, 1):
            spent = (time.perf_counter() - began) / 60
            if config.budget_minutes is not None and spent > config.budget_minutes:
                reporter.note(
                    f"the budget of {config.budget_minutes:g} minutes is spent: {len(settings) - place + 1} runs left out"
                )
                break
            reporter.say(
                f"run {place} of {len(settings)}: {setting.name}" + (f" at {share:g} of the epochs" if share < 1 else "")
            )
            made = _one(config, sources, command_line, setting, share, kept, reporter)
            if made is not None:
                setting.score = _scored(score, made)
                setting.seconds = {name: value for name, value in made.seconds.items()}
                finished.append(setting)
        if number < len(rounds) - 1:
            ranked = sorted((s for s in finished if s.score is not None), key=lambda s: -s.score)
            settings = ranked[: max(1, (len(ranked) + 1) // 2)]
            reporter.say(f"kept: {', '.join(s.name for s in settings)}")
    if not finished:
        raise UnlearnError("no run was finished", "see what was said above; --budget-minutes may be too small")
    told = _compared(config, finished, reporter)
    told["sweep"] = _cost(finished, kept, time.perf_counter() - began)
    reporter.say(told["sweep"]["in_words"])
    return told, finished


def _settings(config: SweepConfig, sources: dict[str, str]) -> Iterator[Setting]:
    """The grid: methods, options, parameters, seeds."""
    methods = list(config.methods) or [config.method]
    for name in config.grid:
        if name not in ForgetConfig.model_fields or name in runtime_fields(ForgetConfig):
            raise unknown("option of --grid", name, sorted(set(ForgetConfig.model_fields) - runtime_fields(ForgetConfig)))
    seeds = [int(seed) for seed in config.seeds] or [config.seed]
    for method in methods:
        own = METHODS.get(method)
        varied = _parameters(config, methods, method, own)
        for values in product(*config.grid.values()):
            for chosen in product(*varied.values()):
                for seed in seeds:
                    options = dict(zip(config.grid, values, strict=True))
                    parameters = dict(zip(varied, chosen, strict=True))
                    yield Setting(
                        _name(method, {**options, **parameters}, seed if len(seeds) > 1 else None),
                        {"method": method, "seed": seed, "parameters": parameters, **options},
                    )


def _parameters(config: SweepConfig, methods: list[str], method: str, own: Any) -> dict[str, tuple[Any, ...]]:
    """The values of this method's parameters; a name without a method counts for those that have it."""
    made = {}
    for key, values in config.parameters.items():
        owner, dot, name = key.rpartition(".")
        owner = owner.replace("_", "-")
        if dot and owner not in [m.replace("_", "-") for m in methods]:
            raise unknown("method in -p", owner, methods)
        if not dot and not any(name in METHODS.get(m).parameters for m in methods):
            raise unknown("parameter", name, [p for m in methods for p in METHODS.get(m).parameters])
        if (dot and owner == method.replace("_", "-")) or (not dot and name in own.parameters):
            own.resolve({name: values[0]})
            made[name] = values
    return made


def _name(method: str, varied: dict[str, Any], seed: int | None) -> str:
    stem = Path(method).stem if is_file(method) else method
    parts = [stem, *(f"{name}={value}" for name, value in varied.items()), *([f"seed={seed}"] if seed is not None else [])]
    return "-".join(parts).replace("/", "_").replace(" ", "")


def _one(
    config: SweepConfig,
    sources: dict[str, str],
    argv: list[str],
    setting: Setting,
    share: float,
    kept: KeptModel,
    reporter: Reporter,
) -> RunReport | None:
    """One run, or its report if it is finished; None if it cannot be made."""
    folder = config.output_dir / (setting.name if share == 1 else f"{setting.name}-at-{share:g}")
    own = {name: getattr(config, name) for name in ForgetConfig.model_fields} | setting.values
    given = {name: origin for name, origin in sources.items() if name in ForgetConfig.model_fields}
    given |= {name: "sweep" for name in setting.values}
    if share < 1:
        epochs = own["epochs"] or getattr(METHODS.get(setting.values["method"]).defaults, "epochs", EPOCHS)
        own["epochs"], given["epochs"] = epochs * share, "sweep"
    finished = _finished(folder, own, given)
    if finished is not None:
        reporter.say("finished before")
        return finished
    own |= {"output_dir": folder, "overwrite": (folder / FILE).is_file(), "resume": (folder / "plan.json").is_file()}
    own["resume"] = own["resume"] and not own["overwrite"]
    quiet = Reporter(quiet=True)
    try:
        made = forget.run(
            ForgetConfig.model_validate(own), given, argv, quiet, show=False, load=kept.load, measured=_measured(config)
        )
    except UnlearnError as error:
        reporter.note(f"{setting.name}: {error.message}")
        return read_report(folder) if (folder / FILE).is_file() else None
    reporter.say(_in_short(made))
    return made


def _finished(folder: Path, own: dict[str, Any], given: dict[str, str]) -> RunReport | None:
    """The report of a finished run of these settings; what nobody has given may have been filled in since."""
    if not (folder / FILE).is_file():
        return None
    report = read_report(folder)
    asked = ForgetConfig.model_validate(own).model_dump(mode="json")
    for name, origin in given.items():
        if origin == "default" or name in runtime_fields(ForgetConfig):
            continue
        held = report.config.get(name)
        if name == "parameters":
            held = {key: held.get(key) for key in asked[name]}
        if held != asked[name]:
            return None
    return report


def _measured(config: SweepConfig) -> Path | None:
    """Where an earlier run of the sweep keeps what it measured before."""
    return next((path.parent for path in sorted(config.output_dir.glob("*/measured/before-forget.safetensors"))), None)


def _in_short(report: RunReport) -> str:
    shown = []
    for split in ("forget", "retain"):
        both = report.scores.get(split, {}).get("probability")
        if both and both.after and both.after.value is not None:
            shown.append(f"{split}.probability {both.after.value:.3f}")
    return f"{report.status}: {', '.join(shown)}; {report.seconds.get('train', 0.0):.0f} s of training"


def _scored(score: Any, report: RunReport) -> float | None:
    try:
        return score(lookup_in(report.scores))
    except Missing:
        return None


def _compared(config: SweepConfig, finished: list[Setting], reporter: Reporter) -> dict[str, Any]:
    ranked = sorted(finished, key=lambda s: (s.score is None, -(s.score or 0.0)))
    folders = tuple(config.output_dir / setting.name for setting in ranked)
    told, _ = compare.run(CompareConfig(runs=folders), {}, reporter)
    scores = {setting.name: setting.score for setting in ranked}
    for one in told["runs"]:
        one["score"] = scores.get(Path(one["name"]).name)
    return told


def _cost(finished: list[Setting], kept: KeptModel, wall: float) -> dict[str, Any]:
    """What the sweep cost beyond training."""
    training = sum(s.seconds.get("train", 0.0) for s in finished)
    beside = sum(sum(v for k, v in s.seconds.items() if k != "train") for s in finished) / len(finished)
    words = (
        f"{len(finished)} runs, model loaded {kept.loads} times; {wall:.0f} s in all, {training:.0f} s of them training; "
        f"{beside:.1f} s beside training for each run"
    )
    return {
        "runs": len(finished),
        "loads": kept.loads,
        "seconds": wall,
        "training": training,
        "beside": beside,
        "in_words": words,
    }
