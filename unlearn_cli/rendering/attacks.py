"""An attack's curves as a table for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from unlearn_cli.attack_report import AttackReport
from unlearn_cli.rendering.fitted import Fitted

ROLES = ("unlearned", "original", "baseline")
METRIC = "probability"
SAMPLED = "rouge_l"  # what an attack is told by where the answer's probability cannot move


def shown_metric(report: AttackReport) -> str:
    """The metric that an attack is told by."""
    return SAMPLED if report.attack == "sample" else METRIC


def attack_table(report: AttackReport) -> Fitted:
    """Forget rows under each model at each place of the attack's worst setting, with recovery and what was kept.

    Where the terminal is too narrow, intervals are left out; names of places fold, numbers and roles never do.
    """
    return Fitted(lambda: _curve(report, intervals=True), lambda: _curve(report, intervals=False))


def _curve(report: AttackReport, *, intervals: bool) -> Table:
    metric = shown_metric(report)
    found = report.recovery[metric]
    wanted = found.parameters
    rows = [p for p in report.recovery[metric].points if p.parameters == wanted]
    by_role = {role: {} for role in ROLES}
    for curve in report.curves:
        if {k: v for k, v in curve.parameters.items() if k != "seed"} == wanted:
            for point in curve.points:
                by_role[curve.role].setdefault(point.at, []).append(point.forget.get(metric))
    shown = [role for role in ROLES if by_role[role]]
    title = f"\n{report.attack}: forget {metric}, {report.judged_rows} rows"
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column(report.along, overflow="fold")
    for role in (*shown, "recovery"):
        table.add_column(role, justify="right", no_wrap=True)
    if intervals:
        table.add_column("95 % interval", style="dim", no_wrap=True)
    table.add_column("retain", justify="right", no_wrap=True)
    for point in rows:
        cells = [_mean(by_role[role].get(point.at, [])) for role in shown]
        style = "" if point.value is None else "red" if point.value > 0.5 else "yellow" if point.value > 0.3 else "green"
        interval = "" if point.ci is None else f"{point.ci[0]:.2f} to {point.ci[1]:.2f}"
        recovered = Text("-" if point.value is None else f"{point.value:.2f}", style=style)
        kept = "" if point.retain is None else f"{point.retain:.3f}"
        table.add_row(str(point.at), *cells, recovered, *([interval] if intervals else []), kept)
    return table


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else "-"
