"""The runs of a sweep: folder, settings and length of each, and the ranking of finished runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.config import ForgetConfig, SweepConfig
from unlearn_cli.data.example import Split
from unlearn_cli.data.written import AUTO
from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.parser import Lookup, Missing
from unlearn_cli.models.identity import identity
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.checking.required import check_required
from unlearn_cli.recipes.forgetting.resolve import resolve_method
from unlearn_cli.recipes.scoring.gates import lookup_in
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.recipes.storage.run_spec import RunSpec
from unlearn_cli.recipes.sweeping.grid import Setting, output_folder
from unlearn_cli.recipes.sweeping.manifest import Manifest, State
from unlearn_cli.recipes.sweeping.objective import judged
from unlearn_cli.report import UNUSABLE, read_report


@dataclass(frozen=True)
class ScheduledRun:
    """A setting in one round."""

    setting: Setting
    folder: Path
    config: ForgetConfig  # with the run folder
    sources: dict[str, str]  # setting -> origin of its value
    share: float  # of the full training
    spec: RunSpec
    state: State


@dataclass(frozen=True)
class Scheduler:
    """Creates the runs of a round from settings."""

    config: SweepConfig
    sources: Mapping[str, str]
    splits: Mapping[str, Split]
    manifest: Manifest

    def round(self, settings: Sequence[Setting], share: float) -> list[ScheduledRun]:
        """A run for each setting, with `share` of the full training.

        Raises:
            UnlearnError: a setting is not possible, two settings are the same, or a folder has other files.
        """
        runs: dict[str, ScheduledRun] = {}
        for setting in settings:
            run = self._run(setting, share)
            # Compared by their specs, because a setting can be written in two ways: npo,NPO or 1e-4,0.0001.
            if (equal := runs.get(run.spec.sha256)) is not None:
                raise UnlearnError(
                    f"{equal.setting.name} and {setting.name} are the same setting", "give each method, value and seed once"
                )
            overwrite = run.state == "new" and self.config.overwrite
            RunFolder(run.folder).check(resume=run.state != "new", overwrite=overwrite)
            runs[run.spec.sha256] = run
        return list(runs.values())

    def _run(self, setting: Setting, share: float) -> ScheduledRun:
        folder = output_folder(self.config) / (setting.name if share == 1 else f"{setting.name}-at-{share:g}")
        config = forget_config(self.config, setting, folder)
        sources = {name: self.sources.get(name, "default") for name in ForgetConfig.model_fields}
        sources |= dict.fromkeys(setting.values, "sweep")
        try:
            check_required(config)
            resolved = resolve_method(config, sources).config
        except UnlearnError as error:
            raise UnlearnError(f"{setting.name}: {error.message}", error.hint) from None
        if share < 1:
            length = _length(resolved, share)
            config, resolved = config.model_copy(update=length), resolved.model_copy(update=length)
            sources |= dict.fromkeys(length, "sweep")
        source = resolve_source(config.model, config.revision, config.base)
        data = {name: split.origin.sha256 for name, split in self.splits.items()}
        spec = RunSpec.of(resolved, identity(source, config, config.dtype, config.device), data)
        state = self.manifest.state(folder.name, spec, overwrite=self.config.overwrite)
        return ScheduledRun(setting, folder, config, sources, share, spec, state)


def forget_config(config: SweepConfig, setting: Setting, folder: Path | None = None) -> ForgetConfig:
    """The settings of a sweep's run."""
    shared = {name: getattr(config, name) for name in ForgetConfig.model_fields if hasattr(config, name)}
    return ForgetConfig.model_validate({**shared, **setting.values, "output_dir": folder, "overwrite": False})


def writes_retain(config: SweepConfig, settings: Sequence[Setting]) -> bool:
    """Whether the model writes the retain rows, because none are given and the method of a run needs some."""
    if config.retain:
        return False
    with suppress(UnlearnError):  # the scheduler raises it again, with the name of the setting
        return any(resolve_method(forget_config(config, setting), {}).config.retain == AUTO for setting in settings)
    return False


def _length(resolved: ForgetConfig, share: float) -> dict[str, Any]:
    """The setting that limits a run to `share` of its full training."""
    if resolved.max_steps:
        return {"max_steps": max(1, round(resolved.max_steps * share))}
    assert resolved.epochs is not None  # filled by the method
    return {"epochs": resolved.epochs * share}


@dataclass(frozen=True)
class RankedRun:
    """A finished run."""

    run: ScheduledRun
    score: float | None  # None: --score names a missing value
    status: str  # in its report
    lacks: bool = False  # without --score: it keeps less of the retain rows than --keep demands

    @classmethod
    def of(cls, run: ScheduledRun, score: Callable[[Lookup], float] | None) -> RankedRun:
        """A run with its score, from its report. Without a score: with the negative of what it misses of its target."""
        report = read_report(run.folder)
        if score is None:
            judgment = judged(report)
            return cls(run, -judgment.total, report.status, judgment.lacking > 0)
        try:
            return cls(run, score(lookup_in(report.scores)), report.status)
        except Missing:
            return cls(run, None, report.status)

    @property
    def setting(self) -> Setting:
        """The setting of the run."""
        return self.run.setting

    @property
    def failed(self) -> bool:
        """Whether it diverged, collapsed, or changed nothing."""
        return self.status in UNUSABLE


def ranked(runs: Iterable[ScheduledRun], score: Callable[[Lookup], float] | None) -> list[RankedRun]:
    """Finished runs, best first. The seeds of a setting stay together. Without a score the target ranks them, see `judged`.

    Settings rank by the mean over their seeds, because the best single run may be luck. Runs without a score come after
    those with one; runs that diverged, collapsed or changed nothing come last, whatever their score.
    """
    groups: dict[str, list[RankedRun]] = {}
    for run in runs:
        groups.setdefault(run.setting.group, []).append(RankedRun.of(run, score))
    in_order = sorted(groups.values(), key=_rank)
    return [one for group in in_order for one in sorted(group, key=lambda one: _rank([one]))]


def _rank(seeds: Sequence[RankedRun]) -> tuple[float, ...]:
    """A key for sorting, best first: the shares that failed, kept too little, have no score; and the negative mean score."""
    scores = [one.score for one in seeds if one.score is not None]
    failed = sum(one.failed for one in seeds) / len(seeds)
    lacking = sum(one.lacks for one in seeds) / len(seeds)
    return failed, lacking, 1 - len(scores) / len(seeds), -sum(scores) / len(scores) if scores else 0.0


def better_half(best: Sequence[RankedRun], settings: Sequence[Setting]) -> list[Setting]:
    """The settings of the better half, with all their seeds."""
    groups = list(dict.fromkeys(one.setting.group for one in best))
    better = groups[: (len(groups) + 1) // 2]
    return [setting for group in better for setting in settings if setting.group == group]
