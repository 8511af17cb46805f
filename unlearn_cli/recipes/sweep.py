"""`unlearn sweep`: many settings on one base in memory, each a run folder of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.config import CompareConfig, ForgetConfig, SweepConfig, runtime_fields
from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.errors import EXIT_DIVERGED, EXIT_FAILED, UnlearnError
from unlearn_cli.evaluation.gates import Missing, arithmetic, lookup_in
from unlearn_cli.models.identity import identity
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes import compare, forget, parallel
from unlearn_cli.recipes.grid import Setting, settings_of
from unlearn_cli.recipes.inputs import load_splits
from unlearn_cli.recipes.ledger import Asked, Ledger, State
from unlearn_cli.recipes.parallel import Outcome, Task
from unlearn_cli.recipes.settle import settle_method
from unlearn_cli.report import FILE, read_report

SHARES = (0.25, 0.5, 1.0)  # of the epochs, in the rounds of --halving
FAILED = ("diverged", "collapsed", "no_effect")


@dataclass(frozen=True)
class Planned:
    """A setting in one round."""

    setting: Setting
    config: ForgetConfig  # with the folder it goes to
    sources: dict[str, str]
    asked: Asked
    state: State

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.config.output_dir


def run(
    config: SweepConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[dict[str, Any], list[Planned]]:
    """Run every setting that is not finished yet, and compare them all. Returns what was found, and the runs, best first.

    Raises:
        UnlearnError: anything the user can mend, before the first run; or no run was finished.
        Interrupted: stopped by a signal; the same command goes on.
    """
    if config.output_dir is None:
        raise UnlearnError("no folder for the runs", "-o DIR holds a run folder for each setting")
    devices = parallel.devices(config.device, config.jobs)
    score = arithmetic(config.score, metrics=[name.replace("-", "_") for name in METRICS.names()])
    settings, ledger = settings_of(config), Ledger(config.output_dir)
    share, *later = SHARES if config.halving else (1.0,)
    planned = _planned(config, sources, settings, share, ledger)
    reporter.say(f"{len(settings)} settings in {config.output_dir}")
    if config.dry_run:
        _tell_plan(planned, sources, command_line, reporter)
        return {}, planned
    began, made = time.perf_counter(), list[Outcome]()
    best: list[Planned] = []
    while planned:
        tasks = _tasks(planned, share, config, command_line, ledger, began, reporter)
        for outcome in parallel.outcomes(tasks, devices):
            _tell(outcome, reporter)
            made.append(outcome)
        best = _ranked([p for p in planned if (p.folder / FILE).is_file()], made, score) or best
        if not later or not best:
            break
        kept = best[: max(1, (len(best) + 1) // 2)]
        share = later.pop(0)
        reporter.say(f"kept: {', '.join(p.setting.name for p in kept)}")
        planned = _planned(config, sources, [p.setting for p in kept], share, ledger)
    if not best:
        raise UnlearnError("no run was finished", "see what was said above", EXIT_FAILED)
    told = _compared(best, reporter)
    told["sweep"] = _cost(best, made, time.perf_counter() - began)
    reporter.say(told["sweep"]["in_words"])
    if told["sweep"]["failed"] == len(best):
        reporter.note(f"none of {len(best)} runs ended well: {', '.join(sorted({p.setting.status for p in best}))}")
    return told, best


def _planned(
    config: SweepConfig, sources: dict[str, str], settings: Sequence[Setting], share: float, ledger: Ledger
) -> list[Planned]:
    """What is asked of each folder, and how far it is; nothing is run if any of it cannot be asked."""
    made = []
    data = {name: split.origin.sha256 for name, split in load_splits(config).items()}
    shared = {name: getattr(config, name) for name in ForgetConfig.model_fields if hasattr(config, name)}
    given = {name: sources.get(name, "default") for name in ForgetConfig.model_fields}
    for setting in settings:
        folder = config.output_dir / (setting.name if share == 1 else f"{setting.name}-at-{share:g}")
        own = ForgetConfig.model_validate({**shared, **setting.values, "output_dir": folder, "overwrite": False})
        origins = given | dict.fromkeys(setting.values, "sweep")
        try:
            settled = settle_method(own, origins).config
        except UnlearnError as error:
            raise UnlearnError(f"{setting.name}: {error.message}", error.hint) from None
        if share < 1:
            name = "max_steps" if settled.max_steps else "epochs"
            part = max(1, round(settled.max_steps * share)) if settled.max_steps else settled.epochs * share
            own, settled = (c.model_copy(update={name: part}) for c in (own, settled))
            origins[name] = "sweep"
        source = resolve_source(own.model, own.revision)
        asked = Asked(
            settled.model_dump(mode="json", exclude=runtime_fields(ForgetConfig)),
            identity(source, own, own.dtype, own.device),
            data,
        )
        state = ledger.state(folder.name, asked, overwrite=config.overwrite)
        made.append(Planned(setting, own, origins, asked, state))
    return made


def _tasks(
    planned: Sequence[Planned],
    share: float,
    config: SweepConfig,
    command_line: list[str],
    ledger: Ledger,
    began: float,
    reporter: Reporter,
) -> Iterator[Task]:
    """Runs that are still to be made, one when it is asked for, until the time is spent."""
    part = f" at {share:g} of the length" if share < 1 else ""
    for place, one in enumerate(planned, 1):
        where = f"run {place} of {len(planned)}: {one.setting.name}{part}"
        if one.state == "finished":
            reporter.say(f"{where}, finished before")
            continue
        if config.budget_minutes is not None and (time.perf_counter() - began) / 60 > config.budget_minutes:
            left = sum(p.state != "finished" for p in planned[place - 1 :])
            reporter.note(f"the budget of {config.budget_minutes:g} minutes is spent: {left} runs left out")
            return
        reporter.say(f"{where}, goes on" if one.state == "started" else where)
        full = one.folder.is_dir() and any(one.folder.iterdir())
        if one.state == "new":
            (one.folder / FILE).unlink(
                missing_ok=True
            )  # or it would be taken for this setting's, were this run stopped early
        ledger.note(one.folder.name, one.asked)
        how = {"resume": one.state == "started", "overwrite": one.state == "new" and full}
        # What an earlier run measured before: the same weights and rows, or it is not taken.
        others = (p.parent for p in sorted(config.output_dir.glob("*/measured/before-forget.safetensors")))
        measured = next((path for path in others if path.parent != one.folder), None)
        yield Task(one.folder.name, one.config.model_copy(update=how), one.sources, command_line, measured)


def _tell_plan(planned: Sequence[Planned], sources: dict[str, str], command_line: list[str], reporter: Reporter) -> None:
    """Names and states, and the plan of the first run."""
    for one in planned:
        reporter.say(f"  {one.setting.name}: {one.state}")
    reporter.say(f"\nthe first, {planned[0].setting.name}:")
    forget.run(planned[0].config, planned[0].sources, command_line, reporter)


def _tell(outcome: Outcome, reporter: Reporter) -> None:
    if outcome.error:
        reporter.note(f"{outcome.name}: {outcome.error}")
    if outcome.finished:
        shown = [f"{name} {value:.3f}" for name, value in outcome.shown.items()]
        reporter.say(
            f"{outcome.name}: {', '.join([outcome.status, *shown])}; {outcome.seconds.get('train', 0):.0f} s training"
        )


def _ranked(planned: list[Planned], made: list[Outcome], score: Callable[..., float]) -> list[Planned]:
    """Finished runs, the best first; one whose score cannot be told is last."""
    failed = {outcome.name for outcome in made if not outcome.finished}
    held = [one for one in planned if one.folder.name not in failed and (one.state == "finished" or _made(one, made))]
    for one in held:
        report = read_report(one.folder)
        one.setting.status = report.status
        try:
            one.setting.score = score(lookup_in(report.scores))
        except Missing:
            one.setting.score = None
    return sorted(held, key=lambda one: (one.setting.score is None, -(one.setting.score or 0.0)))


def _made(one: Planned, made: list[Outcome]) -> bool:
    return any(outcome.name == one.folder.name and outcome.finished for outcome in made)


def _compared(best: Sequence[Planned], reporter: Reporter) -> dict[str, Any]:
    # All have the same rows and limits; what may differ is how far a model's own template was known.
    told, _ = compare.run(CompareConfig(runs=tuple(one.folder for one in best), allow_different=True), {}, reporter)
    scores = {one.folder.name: one.setting.score for one in best}
    for one in told["runs"]:
        one["score"] = scores.get(Path(one["name"]).name)
    return told


def _cost(best: Sequence[Planned], made: Sequence[Outcome], wall: float) -> dict[str, Any]:
    """What this sweep took, and what beyond training."""
    phases: dict[str, float] = {}
    for outcome in made:
        for name, seconds in outcome.seconds.items():
            phases[name] = phases.get(name, 0.0) + seconds
    training = phases.get("train", 0.0)
    measuring = phases.get("measure before", 0.0) + phases.get("measure after", 0.0)
    # The reference's pass is a part of "prepare".
    other = sum(phases.values()) - training - measuring - phases.get("reference", 0.0)
    loads, each = sum(outcome.loads for outcome in made), max(1, len(made))
    words = f"{len(best)} runs compared, {len(made)} of them made now"
    if made:
        words += f": model loaded {loads} time{'s' * (loads != 1)}; {wall:.0f} s in all, for each run "
        parts = {"training": training, "measuring": measuring, "anything else": other}
        words += ", ".join(f"{seconds / each:.1f} s of {name}" for name, seconds in parts.items())
    return {
        "runs": len(best),
        "made": len(made),
        "failed": sum(one.setting.status in FAILED for one in best),
        "loads": loads,
        "seconds": wall,
        "training": training,
        "measuring": measuring,
        "other": other,
        "in_words": words,
    }


def exit_code(told: dict[str, Any]) -> int:
    """4 if no run ended well, as for a single run."""
    found = told.get("sweep")
    return EXIT_DIVERGED if found and found["failed"] == found["runs"] else 0
