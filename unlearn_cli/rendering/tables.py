"""Scores as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from unlearn_cli.measured import Measured
from unlearn_cli.report import Compared, RunReport, Score

ARROWS = {"min": "lower", "max": "higher", "baseline": "as baseline"}
MOMENTS = ("before", "after", "baseline")


def _digits(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"


def number(score: Score | None) -> str:
    """A score in a few characters; a dash where there is none."""
    if score is None:
        return ""
    return "-" if score.value is None else _digits(score.value)


def interval(score: Score | None) -> str:
    """A score's 95 % interval, if it has one."""
    return "" if score is None or score.ci is None else f"{_digits(score.ci[0])} to {_digits(score.ci[1])}"


def improved(compared: Compared) -> bool | None:
    """Whether the change goes the way the target asks; None without a target or both values."""
    before, after = compared.before, compared.after
    if before is None or after is None or before.value is None or after.value is None or after.target not in ("min", "max"):
        return None
    return after.value < before.value if after.target == "min" else after.value >= before.value - 0.02


def scores_table(report: RunReport) -> Table:
    """Metrics by split, at each moment, with the interval of what counts and the direction that is better."""
    shown = [m for m in MOMENTS if any(getattr(c, m) for metrics in report.scores.values() for c in metrics.values())]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for moment in shown:
        table.add_column(moment, justify="right", no_wrap=True)
        if moment == "after":
            table.add_column("95 % interval", style="dim", no_wrap=True)
    table.add_column("better", style="dim")
    for split, metrics in report.scores.items():
        counts = [both.after.n for both in metrics.values() if both.after]
        table.add_row(f"[bold]{split}[/] [dim]n = {max(counts, default=0)}[/]")
        for metric, both in metrics.items():
            if not any(score and score.value is not None for score in (both.before, both.after, both.baseline)):
                continue  # the report says why
            style = {True: "green", False: "red", None: ""}[improved(both)]
            cells: list[Text] = []
            for moment in shown:
                score = getattr(both, moment)
                cells.append(Text(number(score), style=style if moment == "after" else ""))
                if moment == "after":
                    cells.append(Text(interval(score)))
            target = (both.after or both.before or both.baseline).target
            table.add_row(f"  {metric}", *cells, ARROWS.get(target or "", ""))
    return table


def answers_table(moments: Mapping[str, Mapping[str, Measured]], count: int) -> Table:
    """Forget questions with the true answer and what was generated at each moment, evenly spread over those answered."""
    table = Table(box=None, pad_edge=False, show_header=False, title="\nforget answers", title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    shown = [moment for moment in MOMENTS if "forget" in moments.get(moment, {})]
    after = moments["after"].get("forget")
    answered = [] if after is None else [i for i, said in enumerate(after.generations) if said is not None]
    for row in answered[:: max(1, len(answered) // count)][:count]:
        table.add_row("question", Text(after.prompts[row], style="bold"))
        table.add_row("truth", Text(after.golds[row]))
        for moment in shown:
            said = dict(zip(moments[moment]["forget"].ids, moments[moment]["forget"].generations, strict=True))
            table.add_row(moment, Text(said.get(after.ids[row]) or "-"))
        table.add_row("", "")
    return table
