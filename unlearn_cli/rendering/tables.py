"""Scores as a table for a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from unlearn_cli.contract import METRICS
from unlearn_cli.data.general_ability import GENERAL
from unlearn_cli.evaluation.baseline import below_baseline
from unlearn_cli.measured import Measured
from unlearn_cli.report import Compared, RunReport, Score

ARROWS = {"min": "↓ lower", "max": "↑ higher", "baseline": "≈ base"}
SHORTLY = ("general.choice_accuracy", "general_text.perplexity")  # one line says enough of each of these splits
FIRST = ("probability", "rouge_l", "truth_ratio", "forget_quality")  # the metrics in the short table
MOMENTS = ("before", "after", "baseline")
UNBOUNDED = 10_000
USUAL_WIDTH = 80  # characters of a line from which on nothing is left out, and names fold instead
FOLDED = 4  # characters that a folded column needs to be read


@dataclass(frozen=True)
class ResponsiveTable:
    """`full` on a usual terminal and wherever it fits, else `narrow`; each needs a column that can fold.

    `narrowest` is for a terminal on which even `narrow` would be cut. `usual` are the characters of a line from which on
    columns fold in place of `narrow`; a table whose columns must not fold has `UNBOUNDED`.
    """

    full: Callable[[], Table]
    narrow: Callable[[], Table]
    narrowest: Callable[[], Table] | None = None
    usual: int = USUAL_WIDTH

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self.full()
        needed = Measurement.get(console, options.update(width=UNBOUNDED), table)
        if options.max_width < min(needed.maximum, self.usual):
            table = self.narrow()
            needed = Measurement.get(console, options.update(width=UNBOUNDED), table)
            if self.narrowest and options.max_width < needed.minimum + FOLDED:
                table = self.narrowest()
        yield table


def digits(value: float, more: int = 0) -> str:
    """A number in a few characters, with `more` digits than usual."""
    if 0 < abs(value) < 0.0005:
        return f"{value:.{more}e}"  # a p-value, mostly: 0.000 would hide it
    return f"{value:.{3 + more}f}" if abs(value) < 1000 else f"{value:.{3 + more}g}"


def number(score: Score | None) -> str:
    """A score in a few characters; a dash where there is none."""
    if score is None:
        return ""
    return "-" if score.value is None else digits(score.value)


def interval(score: Score | None) -> str:
    """A score's 95 % interval, if it has one."""
    return "" if score is None or score.ci is None else f"{digits(score.ci[0])} to {digits(score.ci[1])}"


def improved(compared: Compared) -> bool | None:
    """Whether the change goes the way the target asks; None without a target or both values."""
    before, after = compared.before, compared.after
    if before is None or after is None or before.value is None or after.value is None or after.target is None:
        return None
    if after.target == "baseline":
        aim = compared.baseline.value if compared.baseline else None
        return None if aim is None else abs(after.value - aim) <= abs(before.value - aim)
    return after.value < before.value if after.target == "min" else after.value >= before.value - 0.02


def _style(compared: Compared) -> str:
    """Green where the change goes the way the target asks, red where it does not, yellow beyond the baseline."""
    good, after = improved(compared), compared.after
    if good and after and after.target == "min" and below_baseline(after, compared.baseline):
        return "yellow"
    return {True: "green", False: "red", None: ""}[good]


def has_value(compared: Compared) -> bool:
    """Whether a moment has a value."""
    return any(score and score.value is not None for score in (compared.before, compared.after, compared.baseline))


def _changed(compared: Compared) -> bool:
    values = [score.value for score in (compared.before, compared.after, compared.baseline) if score]
    return len(values) < 2 or len(set(values)) > 1


Lines = Sequence[tuple[str, list[tuple[str, Compared]]]]  # headings with their metrics


def _lines(report: RunReport, *, everything: bool) -> Iterator[tuple[str, list[tuple[str, Compared]]]]:
    """Headings with their metrics: each split, general ability, then fluency where it changed. Metrics without a value are
    left out."""
    general: list[tuple[str, Compared]] = []
    fluency: list[tuple[str, Compared]] = []
    for split, metrics in report.scores.items():
        if split in GENERAL and not everything:
            general += [(name, metrics[metric]) for name in SHORTLY if (metric := name.removeprefix(f"{split}.")) in metrics]
            continue
        listed = []
        for name, both in metrics.items():
            declared = METRICS.get(name) if METRICS.has(name) else None
            if not has_value(both) or not (everything or declared is None or not declared.fluency or _changed(both)):
                continue
            if declared is not None and not (everything or declared.shown):
                continue
            if declared is not None and declared.fluency:
                fluency.append((f"{split}.{name}", both))
            else:
                listed.append((name, both))
        yield split, sorted(listed, key=lambda pair: FIRST.index(pair[0]) if pair[0] in FIRST else len(FIRST))
    yield "general ability", [(name, both) for name, both in general if has_value(both)]
    yield "fluency", fluency


def after_heading(report: RunReport) -> str:
    """The heading of the scores: `score` for a model that is no run and was not measured before, else `after`."""
    before = any(both.before for metrics in report.scores.values() for both in metrics.values())
    return "after" if before or report.command != "evaluate" or report.config.get("run") else "score"


def scores_table(report: RunReport, path: Path | None = None, *, everything: bool = False) -> Group:
    """Metrics by split, at each moment, with the interval of the last one and the better direction.

    On a narrow terminal intervals are left out, and the direction is only an arrow. Names fold, numbers never do.

    Args:
        report: the report with the scores.
        path: the report or its folder, for the command that shows all metrics.
        everything: show also the metrics that are nearly equal to another.
    """
    lines = list(_lines(report, everything=everything))
    every = sum(has_value(both) for metrics in report.scores.values() for both in metrics.values())
    left = every - sum(len(metrics) for _, metrics in lines)
    # Under the table and not in its caption, which is folded to the table's width.
    show = f"`unlearn report show {shlex.quote(str(path))} --full-table`" if path else "--full-table"
    more = Text(f"{left} more: {show}", style="dim italic")
    table = ResponsiveTable(lambda: _scores(report, lines, intervals=True), lambda: _scores(report, lines, intervals=False))
    return Group(table, *([more] if left else []))


def _scores(report: RunReport, lines: Lines, *, intervals: bool) -> Table:
    shown = [m for m in MOMENTS if any(getattr(c, m) for metrics in report.scores.values() for c in metrics.values())]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for moment in shown:
        table.add_column(after_heading(report) if moment == "after" else moment, justify="right", no_wrap=True)
        if moment == "after" and intervals:
            table.add_column("95 % interval", style="dim", no_wrap=True)
    table.add_column("better" if intervals else "", style="dim", no_wrap=True)
    for heading, metrics in lines:
        if not metrics:
            continue
        counts = [both.after.n for _, both in metrics if both.after]
        table.add_row(f"[bold]{heading}[/] [dim]n = {max(counts, default=0)}[/]")
        for name, both in metrics:
            cells: list[Text] = []
            for moment in shown:
                score = getattr(both, moment)
                cells.append(Text(number(score), style=_style(both) if moment == "after" else ""))
                if moment == "after" and intervals:
                    cells.append(Text(interval(score)))
            known = both.after or both.before or both.baseline
            label = name + _rates(both.after)
            arrow = ARROWS.get(known.target or "", "") if known else ""
            table.add_row(Padding(label, (0, 0, 0, 2)), *cells, arrow if intervals else arrow[:1])
    return table


def _rates(score: Score | None) -> str:
    """Beside an AUC: the share of rows recognized at 1 and at 0.1 % false positives."""
    rates = [(score.details.get(f"tpr_at_{rate}_percent_fpr"), rate) for rate in ("1", "0.1")] if score else []
    shown = [f"{value:.0%} at {rate} %" for value, rate in rates if value is not None]
    return f" (found: {', '.join(shown)})" if shown else ""


def harness_table(report: RunReport) -> Table:
    """Results of the evaluation harness: a line for each task and metric."""
    table = Table(box=None, pad_edge=False, header_style="bold", title="\nevaluation harness", title_justify="left")
    for name in ("task", "metric"):
        table.add_column(name, overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    for task, values in report.harness.items():
        for metric, value in values.items():
            table.add_row(Text(task), Text(metric), digits(value))
    return table


def replies_table(replies: Mapping[str, str]) -> Table:
    """The answer of each model to one question."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for model, reply in replies.items():
        table.add_row(model, Text(reply or "(nothing)"))
    return table


def answers_table(moments: Mapping[str, Mapping[str, Measured]], count: int, report: RunReport) -> Table:
    """Forget questions with the true answer and what was generated at each moment, evenly spread over those answered."""
    table = Table(box=None, pad_edge=False, show_header=False, title="\nforget answers", title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    after = moments["after"].get("forget")
    if after is None:
        return table
    shown = {moment: moments[moment]["forget"] for moment in MOMENTS if "forget" in moments.get(moment, {})}
    labels = {moment: moment for moment in shown} | {"after": "answer" if after_heading(report) == "score" else "after"}
    answered = [row for row, answer in enumerate(after.generations) if answer is not None]
    for row in answered[:: max(1, len(answered) // count)][:count]:
        table.add_row("question", Text(after.prompts[row], style="bold"))
        table.add_row("truth", Text(after.references[row]))
        for moment, measured in shown.items():
            answers = dict(zip(measured.ids, measured.generations, strict=True))
            table.add_row(labels[moment], Text(answers.get(after.ids[row]) or "-"))
        table.add_row("", "")
    return table


def story_table(parts: Mapping[str, str]) -> Table:
    """A question and who answers what, each on a line of its own."""
    table = Table(box=None, pad_edge=False, show_header=False, title=" ")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in parts.items():
        table.add_row(label, Text(text, style="bold" if label == "question" else ""))
    return table


@dataclass(frozen=True)
class ScoreInWords:
    """A score in words."""

    what: str
    before: float | None
    after: float | None
    baseline: float | None
    words: str
    good: bool


def in_words_table(lines: Sequence[ScoreInWords]) -> Table:
    """Scores of a run in words: what was measured, before, after, under a model that never knew, and what that means."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=" ")
    table.add_column("", overflow="fold")
    for heading in ("before", "after", "baseline"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for line in lines:
        values = ("-" if value is None else f"{value:.2f}" for value in (line.before, line.after, line.baseline))
        table.add_row(line.what, *values, Text(line.words, style="green" if line.good else "yellow"))
    return table
