"""`--search N`: Optuna chooses each setting by the results of earlier ones. The objective is in `objective.py`.

Each choice depends only on the seed, its number and the trials in `sweep.json`. So a killed search continues as if it had
not been killed.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from unlearn_cli.assignments import range_of
from unlearn_cli.config import SweepConfig
from unlearn_cli.expressions.parser import Lookup
from unlearn_cli.jsonfile import read_complete_jsonl
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.recipes.sweeping import grid
from unlearn_cli.recipes.sweeping.grid import Setting
from unlearn_cli.recipes.sweeping.manifest import Manifest, Trial
from unlearn_cli.recipes.sweeping.objective import Judged, judged
from unlearn_cli.recipes.sweeping.pruning import Course, Pruning
from unlearn_cli.recipes.sweeping.schedule import RankedRun, ScheduledRun, Scheduler
from unlearn_cli.report import read_report

DIGITS = 3  # of a chosen number, which is a part of the folder's name
RANDOM = 5  # settings at the start that are drawn at random
TRIES = 50  # attempts to draw a setting that was not tried yet

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True)
class Search:
    """A search, which chooses its settings one by one."""

    config: SweepConfig
    scheduler: Scheduler
    manifest: Manifest

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """Name of a run folder -> trial so far. Trials of earlier calls count if they lie in the present space."""
        return {name: trial for name, trial in self.manifest.trials().items() if self._counts(trial)}

    def _counts(self, trial: Trial) -> bool:
        try:
            space = self._space(trial)
            create_trial(state=TrialState.RUNNING, **space)
        except ValueError:  # a parameter is missing or outside of its range
            return False
        # "new" means: the folder is gone, or --overwrite replaces a trial with other settings.
        return set(space["params"]) == set(trial.parameters) and self._scheduled(trial).state != "new"

    def earlier(self) -> list[ScheduledRun]:
        """The runs of earlier trials, without pruned ones."""
        return [self._scheduled(trial) for trial in self.trials.values() if trial.pruned is None]

    def next(self) -> ScheduledRun | None:
        """The next run; None if there are as many as --search allows, or every setting was tried."""
        number = len(self.trials)
        if number >= (self.config.search or 0):
            return None
        for attempt in range(TRIES):
            study = optuna.create_study(
                sampler=TPESampler(seed=_seed(self.config.seed, number, attempt), n_startup_trials=RANDOM)
            )
            study.add_trials(self._history())
            optuna_trial = study.ask()
            self._setting(optuna_trial)
            parameters = {
                name: _short(value, optuna_trial.distributions[name]) for name, value in optuna_trial.params.items()
            }
            trial = Trial(number, parameters)
            name = self._setting(FixedTrial(parameters)).name
            if name not in self.trials:
                self.trials[name] = trial
                return self._scheduled(trial)
        return None

    def runs(self) -> Iterator[ScheduledRun]:
        """The open runs: started ones first, then new ones, each chosen when it is needed."""
        yield from (run for run in self.earlier() if run.state != "finished")
        while (run := self.next()) is not None:
            yield run

    @property
    def left(self) -> int:
        """Trials that are not finished and not pruned."""
        ended = sum(trial.pruned is not None or self._is_finished(name) for name, trial in self.trials.items())
        return max(0, (self.config.search or 0) - ended)

    def prune(self, name: str, step: int) -> None:
        """Note that a trial was ended early, after a step."""
        self.trials[name] = replace(self.trials[name], pruned=step)
        self.manifest.prune(name, step)

    def pruning(self) -> Pruning | None:
        """The rule that ends runs early; None with --score, which probes do not measure."""
        if self.config.score:
            return None
        complete = [name for name, trial in self.trials.items() if trial.pruned is None and self._is_finished(name)]
        return Pruning(tuple(course for name in complete if (course := self._course(name))))

    def ranked(self, runs: Sequence[ScheduledRun]) -> list[RankedRun]:
        """Finished runs, best first."""
        best = sorted(runs, key=lambda run: self._judged(run.setting.name).rank)
        return [RankedRun.of(run, self._score) for run in best]

    def space_in_words(self) -> Mapping[str, str]:
        """Varied setting -> its values or its range, in words."""
        config = self.config
        names = {"method": config.methods} if len(config.methods) > 1 else {}
        return {name: ", ".join(map(str, values)) for name, values in {**names, **config.grid, **config.parameters}.items()}

    def summary(self, best: Sequence[RankedRun]) -> dict[str, Any]:
        """The result of the search as plain values."""
        first = best[0]
        judgment = self._judged(first.setting.name)
        pruned = [name for name, trial in self.trials.items() if trial.pruned is not None]
        words = "ended badly" if judgment.failed else "kept too little" if judgment.lacking > 0 else "kept enough"
        return {
            "trials": len(self.trials),
            "pruned": pruned,
            "best": first.setting.name,
            "settings": first.setting.values,
            "value": judgment.value,
            "keeps": not judgment.failed and judgment.lacking <= 0,
            "in_words": f"best of {len(self.trials)} settings ({len(pruned)} pruned): {first.setting.name}, which {words}",
        }

    def _scheduled(self, trial: Trial) -> ScheduledRun:
        (run,) = self.scheduler.round([self._setting(FixedTrial(trial.parameters))], 1.0)
        return run

    def _setting(self, trial: optuna.Trial | FixedTrial) -> Setting:
        """The setting of a trial. The trial chooses or returns each parameter."""
        method = _chosen(trial, "method", self.config.methods or (self.config.method,))
        options = {name: _chosen(trial, name, values) for name, values in self.config.grid.items()}
        varied = grid.parameters(self.config, self.config.methods or (self.config.method,), method)
        parameters = {name: _chosen(trial, f"{method}.{name}", values) for name, values in varied.items()}
        return grid.setting(method, options, parameters, self.config.seed)

    def _history(self) -> list[FrozenTrial]:
        return [self._frozen(name, trial) for name, trial in self.trials.items()]

    def _space(self, trial: Trial) -> dict[str, Any]:
        """The parameters of a trial and their ranges. Raises ValueError if one is missing."""
        fixed = FixedTrial(trial.parameters)
        with warnings.catch_warnings(action="ignore"):  # Optuna warns of a value outside of its range; `_counts` refuses it
            self._setting(fixed)
        return {"params": dict(fixed.params), "distributions": dict(fixed.distributions)}

    def _frozen(self, name: str, trial: Trial) -> FrozenTrial:
        """A trial in Optuna's form. A trial that runs, or ended in an error, tells Optuna to choose elsewhere."""
        space = self._space(trial)
        if trial.pruned is not None:
            probes = dict(self._course(name))
            return create_trial(state=TrialState.PRUNED, intermediate_values=probes, **space)
        if not self._is_finished(name):
            return create_trial(state=TrialState.RUNNING, **space)
        judgment = self._judged(name)
        return create_trial(value=judgment.value, constraints={"lacking": judgment.lacking}, **space)

    @property
    def _score(self) -> Callable[[Lookup], float] | None:
        """--score, which replaces the first half of the objective."""
        return self.config.score.value if self.config.score else None

    def _judged(self, name: str) -> Judged:
        """The judgment of a finished run, from its report."""
        return judged(read_report(self._folder(name).path), self._score)

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
    """One of the values; if there is a range in their place, a number in it."""
    between = range_of(values[0])
    if between is None:
        return trial.suggest_categorical(name, list(values)) if len(values) > 1 else values[0]
    if isinstance(between.low, int) and isinstance(between.high, int):
        return trial.suggest_int(name, between.low, between.high, log=between.log)
    return trial.suggest_float(name, between.low, between.high, log=between.log)


def _short(value: Any, distribution: optuna.distributions.BaseDistribution) -> Any:
    """A value; a float is rounded to few digits, inside its range."""
    if not isinstance(distribution, optuna.distributions.FloatDistribution):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)
