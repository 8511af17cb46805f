"""`--search N`: Optuna chooses each setting by what came of those before; the aim is in `objective.py`.

Each choice depends on the seed, its number and the trials in `sweep.json`, and on nothing that is lost with the process: a
search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from unlearn_cli.assignments import range_of
from unlearn_cli.config import SweepConfig
from unlearn_cli.jsonfile import read_complete_jsonl
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.recipes.sweeping import grid
from unlearn_cli.recipes.sweeping.grid import Setting
from unlearn_cli.recipes.sweeping.manifest import Manifest, Trial
from unlearn_cli.recipes.sweeping.objective import Judged, judged
from unlearn_cli.recipes.sweeping.pruning import Course, Pruning
from unlearn_cli.recipes.sweeping.schedule import RankedRun, ScheduledRun, Scheduler
from unlearn_cli.report import read_report

DIGITS = 3  # of a number that is chosen: it stands in the name of a folder
RANDOM = 5  # settings at the start that are drawn at random
TRIES = 50  # to draw a setting that was not tried yet

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True)
class Search:
    """The settings of a search, made one by one."""

    config: SweepConfig
    scheduler: Scheduler
    manifest: Manifest
    by_score: bool  # --score is given, and replaces the first half of the aim

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """The trials so far by name of their folder; those of before count if they lie in the space asked for."""
        return {name: trial for name, trial in self.manifest.trials().items() if self._counts(trial)}

    def _counts(self, trial: Trial) -> bool:
        try:
            space = self._space(trial)
            create_trial(state=TrialState.RUNNING, **space)
        except ValueError:  # it lacks a parameter, or has one outside of its range
            return False
        # A new state: the folder is gone, or --overwrite replaces a trial with other settings.
        return set(space["params"]) == set(trial.parameters) and self._scheduled(trial).state != "new"

    def earlier(self) -> list[ScheduledRun]:
        """The runs of trials that were started before, without those that were pruned."""
        return [self._scheduled(trial) for trial in self.trials.values() if trial.pruned is None]

    def next(self) -> ScheduledRun | None:
        """The next run; None if there are `--search` of them, or every setting was tried."""
        number = len(self.trials)
        if number >= (self.config.search or 0):
            return None
        for attempt in range(TRIES):
            study = optuna.create_study(
                sampler=TPESampler(seed=_seed(self.config.seed, number, attempt), n_startup_trials=RANDOM)
            )
            study.add_trials(self._history())
            drawn = study.ask()
            self._setting(drawn)
            parameters = {name: _short(value, drawn.distributions[name]) for name, value in drawn.params.items()}
            trial = Trial(number, parameters)
            name = self._setting(FixedTrial(parameters)).name
            if name not in self.trials:
                self.trials[name] = trial
                return self._scheduled(trial)
        return None

    def runs(self) -> Iterator[ScheduledRun]:
        """The runs that are left: started ones first, then new ones, each made when it is asked for."""
        yield from (run for run in self.earlier() if run.state != "finished")
        while (run := self.next()) is not None:
            yield run

    @property
    def left(self) -> int:
        """Trials that are not finished and not pruned."""
        done = sum(trial.pruned is not None or self._is_finished(name) for name, trial in self.trials.items())
        return max(0, (self.config.search or 0) - done)

    def prune(self, name: str, step: int) -> None:
        """Note that a trial was ended after a step."""
        self.trials[name] = replace(self.trials[name], pruned=step)
        self.manifest.prune(name, step)

    def pruning(self) -> Pruning | None:
        """What a run is compared with; None under --score, of which no probe knows anything."""
        if self.by_score:
            return None
        whole = [name for name, trial in self.trials.items() if trial.pruned is None and self._is_finished(name)]
        return Pruning(tuple(course for name in whole if (course := self._course(name))))

    def ranked(self, runs: Sequence[ScheduledRun]) -> list[RankedRun]:
        """Finished runs, best first."""
        best = sorted(runs, key=lambda run: self._judged(run.setting.name).rank)
        return [RankedRun.of(run, self.config.score.value) for run in best]

    def space_in_words(self) -> Mapping[str, str]:
        """What is varied, and between which values."""
        config = self.config
        names = {"method": config.methods} if len(config.methods) > 1 else {}
        return {name: ", ".join(map(str, values)) for name, values in {**names, **config.grid, **config.parameters}.items()}

    def summary(self, best: Sequence[RankedRun]) -> dict[str, Any]:
        """What came of the search."""
        first = best[0]
        one = self._judged(first.setting.name)
        pruned = [name for name, trial in self.trials.items() if trial.pruned is not None]
        words = "ended badly" if one.failed else "kept too little" if one.lacking > 0 else "kept enough"
        return {
            "trials": len(self.trials),
            "pruned": pruned,
            "best": first.setting.name,
            "settings": first.setting.values,
            "value": one.value,
            "keeps": not one.failed and one.lacking <= 0,
            "in_words": f"best of {len(self.trials)} settings ({len(pruned)} pruned): {first.setting.name}, which {words}",
        }

    def _scheduled(self, trial: Trial) -> ScheduledRun:
        (run,) = self.scheduler.round([self._setting(FixedTrial(trial.parameters))], 1.0)
        return run

    def _setting(self, trial: optuna.Trial | FixedTrial) -> Setting:
        """The setting of a trial, which is asked for the parameters one by one."""
        method = _chosen(trial, "method", self.config.methods or (self.config.method,))
        options = {name: _chosen(trial, name, values) for name, values in self.config.grid.items()}
        varied = grid.parameters(self.config, self.config.methods or (self.config.method,), method)
        parameters = {name: _chosen(trial, f"{method}.{name}", values) for name, values in varied.items()}
        return grid.setting(method, options, parameters, self.config.seed)

    def _history(self) -> list[FrozenTrial]:
        return [self._frozen(name, trial) for name, trial in self.trials.items()]

    def _space(self, trial: Trial) -> dict[str, Any]:
        """The parameters of a trial and where each could lie. Raises ValueError if one is missing."""
        fixed = FixedTrial(trial.parameters)
        with warnings.catch_warnings(action="ignore"):  # of a value outside of its range, which `_counts` refuses
            self._setting(fixed)
        return {"params": dict(fixed.params), "distributions": dict(fixed.distributions)}

    def _frozen(self, name: str, trial: Trial) -> FrozenTrial:
        """A trial as Optuna knows it. One that runs, or ended in an error, is a place to keep away from."""
        space = self._space(trial)
        if trial.pruned is not None:
            probes = dict(self._course(name))
            return create_trial(state=TrialState.PRUNED, intermediate_values=probes, **space)
        if not self._is_finished(name):
            return create_trial(state=TrialState.RUNNING, **space)
        one = self._judged(name)
        return create_trial(value=one.value, constraints={"lacking": one.lacking}, **space)

    def _judged(self, name: str) -> Judged:
        """A finished run, by its report."""
        return judged(read_report(self._folder(name).path), self.config.score.value if self.by_score else None)

    def _is_finished(self, name: str) -> bool:
        return self._folder(name).report.is_file()

    def _folder(self, name: str) -> RunFolder:
        return RunFolder(grid.output_folder(self.config) / name)

    def _course(self, name: str) -> Course:
        path = self._folder(name).metrics
        lines = read_complete_jsonl(path) if path.is_file() else []
        return [(line["step"], line["probe"]["missed"]) for line in lines if "missed" in line.get("probe", ())]


def _seed(seed: int, number: int, attempt: int) -> int:
    return random.Random(f"{seed} {number} {attempt}").getrandbits(32)


def _chosen(trial: optuna.Trial | FixedTrial, name: str, values: Sequence[Any]) -> Any:
    """One of the values, or a number in the range that stands in their place."""
    between = range_of(values[0])
    if between is None:
        return trial.suggest_categorical(name, list(values)) if len(values) > 1 else values[0]
    if isinstance(between.low, int) and isinstance(between.high, int):
        return trial.suggest_int(name, between.low, between.high, log=between.log)
    return trial.suggest_float(name, between.low, between.high, log=between.log)


def _short(value: Any, distribution: optuna.distributions.BaseDistribution) -> Any:
    """A number with few digits, inside its range."""
    if not isinstance(distribution, optuna.distributions.FloatDistribution):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)
