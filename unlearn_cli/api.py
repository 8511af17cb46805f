"""The commands that need a model, and `load`, called from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlearn_cli.attack_report import AttackReport
from unlearn_cli.config import (
    AttackConfig,
    EvaluateConfig,
    ForgetConfig,
    LoadOptions,
    MergeConfig,
    SweepConfig,
    given,
    resolve,
)
from unlearn_cli.config.option import Settings
from unlearn_cli.console import Reporter
from unlearn_cli.data.offline import offline
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.load import load_model
from unlearn_cli.models.process import undisturbed
from unlearn_cli.recipes import evaluate as evaluating
from unlearn_cli.recipes import forget as forgetting
from unlearn_cli.recipes import merge as merging
from unlearn_cli.recipes import relearn_attack as attacking
from unlearn_cli.recipes import sweep as sweeping
from unlearn_cli.recipes.checking.command import check
from unlearn_cli.recipes.scoring import rescore
from unlearn_cli.report import RunReport

PYTHON = ["(from Python)"]


def forget(settings: ForgetConfig | None, *, quiet: bool, **more: Any) -> RunReport:
    """See `unlearn_cli.forget`."""
    with _resolved(ForgetConfig, settings, more) as (config, sources):
        report = forgetting.run(config, sources, PYTHON, Reporter(quiet=quiet))
    if report is None:
        raise UnlearnError("a dry run makes no report", "leave dry_run out; on the command line --dry-run shows the plan")
    return report


def evaluate(run: str | Path | None, settings: EvaluateConfig | None, *, quiet: bool, **more: Any) -> RunReport:
    """See `unlearn_cli.evaluate`."""
    with _resolved(EvaluateConfig, settings, _of(run, more)) as (config, sources):
        recipe = rescore if config.measured else evaluating
        return recipe.run(config, sources, PYTHON, Reporter(quiet=quiet))[0]


def relearn_attack(run: str | Path, settings: AttackConfig | None, *, quiet: bool, **more: Any) -> dict[str, AttackReport]:
    """See `unlearn_cli.relearn_attack`."""
    with _resolved(AttackConfig, settings, _of(run, more)) as (config, sources):
        return {report.attack: report for report in attacking.run(config, sources, PYTHON, Reporter(quiet=quiet))[0]}


def sweep(settings: SweepConfig | None, *, quiet: bool, **more: Any) -> dict[str, Any]:
    """See `unlearn_cli.sweep`."""
    with _resolved(SweepConfig, settings, more) as (config, sources):
        return sweeping.run(config, sources, PYTHON, Reporter(quiet=quiet))[0]


def merge(run: str | Path, settings: MergeConfig | None, *, quiet: bool, **more: Any) -> Path:
    """See `unlearn_cli.merge`."""
    with _resolved(MergeConfig, settings, _of(run, more)) as (config, _):
        return merging.run(config, PYTHON, Reporter(quiet=quiet))[1]


@undisturbed()
def load(run_or_model: str, **options: Any) -> Any:
    """See `unlearn_cli.load`."""
    settings, _ = resolve(LoadOptions, {"model": str(run_or_model), **options}, None, called="python")
    with offline(settings.offline):
        loaded = load_model(settings)
    loaded.model.tokenizer = loaded.tokenizer
    return loaded.model


@contextmanager
def _resolved(
    model: type[Settings], settings: Settings | None, more: Mapping[str, Any]
) -> Iterator[tuple[Settings, dict[str, str]]]:
    """A context with the checked settings of a command and their sources; the Hub is not used inside if `offline` is set."""
    config, sources = resolve(model, given(model, settings, more), None, called="python")
    with offline(getattr(config, "offline", False)):
        check(config)
        yield config, sources


def _of(run: str | Path | None, more: dict[str, Any]) -> dict[str, Any]:
    return more if run is None else more | {"run": Path(run)}
