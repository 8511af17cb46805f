"""The target of a run: the level to come down to, and whether it was reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from unlearn_cli.data.general_ability import TEXTS
from unlearn_cli.data.tokenize import Row
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.evaluation.never_known import NeverKnown, level_of, measured_level
from unlearn_cli.expressions.parser import Condition, Missing
from unlearn_cli.measured import Measured
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.scoring.splits import RETAIN_TRAINED, training_retain
from unlearn_cli.report import Scores, Status, TargetReport
from unlearn_cli.training.passes import answer_probabilities
from unlearn_cli.training.target import Target

KEEP = 0.95  # share of the held-out retain rows' probability that must be left
OTHER_ANSWERS = 32  # forget questions that are asked with an answer of another row
WORST_LISTED = 5
GAP = 0.05  # between trained and held-out retain rows, in shares of what was there: more is said
SEARCHES = 40  # halvings of an interval, in the search for the number in an expression


@dataclass(frozen=True)
class RunTarget:
    """What a run is to reach, and where the level comes from."""

    aims: Target
    source: str
    rows: int  # that the level was taken from


def find_target(run: ResolvedRun, loaded: LoadedModel, before: Mapping[str, Measured]) -> RunTarget | None:
    """The target of a run on the model before training; None where it trains over a fixed schedule.

    The level of never having known is that of the best there is: holdout rows, wrong answers in the data, answers of other
    rows to the forget questions, the shipped paragraphs. `--until` and `--keep` take its place where they are given.
    """
    if not run.settings.has_target:
        return None
    config, forget = run.config, np.exp(before["forget"].mean_logps)
    known = measured_level(before) or _other_answers(run, loaded)
    if known is None and TEXTS in before:
        known = level_of(np.exp(before[TEXTS].mean_logps), "the shipped paragraphs, which no model was trained on")
    known = known or NeverKnown(
        0.1 * float(forget.mean()), 0.2 * float(forget.mean()), "a tenth of the probability before", 0
    )
    level, row_level, source = known.level, max(known.row_level, known.level), known.source
    if config.until and (limit := _threshold(config.until, "forget", float(forget.mean()), largest=True)):
        level, row_level, source = limit, max(2 * limit, row_level * limit / level), f"--until '{config.until}'"
    keep = KEEP
    if config.keep and "retain" in before:
        mean = float(np.exp(before["retain"].mean_logps).mean())
        keep = (_threshold(config.keep, "retain", mean, largest=False) or KEEP * mean) / mean
    if forget.mean() <= level:
        run.reporter.note(
            f"the model gives the forget rows a probability of {forget.mean():.3g}, no more than it gives to what it never "
            f"knew ({level:.3g}, by {source}): there is no level to come down to, and training runs over its fixed schedule"
        )
        return None
    run.reporter.say(
        f"target: forget probability from {forget.mean():.3g} down to {level:.3g} (by {source}), "
        f"with {keep:.0%} of the retain probability left"
    )
    return RunTarget(Target(level, row_level, keep), source, known.rows)


def _other_answers(run: ResolvedRun, loaded: LoadedModel) -> NeverKnown | None:
    """The level by answers of other rows to the forget questions; None for raw documents, and where there is no other row.

    Answers of retain rows come first: the model knows them as well, and they are not pushed down.
    """
    examples = [example for example in run.inputs["forget"].split.examples if example.turns]
    retain = training_retain(run.inputs)
    others = [e.answer for e in (retain.split.examples if retain else examples) if e.turns]
    source = f"answers of other {'retain' if retain and others else 'forget'} rows to the forget questions"
    chosen = [examples[i] for i in spread(len(examples), OTHER_ANSWERS)] if examples else []
    rows: list[Row] = []
    for number, example in enumerate(chosen):
        answers = [others[(7 * number + k) % len(others)] for k in (1, 2)] if others else []
        rows += [run.encoder.encode_answer(example, text) for text in answers if text != example.answer]
    if not rows:
        return None
    return level_of(np.array(answer_probabilities(loaded.model, loaded.layout, loaded.device, rows)), source)


def _threshold(condition: Condition, split: str, before: float, *, largest: bool) -> float | None:
    """The largest (or smallest) probability of a split for which a condition holds; None if it is about something else."""

    def holds(probability: float) -> bool:
        values = {(split, "probability", "after"): probability, (split, "probability", "before"): before}
        return condition.holds(lambda *name: values.get(name))

    try:
        low, high = 0.0, 1.0
        if holds(low) is holds(high) or holds(low) is not largest:
            return None
        for _ in range(SEARCHES):
            middle = (low + high) / 2
            low, high = (middle, high) if holds(middle) is largest else (low, middle)
        return low if largest else high
    except Missing:
        return None


def judge_target(
    target: RunTarget, moments: Mapping[str, Mapping[str, Measured]], holds: Callable[[Condition], bool],
    conditions: tuple[Condition | None, Condition | None],
) -> tuple[TargetReport, Status, str | None]:  # fmt: skip
    """Whether both halves of the target hold, by all rows that were measured.

    Args:
        target: what was to be reached.
        moments: "before" and "after" -> measurements by split.
        holds: whether a condition holds of the scores.
        conditions: of `--until` and of `--keep`, where they were given.
    """
    forget = np.exp(moments["after"]["forget"].mean_logps)
    ids = moments["after"]["forget"].ids
    above = [int(i) for i in np.argsort(-forget) if forget[i] > target.aims.row_level]
    share = None
    if "retain" in moments["after"]:
        share = float(
            np.exp(moments["after"]["retain"].mean_logps).mean() / np.exp(moments["before"]["retain"].mean_logps).mean()
        )
    until, keep = conditions
    reached = holds(until) if until else bool(forget.mean() <= target.aims.level * 1.05 and len(above) <= 0.05 * len(forget))
    retain_holds = holds(keep) if keep else share is None or share >= target.aims.keep
    report = TargetReport(
        level=target.aims.level,
        row_level=target.aims.row_level,
        source=target.source,
        keep=target.aims.keep,
        forget_reached=reached,
        retain_reached=retain_holds,
        retain_share=share,
        forget=float(forget.mean()),
        rows_above=len(above),
        rows=len(forget),
        worst={ids[i]: float(forget[i]) for i in np.argsort(-forget)[:WORST_LISTED]},
    )
    if reached and retain_holds:
        return report, "completed", None
    return report, "not_reached", _missed(report, moments)


def _missed(report: TargetReport, moments: Mapping[str, Mapping[str, Measured]]) -> str:
    """Which half of the target failed, by how much, and what to try next."""
    before, after = (float(np.exp(moments[name]["forget"].mean_logps).mean()) for name in ("before", "after"))
    parts, advice = [], []
    if not report.forget_reached:
        left = max(0.0, (after - report.level) / (before - report.level))
        parts.append(
            f"{left:.0%} of what the forget rows' probability had to lose is left ({before:.3g} -> {after:.3g}, target "
            f"{report.level:.3g}); {report.rows_above} of {report.rows} rows are above {report.row_level:.3g}, the worst is "
            f"row {next(iter(report.worst))} with {next(iter(report.worst.values())):.3g}"
        )
        advice.append("a larger --max-steps or --learning-rate")
    if not report.retain_reached:
        parts.append(
            f"{report.retain_share or 0:.0%} of the retain rows' probability is left, {report.keep:.0%} was to stay"
        )
        advice.append("more retain rows, a larger --retain-ratio or a smaller --learning-rate")
    return f"target not reached: {'; '.join(parts)}; try {', and '.join(advice)}"


def in_words(report: TargetReport, scores: Scores) -> str:
    """Both halves of the target in a line, and the gap between retain rows that were trained on and those that were not."""
    forgotten = "reached" if report.forget_reached else "not reached"
    parts = [
        f"target {forgotten}: forget probability {report.forget:.3g}, level {report.level:.3g} (by {report.source}); "
        f"{report.rows_above} of {report.rows} rows are above {report.row_level:.3g}"
    ]
    if report.retain_share is not None:
        text = f"retain {'kept' if report.retain_reached else 'not kept'}: {report.retain_share:.1%} is left"
        trained = _share_left(scores, RETAIN_TRAINED)
        if trained is not None:
            text += f" on held-out rows, {trained:.1%} on trained ones"
            if trained - report.retain_share > GAP:
                text += ": training on the retain rows holds them and not their like"
        parts.append(text)
    return "; ".join(parts)


def _share_left(scores: Scores, split: str) -> float | None:
    """The share that is left of a split's probability; None where it was not measured."""
    both = scores.get(split, {}).get("probability")
    if both is None or not both.before or not both.after or not both.before.value or both.after.value is None:
        return None
    return both.after.value / both.before.value
