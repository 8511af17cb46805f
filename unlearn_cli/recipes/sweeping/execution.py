"""Execute the runs of a sweep: choose the next run, print progress, and sum up the cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from unlearn_cli.config import SweepConfig
from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.model_cache import ModelCache
from unlearn_cli.recipes.forgetting.interrupt import keeping
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.recipes.sweeping import workers
from unlearn_cli.recipes.sweeping.grid import output_folder
from unlearn_cli.recipes.sweeping.manifest import Manifest
from unlearn_cli.recipes.sweeping.schedule import RankedRun, ScheduledRun
from unlearn_cli.recipes.sweeping.workers import Outcome, Task

if TYPE_CHECKING:
    from unlearn_cli.recipes.sweeping.search import Search  # Optuna is an extra


class Executor:
    """Executes runs until the time budget is spent. All rounds use one model in memory."""

    def __init__(
        self,
        config: SweepConfig,
        command_line: list[str],
        manifest: Manifest,
        places: workers.Places,
        reporter: Reporter,
    ) -> None:
        self._config, self._command_line, self._manifest = config, command_line, manifest
        self._places, self._reporter = places, reporter
        self._cache = ModelCache()
        self._started = time.perf_counter()
        self._outcomes: list[Outcome] = []

    def execute(self, runs: Sequence[ScheduledRun]) -> None:
        """Execute the runs that are not finished.

        Raises:
            Interrupted: a signal stopped a run.
        """
        open_runs = sum(run.state != "finished" for run in runs)
        self._execute(self._tasks(runs, len(runs), open_runs))

    def search(self, search: Search) -> None:
        """Execute the runs of a search. Each run is chosen when a device is free.

        Raises:
            Interrupted: a signal stopped a run.
        """
        count, open_runs = search.config.search or 0, search.left
        if open_runs < count:
            self._reporter.say(f"{count - open_runs} of {counted(count, 'setting')} were tried before")
        self._execute(self._tasks(search.runs(), count, open_runs, search), search)

    def _execute(self, tasks: Iterator[Task], search: Search | None = None) -> None:
        with keeping("the runs so far"), closing(self._places(tasks, self._cache)) as outcomes:
            for outcome in outcomes:
                if search and outcome.pruned is not None:
                    search.prune(outcome.name, outcome.pruned)
                if outcome.of_storage:
                    hint = "make room there, or let it be written, and give the same command again: it continues"
                    raise UnlearnError(f"{outcome.name}: {outcome.error}", hint)
                _say_outcome(outcome, self._reporter)
                self._outcomes.append(outcome)

    def finished(self, runs: Sequence[ScheduledRun]) -> list[ScheduledRun]:
        """The runs that have a report of this sweep."""
        finished = {outcome.name: outcome.finished for outcome in self._outcomes}
        return [run for run in runs if finished.get(run.folder.name, run.state == "finished")]

    def left_out(self, runs: Sequence[ScheduledRun]) -> bool:
        """Whether some runs were not executed, because the time budget was spent."""
        executed = {outcome.name for outcome in self._outcomes}
        return any(run.state != "finished" and run.folder.name not in executed for run in runs)

    def _tasks(
        self, runs: Iterable[ScheduledRun], count: int, open_runs: int, search: Search | None = None
    ) -> Iterator[Task]:
        """The tasks of runs that are not finished, `open_runs` of `count`, until the budget is spent.

        A task is created when a device is free.
        """
        budget = self._config.budget_minutes
        for number, run in enumerate(runs, count - open_runs + 1 if search else 1):
            length = f" at {run.share:g} of the length" if run.share < 1 else ""
            title = f"run {number} of {count}: {run.setting.name}{length}"
            if run.state == "finished":
                self._reporter.say(f"{title}, finished before")
                continue
            if budget is not None and (time.perf_counter() - self._started) / 60 > budget:
                self._reporter.note(f"the budget of {budget:g} minutes is spent: {counted(open_runs, 'run')} left out")
                return
            self._reporter.say(f"{title}, continues" if run.state == "started" else title)
            open_runs -= 1
            yield self._task(run, search)

    def _task(self, run: ScheduledRun, search: Search | None) -> Task:
        if run.state == "new" and run.folder.is_dir():
            # Cleared before the manifest names the folder: else an interruption would leave files of another setting.
            folder = RunFolder(run.folder)
            folder.check(resume=False, overwrite=self._config.overwrite)
            folder.open(clear=True)
        self._manifest.record(run.folder.name, run.spec, search.trials[run.folder.name] if search else None)
        # Measurements before training of another run. They are used only if weights and rows are the same.
        paths = sorted(output_folder(self._config).glob("*/measured/before-forget.safetensors"))
        measured = next((path.parent for path in paths if path.parent.parent != run.folder), None)
        config = run.config.model_copy(update={"resume": run.state == "started"})
        prune = search.pruning() if search else None
        return Task(run.folder.name, config, run.sources, self._command_line, measured, prune)

    def cost(self, best: Sequence[RankedRun]) -> dict[str, Any]:
        """The sweep's time, and the share of it that was not training."""
        wall, outcomes = time.perf_counter() - self._started, self._outcomes
        phases: dict[str, float] = {}
        for outcome in outcomes:
            for name, seconds in outcome.seconds.items():
                phases[name] = phases.get(name, 0.0) + seconds
        training = phases.get("train", 0.0)
        measuring = phases.get("measure before", 0.0) + phases.get("measure after", 0.0)
        # The reference's pass is a part of "prepare".
        other = sum(phases.values()) - training - measuring - phases.get("reference", 0.0)
        loads = sum(outcome.loads for outcome in outcomes)
        words = f"{counted(len(best), 'run')} compared, {len(outcomes)} run now"
        if outcomes:
            words += f": model loaded {counted(loads, 'time')}; {wall:.0f} s in all, for each run "
            parts = {"training": training, "measuring": measuring, "other work": other}
            words += ", ".join(f"{seconds / len(outcomes):.1f} s of {name}" for name, seconds in parts.items())
        return {
            "runs": len(best),
            "new_runs": len(outcomes),
            "share": best[0].run.share,
            "failed": sum(one.failed for one in best),
            "loads": loads,
            "seconds": wall,
            "training": training,
            "measuring": measuring,
            "other": other,
            "in_words": words,
        }


def counted(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def _say_outcome(outcome: Outcome, reporter: Reporter) -> None:
    if outcome.pruned is not None:
        reporter.say(
            f"{outcome.name}: ended after {counted(outcome.pruned, 'step')}, because it was worse than earlier runs"
        )
    if outcome.error:
        reporter.note(f"{outcome.name}: {outcome.error}")
    if outcome.finished:
        scores = [f"{name} {value:.3f}" for name, value in outcome.scores.items()]
        reporter.say(
            f"{outcome.name}: {', '.join([outcome.status, *scores])}; {outcome.seconds.get('train', 0):.0f} s training"
        )
