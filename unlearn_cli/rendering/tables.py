"""Scores as a table for a terminal."""

from __future__ import annotations

from rich.table import Table

from unlearn_cli.report import Compared, RunReport, Score

ARROWS = {"min": "lower is better", "max": "higher is better", "baseline": "as the baseline"}
MOMENTS = ("before", "after", "baseline")


def number(score: Score | None, *, interval: bool = False) -> str:
    """A score in a few characters; a dash where there is none."""
    if score is None:
        return ""
    if score.value is None:
        return "-"
    shown = f"{score.value:.3f}" if abs(score.value) < 1000 else f"{score.value:.3g}"
    if interval and score.ci is not None:
        shown += f" ({score.ci[0]:.3f} to {score.ci[1]:.3f})"
    return shown


def improved(compared: Compared) -> bool | None:
    """Whether the change goes the way the target asks; None without a target or both values."""
    before, after = compared.before, compared.after
    if before is None or after is None or before.value is None or after.value is None or after.target not in ("min", "max"):
        return None
    return after.value < before.value if after.target == "min" else after.value >= before.value - 0.02


def scores_table(report: RunReport) -> Table:
    """Metrics by split, before and after, with the direction that is better."""
    shown = [m for m in MOMENTS if any(getattr(c, m) for metrics in report.scores.values() for c in metrics.values())]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for moment in shown:
        table.add_column(moment, justify="right")
    table.add_column("", style="dim")
    for split, metrics in report.scores.items():
        counts = {c.after.n for c in metrics.values() if c.after} or {c.before.n for c in metrics.values() if c.before}
        table.add_row(f"[bold]{split}[/]", *[""] * len(shown), f"n = {max(counts, default=0)}")
        for metric, compared in metrics.items():
            good = improved(compared)
            style = {True: "green", False: "red", None: ""}[good]
            cells = [number(getattr(compared, m), interval=m == "after") for m in shown]
            cells = [f"[{style}]{cell}[/]" if style and m == "after" else cell for m, cell in zip(shown, cells, strict=True)]
            target = (compared.after or compared.before or compared.baseline).target
            table.add_row(f"  {metric}", *cells, ARROWS.get(target or "", ""))
    return table
