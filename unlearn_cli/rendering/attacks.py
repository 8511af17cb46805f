"""An attack's curves as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rich.table import Table
from rich.text import Text

from unlearn_cli.attack_report import AttackReport
from unlearn_cli.rendering.tables import ResponsiveTable

ROLES = ("unlearned", "original", "baseline", "control")


def worst_curves(report: AttackReport) -> dict[str, dict[Any, float | None]]:
    """Forget rows under each model at each place of the attack's worst setting: mean over seeds, None without a value."""
    worst = report.shown.parameters
    values: dict[str, dict[Any, list[float]]] = {role: {} for role in ROLES}
    for curve in report.curves:
        if {name: value for name, value in curve.parameters.items() if name != "seed"} == worst:
            for point in curve.points:
                value = point.forget.get(report.shown_metric)
                values[curve.role].setdefault(point.at, []).extend([] if value is None else [value])
    return {
        role: {at: fmean(seeds) if seeds else None for at, seeds in by_place.items()} for role, by_place in values.items()
    }


def attack_table(report: AttackReport) -> ResponsiveTable:
    """Forget rows under each model at each place of the attack's worst setting, with recovery and the retain rows.

    On a narrow terminal intervals are left out, on a very narrow one the control as well. Names of places fold, numbers
    and roles never do.
    """
    return ResponsiveTable(
        lambda: _curve(report, ROLES, intervals=True),
        lambda: _curve(report, ROLES, intervals=False),
        lambda: _curve(report, ROLES[:-1], intervals=False),
    )


def _curve(report: AttackReport, roles: Sequence[str], *, intervals: bool) -> Table:
    recovery = report.shown
    points = [point for point in recovery.points if point.parameters == recovery.parameters]
    by_role = worst_curves(report)
    shown = [role for role in roles if by_role[role]]
    title = f"\n{report.attack}: forget {report.shown_metric}, {report.judged_rows} rows"
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column(report.along, overflow="fold")
    for role in (*shown, "recovery"):
        table.add_column(role, justify="right", no_wrap=True)
    if intervals:
        table.add_column("95 % interval", style="dim", no_wrap=True)
    table.add_column("retain", justify="right", no_wrap=True)
    for point in points:
        cells = [_mean(by_role[role].get(point.at)) for role in shown]
        style = "" if point.value is None else "red" if point.value > 0.5 else "yellow" if point.value > 0.3 else "green"
        interval = "none" if point.ci is None else f"{point.ci[0]:.2f} to {point.ci[1]:.2f}"
        value = Text("-" if point.value is None else f"{point.value:.2f}", style=style)
        retain = "" if point.retain is None else f"{point.retain:.3f}"
        table.add_row(str(point.at), *cells, value, *([interval] if intervals else []), retain)
    return table


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
