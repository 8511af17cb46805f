"""The commands that need a model, called from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearn_cli.attack_report import AttackReport
from unlearn_cli.config import AttackConfig, EvaluateConfig, ForgetConfig, resolve
from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes import evaluate as evaluating
from unlearn_cli.recipes import forget as forgetting
from unlearn_cli.recipes import relearn_attack as attacking
from unlearn_cli.recipes import rescore
from unlearn_cli.report import RunReport

PYTHON = ["(from Python)"]


def forget(*, quiet: bool, **settings: Any) -> RunReport:
    """See `unlearn_cli.forget`."""
    config, sources = resolve(ForgetConfig, settings, None)
    report = forgetting.run(config, sources, PYTHON, Reporter(quiet=quiet))
    if report is None:
        raise UnlearnError("a dry run makes no report", "leave dry_run out")
    return report


def evaluate(run: str | Path | None, *, quiet: bool, **settings: Any) -> RunReport:
    """See `unlearn_cli.evaluate`."""
    given = settings | ({"run": Path(run)} if run is not None else {})
    config, sources = resolve(EvaluateConfig, given, None)
    recipe = rescore if config.measured else evaluating
    return recipe.run(config, sources, PYTHON, Reporter(quiet=quiet))[0]


def relearn_attack(run: str | Path, *, quiet: bool, **settings: Any) -> dict[str, AttackReport]:
    """See `unlearn_cli.relearn_attack`."""
    config, sources = resolve(AttackConfig, settings | {"run": Path(run)}, None)
    return {report.attack: report for report in attacking.run(config, sources, Reporter(quiet=quiet))[0]}
