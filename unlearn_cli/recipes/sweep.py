"""`unlearn sweep`: many settings on one base in memory, each with its own run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unlearn_cli.config import CompareConfig, SweepConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data import row_notes
from unlearn_cli.data.example import Split
from unlearn_cli.data.overlap import check_overlap
from unlearn_cli.data.written import AUTO
from unlearn_cli.errors import EXIT_DIVERGED, EXIT_FAILED, UnlearnError
from unlearn_cli.jsonfile import to_json
from unlearn_cli.recipes import compare
from unlearn_cli.recipes.forgetting import dry_run
from unlearn_cli.recipes.forgetting.resolve import resolve_method
from unlearn_cli.recipes.forgetting.resolved_run import resolve_on_model
from unlearn_cli.recipes.forgetting.tracking import check_tracker
from unlearn_cli.recipes.scoring.splits import load_splits
from unlearn_cli.recipes.storage.lock import check_free, locked
from unlearn_cli.recipes.sweeping import cluster, grid, ray_queue, workers
from unlearn_cli.recipes.sweeping.execution import Executor, counted
from unlearn_cli.recipes.sweeping.manifest import Manifest
from unlearn_cli.recipes.sweeping.schedule import RankedRun, ScheduledRun, Scheduler, better_half, ranked, writes_retain

if TYPE_CHECKING:
    from unlearn_cli.recipes.sweeping.search import Search

SHARES = (0.25, 0.5, 1.0)  # of the full training, in the rounds of --halving


def run(
    config: SweepConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[dict[str, Any], list[ScheduledRun]]:
    """Run every setting that is not finished yet, and compare all runs.

    Returns:
        the comparison, or with `dry_run` the planned runs, as plain values; and the runs, best first.

    Raises:
        UnlearnError: before the first run, a problem that the user can fix; afterwards, no run was finished.
        Interrupted: a signal stopped the sweep; the same command continues it.
    """
    folder = grid.output_folder(config)
    check_free(folder)
    with nullcontext() if config.dry_run else locked(folder):
        return _run(config, sources, command_line, reporter)


def _run(
    config: SweepConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[dict[str, Any], list[ScheduledRun]]:
    """See `run`. No other process writes into the folder meanwhile."""
    check_tracker(config.report_to)
    places = _places(config)
    settings = grid.settings_of(config)
    if writes_retain(config, settings):  # for all its runs, so that they are compared on the same rows
        config = config.model_copy(update={"retain": AUTO})
    manifest = Manifest(grid.output_folder(config))
    splits = _load_splits(config, reporter)
    scheduler = Scheduler(config, sources, splits, manifest)
    if config.search:
        from unlearn_cli.recipes.sweeping.search import Search  # noqa: PLC0415 - Optuna is an extra

        search = Search(config, scheduler, manifest)
        return _search(search, splits, Executor(config, command_line, manifest, places, reporter), reporter)
    shares = SHARES if config.halving else (1.0,)
    first, *_ = [scheduler.round(settings, share) for share in shares]  # all rounds, so that errors of later ones come now
    reporter.say(f"{counted(len(settings), 'setting')} in {config.output_dir}")
    if config.dry_run:
        return _dry_run(config, first, splits, reporter), first
    executor = Executor(config, command_line, manifest, places, reporter)
    best = _run_rounds(config, first, scheduler, executor, reporter)
    return _result(best, executor, reporter)


def _places(config: SweepConfig) -> workers.Places:
    """Where the runs are executed: in the queue of a launcher, or on devices of this machine.

    Raises:
        UnlearnError: there are fewer devices than jobs, or options exclude each other.
    """
    device, jobs = config.device, config.jobs
    if config.launcher == "ray":
        ray = ray_queue.RayQueue(config.launcher_options, gpu=device != "cpu")
        return lambda tasks, cache: ray_queue.outcomes(tasks, ray, device, jobs)
    if config.launcher == "submitit":
        with TemporaryDirectory() if config.dry_run else nullcontext(grid.output_folder(config)) as folder:
            queue = cluster.executor(Path(folder), config.launcher_options, gpu=device != "cpu")
        return lambda tasks, cache: cluster.outcomes(tasks, queue, device, jobs)
    if config.device_map != "none" and config.jobs != 1:
        raise UnlearnError("--jobs gives each run a device, and --device-map auto gives each run all of them", "--jobs 1")
    devices = workers.devices(config.device, config.jobs)
    return lambda tasks, cache: workers.outcomes(tasks, devices, cache)


def _result(best: list[RankedRun], executor: Executor, reporter: Reporter) -> tuple[dict[str, Any], list[ScheduledRun]]:
    if not best:
        raise UnlearnError("no run was finished", "the messages above say why", EXIT_FAILED)
    result = _compare(best, reporter)
    result["sweep"] = executor.cost(best)
    _say_result(result["sweep"], best, reporter)
    return result, [one.run for one in best]


def _search(
    search: Search, splits: Mapping[str, Split], executor: Executor, reporter: Reporter
) -> tuple[dict[str, Any], list[ScheduledRun]]:
    """Choose settings one by one, run them, and compare those that were not pruned."""
    config = search.config
    reporter.say(f"{counted(config.search or 0, 'setting')} by search, in {config.output_dir}")
    for name, values in search.space_in_words().items():
        reporter.say(f"  {name}: {values}")
    if config.dry_run:
        runs = [*search.earlier(), *filter(None, [search.next()])]
        return _dry_run(config, runs, splits, reporter), runs
    executor.search(search)
    finished = [run for run in search.earlier() if run.state == "finished"]
    best = search.ranked(finished)
    result, runs = _result(best, executor, reporter)
    result["search"] = search.summary(best)
    reporter.say(result["search"]["in_words"])
    if not result["search"]["keeps"]:
        reporter.note("no setting kept enough of the retain rows: the best is shown; other ranges may contain a better one")
    return result, runs


def _load_splits(config: SweepConfig, reporter: Reporter) -> dict[str, Split]:
    splits = load_splits(config)
    check_overlap(splits, allow=config.allow_overlap)
    for note in row_notes.notes(splits):
        reporter.note(note)
    return splits


def _dry_run(
    config: SweepConfig, runs: Sequence[ScheduledRun], splits: Mapping[str, Split], reporter: Reporter
) -> dict[str, Any]:
    """Show the names and states of the runs, and the plan of the first run."""
    for run in runs:
        reporter.say(f"  {run.setting.name}: {run.state}")
    reporter.say(f"\nthe first, {runs[0].setting.name}:")
    first = dry_run.show(resolve_on_model(resolve_method(runs[0].config, runs[0].sources), splits, reporter))
    states = [{"name": run.setting.name, "state": run.state} for run in runs]
    result = {"command": "sweep", "runs": states, "first": first}
    if config.json_output:
        reporter.data(to_json(result))
    dry_run.check_fits(first, reporter)
    return result


def _run_rounds(
    config: SweepConfig, first: list[ScheduledRun], scheduler: Scheduler, executor: Executor, reporter: Reporter
) -> list[RankedRun]:
    """Run the rounds, each with the better half of the one before. Returns the runs of the last round, best first."""
    runs, settings = first, [run.setting for run in first]
    best: list[RankedRun] = []
    score = config.score.value if config.score else None
    for share in (*SHARES[1:], None) if config.halving else (None,):
        executor.execute(runs)
        best = ranked(executor.finished(runs), score) or best
        if share is None or not best or executor.left_out(runs):
            break
        if all(one.score is None for one in best):
            reporter.note(f"no run has a value of --score {config.score}: the better half is not known, so the sweep ends")
            break
        better = better_half(best, settings)
        reporter.say(f"kept: {', '.join(dict.fromkeys(setting.group for setting in better))}")
        runs = scheduler.round(better, share)
    return best


def _compare(best: Sequence[RankedRun], reporter: Reporter) -> dict[str, Any]:
    # All runs have the same rows and limits. Only what was known of the model's own chat template can differ.
    config = CompareConfig(runs=tuple(one.run.folder for one in best), allow_different=True)
    result, _ = compare.run(config, {}, reporter)
    scores = {one.run.folder.name: one.score for one in best}
    for row in result["runs"]:
        row["score"] = scores.get(Path(row["name"]).name)
    return result


def _say_result(cost: Mapping[str, Any], best: Sequence[RankedRun], reporter: Reporter) -> None:
    reporter.say(cost["in_words"])
    if best[0].run.share < 1:
        reporter.note(
            f"no run was trained in full: {best[0].setting.name} is the best after {best[0].run.share:.0%} of the training; "
            "the same command with a larger --budget-minutes continues"
        )
    if cost["failed"] == len(best):
        reporter.note(f"none of {len(best)} runs ended well: {', '.join(sorted({one.status for one in best}))}")


def exit_code(result: dict[str, Any]) -> int:
    """The exit code: 4 if no run ended well, as for a single run."""
    cost = result.get("sweep")
    return EXIT_DIVERGED if cost and cost["failed"] == cost["runs"] else 0
