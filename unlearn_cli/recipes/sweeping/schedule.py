"""What a sweep asks of each run folder, and how its runs rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn_cli.config import ForgetConfig, SweepConfig
from unlearn_cli.data.example import Split
from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.parser import Lookup, Missing
from unlearn_cli.models.identity import identity
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.forgetting.resolve import settle_method
from unlearn_cli.recipes.scoring.gates import lookup_in
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.recipes.storage.run_spec import RunSpec
from unlearn_cli.recipes.sweeping.grid import Setting
from unlearn_cli.recipes.sweeping.manifest import Ledger, State
from unlearn_cli.report import FAILED, read_report


@dataclass(frozen=True)
class Planned:
    """A setting in one round."""

    setting: Setting
    config: ForgetConfig  # with the folder it goes to
    sources: dict[str, str]
    share: float  # of its length
    spec: RunSpec
    state: State

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.config.output_dir

    @property
    def failed(self) -> bool:
        """It diverged, collapsed, or changed nothing."""
        return self.setting.status in FAILED


def planned(
    config: SweepConfig,
    sources: Mapping[str, str],
    settings: Sequence[Setting],
    texts: Mapping[str, Split],
    share: float,
    ledger: Ledger,
) -> list[Planned]:
    """What is asked of each folder, and how far it is.

    Raises:
        UnlearnError: some of it cannot be asked, two settings are the same, or a folder holds something else.
    """
    data = {name: split.origin.sha256 for name, split in texts.items()}
    shared = {name: getattr(config, name) for name in ForgetConfig.model_fields if hasattr(config, name)}
    given = {name: sources.get(name, "default") for name in ForgetConfig.model_fields}
    made: dict[str, Planned] = {}
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
        spec = RunSpec.of(
            settled, identity(resolve_source(own.model, own.revision, own.base), own, own.dtype, own.device), data
        )
        # By what is asked, for one setting can be spelled in two ways: npo,NPO or 1e-4,0.0001.
        if (same := made.get(key := spec.sha256)) is not None:
            raise UnlearnError(
                f"{same.setting.name} and {setting.name} are the same setting", "give each method, value and seed once"
            )
        state = ledger.state(folder.name, spec, overwrite=config.overwrite)
        RunFolder(folder).check(resume=state != "new", overwrite=state == "new" and config.overwrite)
        made[key] = Planned(setting, own, origins, share, spec, state)
    return list(made.values())


def ranked(runs: Iterable[Planned], score: Callable[[Lookup], float]) -> list[Planned]:
    """Finished runs, best first, the seeds of a setting together.

    Settings go by the mean over their seeds, for the best of all runs may be a lucky seed. Those that diverged, collapsed or
    changed nothing come last, whatever their score, and before them those whose score cannot be told.
    """
    groups: dict[str, list[Planned]] = {}
    for one in runs:
        report = read_report(one.folder)
        one.setting.status = report.status
        try:
            one.setting.score = score(lookup_in(report.scores))
        except Missing:
            one.setting.score = None
        groups.setdefault(one.setting.group, []).append(one)
    in_order = sorted(groups.values(), key=_place)
    return [one for group in in_order for one in sorted(group, key=lambda one: _place([one]))]


def _place(seeds: Sequence[Planned]) -> tuple[float, float, float]:
    """Less is better: how many failed, how many have no score, and the mean of the others turned round."""
    scores = [one.setting.score for one in seeds if one.setting.score is not None]
    failed = sum(one.failed for one in seeds) / len(seeds)
    return failed, 1 - len(scores) / len(seeds), -sum(scores) / len(scores) if scores else 0.0
