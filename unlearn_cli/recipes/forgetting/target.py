"""The target of a run: find the level that the forget rows should come down to, and judge whether the run reached it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data.alternatives import same_answer
from unlearn_cli.data.general_ability import TEXTS
from unlearn_cli.data.tokenize import Row
from unlearn_cli.data.written import AUTO, is_neutral
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.baseline import CLEARLY_BELOW, UNKNOWN
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.evaluation.never_known import NeverKnown, holdout_level, larger_of, level_of, wrong_answers_level
from unlearn_cli.expressions.parser import ROWS, Condition, Missing
from unlearn_cli.measured import Measured
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import answer_probabilities
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.scoring.halves import judge_halves
from unlearn_cli.recipes.scoring.outcome import KEPT
from unlearn_cli.recipes.scoring.splits import training_retain
from unlearn_cli.report import Scores, Status
from unlearn_cli.report_parts import Aims, TargetReport
from unlearn_cli.training.target import Target

OTHER_ANSWERS = 32  # forget questions that are measured with answers of other rows
# Share of the probability that must be left of rows that the model wrote itself. It is lower than for other rows: these are
# the model's likeliest answers, so any change lowers their probability.
KEPT_WRITTEN = 0.9
FORGOTTEN = ("forget", "probability")
KNOWN_ROW = 0.5  # from this probability on, a single row is known, however unlikely the others are
SEARCHES = 40  # halvings of an interval, to find the number in an expression


@dataclass(frozen=True)
class RunTarget:
    """The target of a run, and the source of its level."""

    aims: Target
    source: str
    every_row: bool = False  # `--until` bounds the likeliest row, so no row may be above it


def find_target(
    run: ResolvedRun, loaded: LoadedModel, before: Mapping[str, Measured], baseline: Measured | None = None
) -> RunTarget | None:
    """The target of a run; None if it trains over a fixed schedule.

    Args:
        run: its settings and rows.
        loaded: the model before training.
        before: split -> measurements of this model.
        baseline: measurements of the forget rows under a model that was trained without them, if there is one.

    Raises:
        UnlearnError: the baseline knows the forget rows, the model knows the holdout rows, or what `--until` asks for holds.
    """
    if not run.settings.has_target:
        if run.settings.procedure or run.objective.method.applied != "adapter":
            run.reporter.note(f"{run.config.method} has no target: it has its own schedule")
        return None
    forget, keep = float(before["forget"].probabilities.mean()), _share_to_keep(run, before)
    if baseline is not None and baseline.probabilities.mean() >= CLEARLY_BELOW * forget:
        raise UnlearnError(
            f"this baseline knows the forget rows: it gives them probability {baseline.probabilities.mean():.3f}, the model "
            f"itself {forget:.3f}",
            "--baseline takes a model that was trained without them",
        )
    unknown = _level(run, loaded, before, baseline)
    likeliest, is_down = float(before["forget"].probabilities.max()), forget <= unknown.level
    if run.config.until and _holds_now(run.config.until, before["forget"].probabilities):
        raise UnlearnError(
            f"--until '{run.config.until}' holds before training: the forget rows have a probability of {forget:.3g}",
            "ask for a lower value, or leave --until out",
        )
    if is_down and not unknown.source.startswith("--until") and likeliest <= max(KNOWN_ROW, unknown.row_level):
        why = (
            f"the forget rows have a probability of {forget:.3g}, no more than answers that the model never knew "
            f"({unknown.level:.3g}, by {unknown.source})"
        )
    elif likeliest < UNKNOWN and unknown.estimated and _are_questions(run):
        why = f"no forget row has a probability above {likeliest:.3g}, and below {UNKNOWN:g} a model does not know an answer"
    else:
        why = None
    if why:
        run.reporter.note(f"{why}: so the run has no target and trains all its steps")
        return None
    for name in ("lr_scheduler_type", "warmup_ratio"):
        if getattr(run.config, name) != ForgetConfig.model_fields[name].default:
            run.reporter.note(f"--{name.replace('_', '-')} is for a fixed schedule: a run with a target sets its own rate")
    kept = f"with {keep:.0%} of the retain probability left" if "retain" in before else "with no rows to keep"
    rows = f", each of them to {unknown.row_level:.3g} (one has {likeliest:.3g})" if is_down else ""
    run.reporter.say(
        f"target: forget probability from {forget:.3g} down to {unknown.level:.3g} (by {unknown.source}){rows}, {kept}"
    )
    every_row = run.config.until is not None and _threshold(run.config.until, "forget", forget, largest=True, place="max")
    return RunTarget(Target(unknown.level, unknown.row_level, keep), unknown.source, every_row=bool(every_row))


def find_level(
    run: ResolvedRun, loaded: LoadedModel, before: Mapping[str, Measured], baseline: Measured | None = None
) -> float | None:
    """The level of never having known, for a procedure that needs it and was given no `level`; None for others.

    The arguments are those of `find_target`.
    """
    procedure = run.settings.procedure
    if procedure is None or not procedure.needs_level or run.config.parameters["level"] is not None:
        return None
    unknown = _level(run, loaded, before, baseline)
    run.reporter.say(f"rows that the model never knew have a probability of {unknown.level:.3g}: by {unknown.source}")
    return unknown.level


def _level(run: ResolvedRun, loaded: LoadedModel, before: Mapping[str, Measured], baseline: Measured | None) -> NeverKnown:
    """The level of never having known, from the best available source. `--until` replaces it.

    The sources, best first: a baseline model; holdout rows; wrong answers in the data, or the forget questions with other
    rows' answers if those are likelier; the shipped paragraphs.
    """
    mean, until = float(before["forget"].probabilities.mean()), run.config.until
    unknown = level_of(baseline.probabilities, f"the baseline {Path(run.config.baseline or '').name}") if baseline else None
    holdout, others = holdout_level(before), None
    if unknown is None:
        others = larger_of(wrong_answers_level(before["forget"]), _other_answers(run, loaded))
    if holdout and others:
        _check_holdout(holdout, others, mean, run.reporter)
    unknown = unknown or holdout or others
    if unknown is None and TEXTS in before:
        unknown = level_of(before[TEXTS].probabilities, "the shipped paragraphs, which no model was trained on")
    unknown = unknown or NeverKnown(0.1 * mean, 0.2 * mean, "a tenth of the probability before", 0)
    limit = _threshold(until, "forget", mean, largest=True) if until else None
    worst = _threshold(until, "forget", mean, largest=True, place="max") if until else None
    if limit or worst:
        level = limit or min(unknown.level, worst or 1.0)
        # Above a mean of 0.9 there is little room for a row.
        row_level = worst or min(max(2 * level, unknown.row_level * level / unknown.level), (1 + level) / 2)
        return NeverKnown(level, row_level, f"--until '{until}'", unknown.rows)
    return unknown


def _check_holdout(holdout: NeverKnown, others: NeverKnown, forget: float, reporter: Reporter) -> None:
    """Refuse holdout rows that the model knows as well as the forget rows; say so where it may know some of them.

    `others`: answers that it cannot know; `forget`: mean probability of the forget rows.

    Raises:
        UnlearnError: it knows them.
    """
    if holdout.level <= others.row_level:
        return
    wanted = "--holdout takes rows like the forget rows that the model was never trained on"
    cannot = f"answers that it cannot know {others.level:.3g} (by {others.source})"
    if holdout.level >= CLEARLY_BELOW * forget:
        raise UnlearnError(
            f"the model knows the holdout rows: it gives them probability {holdout.level:.3f}, the forget rows "
            f"{forget:.3f}, and {cannot}",
            f"{wanted}; or leave it out",
        )
    reporter.note(
        f"the model may know some of the holdout rows: it gives them probability {holdout.level:.3f}, and {cannot}. Then "
        f"the target is too easy ({wanted})"
    )


def _share_to_keep(run: ResolvedRun, before: Mapping[str, Measured]) -> float:
    """The share of the held-out retain rows' probability that must be left: by `--keep` if it gives one, else the usual."""
    usual = KEPT_WRITTEN if "retain" in before and run.inputs["retain"].split.origin.spec == AUTO else KEPT
    if not run.config.keep or "retain" not in before:
        return usual
    mean = float(before["retain"].probabilities.mean())
    limit = _threshold(run.config.keep, "retain", mean, largest=False)
    return limit / mean if limit else usual


def _other_answers(run: ResolvedRun, loaded: LoadedModel) -> NeverKnown | None:
    """The level of forget questions with other rows' answers; None for raw documents, or if there are no other rows.

    Answers of retain rows are preferred: the model knows them as well, and training does not lower them.
    """
    examples = [example for example in run.inputs["forget"].split.examples if example.turns]
    retain = training_retain(run.inputs)
    others = [e.answer for e in (retain.split.examples if retain else examples) if e.turns and not is_neutral(e)]
    source = f"the forget questions with answers of {'retain rows' if retain and others else 'other forget rows'}"
    chosen = [examples[i] for i in spread(len(examples), OTHER_ANSWERS)] if examples else []
    rows: list[Row] = []
    for number, example in enumerate(chosen):
        answers = [others[(7 * number + k) % len(others)] for k in (1, 2)] if others else []
        rows += [run.encoder.encode_answer(example, text) for text in answers if not same_answer(text, example.answer)]
    if not rows:
        return None
    return level_of(answer_probabilities(loaded, rows, run.config.token_budget), source, estimated=True)


def _are_questions(run: ResolvedRun) -> bool:
    """Whether the forget rows are questions with answers. Tokens of a text are less likely, also where a model knows it."""
    return all(example.turns for example in run.inputs["forget"].split.examples)


def _holds_now(condition: Condition, forget: np.ndarray) -> bool:
    """Whether a condition on the forget rows' probability holds of the values [R]; False if it is about something else."""
    values = {"after": forget.mean(), "before": forget.mean(), "max": forget.max(), "min": forget.min()}
    try:
        return condition.holds(lambda split, metric, place: values.get(place) if (split, metric) == FORGOTTEN else None)
    except Missing:
        return False


def _threshold(condition: Condition, split: str, before: float, *, largest: bool, place: str = "after") -> float | None:
    """The largest (or smallest) probability of a split for which a condition holds; None if it does not bound it.

    `place`: "after" for the mean, "max" or "min" for the row with the largest or smallest value.
    """

    def holds(probability: float) -> bool:
        best = 0.0 if largest else 1.0
        values = {(split, "probability", name): best for name in ("after", *ROWS)}
        values |= {(split, "probability", "before"): before, (split, "probability", place): probability}
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
    target: RunTarget, config: ForgetConfig, moments: Mapping[str, Mapping[str, Measured]], scores: Scores
) -> tuple[TargetReport, Status, str | None]:
    """Judge both halves of the target by all measured rows. Returns the report, the status, and a message if it was missed.

    Args:
        target: the target.
        config: the run's settings; `--until` and `--keep` decide if they are given.
        moments: "before" and "after" -> measurements by split.
        scores: the run's scores.

    Raises:
        UnlearnError: `--until` or `--keep` names a score that has no value.
    """
    aims = Aims(level=target.aims.level, row_level=target.aims.row_level, source=target.source, keep=target.aims.keep)
    report = judge_halves(aims, moments, scores, config.until, config.keep)
    if report.forget_reached and report.retain_reached:
        return report, "completed", None
    return report, "not_reached", _missed(report, float(moments["before"]["forget"].probabilities.mean()))


def _missed(report: TargetReport, before: float) -> str:
    """The missed half of the target, and by how much. `before`: mean probability of the forget rows."""
    parts = []
    assert report.forget is not None  # `judge_target` has measured it
    if not report.forget_reached:
        way = before - report.level
        share_left = max(0.0, (report.forget - report.level) / way) if way > 0 else 0.0
        parts.append(
            f"{share_left:.0%} of the way down is left: forget probability {before:.3g} -> {report.forget:.3g}, "
            f"target {report.level:.3g}; {report.rows_above} of {report.rows} rows are above {report.row_level:.3g}, the "
            f"worst is row {next(iter(report.worst))} with {next(iter(report.worst.values())):.3g}"
        )
    if not report.retain_reached:
        parts.append(
            f"{report.retain_share or 0:.0%} of the retain rows' probability is left, the target was {report.keep:.0%}"
        )
    return f"target not reached: {'; '.join(parts)}"
