"""`unlearn sweep`: many settings on one base in memory, each a run folder of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from unlearn_cli.config import CompareConfig, SweepConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data import row_notes
from unlearn_cli.data.example import Split
from unlearn_cli.data.overlap import check_overlap
from unlearn_cli.errors import EXIT_DIVERGED, EXIT_FAILED, UnlearnError
from unlearn_cli.models.model_cache import ModelCache
from unlearn_cli.recipes import compare
from unlearn_cli.recipes.forgetting import dry_run
from unlearn_cli.recipes.forgetting.resolve import settle_method
from unlearn_cli.recipes.forgetting.tracking import check_tracker
from unlearn_cli.recipes.scoring.splits import load_splits
from unlearn_cli.recipes.storage.lock import check_free, locked
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.recipes.sweeping import grid, workers
from unlearn_cli.recipes.sweeping.grid import Setting
from unlearn_cli.recipes.sweeping.manifest import Ledger
from unlearn_cli.recipes.sweeping.schedule import Planned, planned, ranked
from unlearn_cli.recipes.sweeping.workers import Outcome, Task

SHARES = (0.25, 0.5, 1.0)  # of the epochs, in the rounds of --halving


def run(
    config: SweepConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[dict[str, Any], list[Planned]]:
    """Run every setting that is not finished yet, and compare them all.

    Returns:
        what was found, or with `dry_run` what would be run, as plain values; and the runs, best first.

    Raises:
        UnlearnError: anything the user can mend, before the first run; or no run was finished.
        Interrupted: stopped by a signal; the same command goes on.
    """
    check_free(config.output_dir)
    with nullcontext() if config.dry_run else locked(config.output_dir):
        return _run(config, sources, command_line, reporter)


def _run(
    config: SweepConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[dict[str, Any], list[Planned]]:
    """As `run`, in a folder that no other process writes into."""
    grid.check(config)
    check_tracker(config.report_to)
    devices = workers.devices(config.device, config.jobs)
    settings, ledger = grid.settings_of(config), Ledger(config.output_dir)
    texts = load_splits(config)
    if "retain" in texts:
        check_overlap(texts["forget"].examples, texts["retain"].examples, allow=config.allow_overlap)
    for note in row_notes.notes(texts):
        reporter.note(note)
    share, *later = SHARES if config.halving else (1.0,)
    runs = planned(config, sources, settings, texts, share, ledger)
    for longer in later:
        planned(config, sources, settings, texts, longer, ledger)  # refuses now what would end a later round
    reporter.say(f"{_counted(len(settings), 'setting')} in {config.output_dir}")
    if config.dry_run:
        told = _plan(runs, texts, reporter)
        if config.json_output:
            reporter.data(dry_run.dumps(told))
        dry_run.check_fits(told["first"], reporter)
        return told, runs
    began, made = time.perf_counter(), list[Outcome]()
    best: list[Planned] = []
    cache = ModelCache()  # over all rounds
    while True:
        tasks = _tasks(runs, config, command_line, ledger, began, reporter)
        for outcome in workers.outcomes(tasks, devices, cache):
            _tell(outcome, reporter)
            made.append(outcome)
        ended = {outcome.name: outcome.finished for outcome in made}
        done = [one for one in runs if ended.get(one.folder.name, one.state == "finished")]
        best = ranked(done, config.score.value) or best
        left_out = any(one.state != "finished" and one.folder.name not in ended for one in runs)
        if not later or not best or left_out:
            break
        if all(one.setting.score is None for one in best):
            reporter.note(f"no run has a value of --score {config.score}: there is no better half to go on with")
            break
        kept = _better_half(best, settings)
        share = later.pop(0)
        reporter.say(f"kept: {', '.join(dict.fromkeys(setting.group for setting in kept))}")
        runs = planned(config, sources, kept, texts, share, ledger)
    if not best:
        raise UnlearnError("no run was finished", "see what was said above", EXIT_FAILED)
    told = _compared(best, reporter)
    told["sweep"] = _cost(best, made, time.perf_counter() - began)
    reporter.say(told["sweep"]["in_words"])
    if best[0].share < 1:
        reporter.note(
            f"no run was trained in full: {best[0].setting.name} is the best after {best[0].share:.0%} of the training; "
            "the same command with a larger --budget-minutes goes on"
        )
    if told["sweep"]["failed"] == len(best):
        reporter.note(f"none of {len(best)} runs ended well: {', '.join(sorted({p.setting.status for p in best}))}")
    return told, best


def _better_half(best: Sequence[Planned], settings: Sequence[Setting]) -> list[Setting]:
    """The settings that go on, with all their seeds."""
    groups = list(dict.fromkeys(one.setting.group for one in best))
    kept = groups[: (len(groups) + 1) // 2]
    return [setting for group in kept for setting in settings if setting.group == group]


def _tasks(
    runs: Sequence[Planned],
    config: SweepConfig,
    command_line: list[str],
    ledger: Ledger,
    began: float,
    reporter: Reporter,
) -> Iterator[Task]:
    """Runs that are still to be made, one when it is asked for, until the time is spent."""
    for place, one in enumerate(runs, 1):
        part = f" at {one.share:g} of the length" if one.share < 1 else ""
        where = f"run {place} of {len(runs)}: {one.setting.name}{part}"
        if one.state == "finished":
            reporter.say(f"{where}, finished before")
            continue
        if config.budget_minutes is not None and (time.perf_counter() - began) / 60 > config.budget_minutes:
            left = sum(p.state != "finished" for p in runs[place - 1 :])
            reporter.note(f"the budget of {config.budget_minutes:g} minutes is spent: {_counted(left, 'run')} left out")
            return
        reporter.say(f"{where}, goes on" if one.state == "started" else where)
        if one.state == "new" and one.folder.is_dir():
            # Before the ledger says whose the folder is: what is left in it would be taken for this setting's.
            folder = RunFolder(one.folder)
            folder.check(resume=False, overwrite=config.overwrite)
            folder.open(clear=True)
        ledger.note(one.folder.name, one.spec)
        # What an earlier run measured before: the same weights and rows, or it is not taken.
        others = (p.parent for p in sorted(config.output_dir.glob("*/measured/before-forget.safetensors")))
        measured = next((path for path in others if path.parent != one.folder), None)
        settings = one.config.model_copy(update={"resume": one.state == "started"})
        yield Task(one.folder.name, settings, one.sources, command_line, measured)


def _plan(runs: Sequence[Planned], texts: Mapping[str, Split], reporter: Reporter) -> dict[str, Any]:
    """Names and states, and the plan of the first run."""
    for one in runs:
        reporter.say(f"  {one.setting.name}: {one.state}")
    first = runs[0]
    reporter.say(f"\nthe first, {first.setting.name}:")
    told = dry_run.show(settle_method(first.config, first.sources), texts, reporter)
    return {"command": "sweep", "runs": [{"name": p.setting.name, "state": p.state} for p in runs], "first": told}


def _tell(outcome: Outcome, reporter: Reporter) -> None:
    if outcome.error:
        reporter.note(f"{outcome.name}: {outcome.error}")
    if outcome.finished:
        shown = [f"{name} {value:.3f}" for name, value in outcome.shown.items()]
        reporter.say(
            f"{outcome.name}: {', '.join([outcome.status, *shown])}; {outcome.seconds.get('train', 0):.0f} s training"
        )


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
    words = f"{_counted(len(best), 'run')} compared, {len(made)} made now"
    if made:
        words += f": model loaded {_counted(loads, 'time')}; {wall:.0f} s in all, for each run "
        parts = {"training": training, "measuring": measuring, "anything else": other}
        words += ", ".join(f"{seconds / each:.1f} s of {name}" for name, seconds in parts.items())
    return {
        "runs": len(best),
        "made": len(made),
        "share": best[0].share,
        "failed": sum(one.failed for one in best),
        "loads": loads,
        "seconds": wall,
        "training": training,
        "measuring": measuring,
        "other": other,
        "in_words": words,
    }


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def exit_code(told: dict[str, Any]) -> int:
    """4 if no run ended well, as for a single run."""
    found = told.get("sweep")
    return EXIT_DIVERGED if found and found["failed"] == found["runs"] else 0
