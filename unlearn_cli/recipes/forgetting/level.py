"""The level of never having known, from the best source that a run has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from unlearn_cli.console import Reporter
from unlearn_cli.data.alternatives import same_answer
from unlearn_cli.data.general_ability import TEXTS
from unlearn_cli.data.tokenize import Row
from unlearn_cli.data.written import is_neutral
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.baseline import CLEARLY_BELOW, UNKNOWN
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.evaluation.never_known import NeverKnown, holdout_level, larger_of, level_of, wrong_answers_level
from unlearn_cli.expressions.parser import ROWS, Condition, Missing
from unlearn_cli.measured import Measured
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import answer_probabilities
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.scoring.splits import training_retain

OTHER_ANSWERS = 32  # forget questions that are measured with answers of other rows
OTHERS_IN_ALL = 64  # such answers, at least: so a single question has as many as there are, and not two
SEARCHES = 40  # halvings of an interval, to find the number in an expression


def never_known(
    run: ResolvedRun, loaded: LoadedModel, before: Mapping[str, Measured], baseline: Measured | None
) -> NeverKnown:
    """The level of never having known, from the best available source. `--until`, or a procedure's `level`, replaces it.

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
        paragraphs = "the shipped paragraphs, which no model was trained on"
        unknown = level_of(before[TEXTS].probabilities, paragraphs, estimated=True)
    unknown = unknown or NeverKnown(0.1 * mean, 0.2 * mean, "a tenth of the probability before", 0, estimated=True)
    procedure = run.settings.procedure
    chosen = run.config.parameters.get("level") if procedure and procedure.needs_level else None
    limit = threshold(until, "forget", mean, largest=True) if until else chosen
    worst = threshold(until, "forget", mean, largest=True, place="max") if until else None
    if limit or worst:
        level = limit or min(unknown.level, worst or 1.0)
        # Above a mean of 0.9 there is little room for a row.
        row_level = worst or min(max(2 * level, unknown.row_level * level / unknown.level), (1 + level) / 2)
        source = f"--until '{until}'" if until else f"-p level={chosen:g}"
        return NeverKnown(level, row_level, source, unknown.rows, chosen=True, every_row=bool(worst))
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
    if holdout.level >= max(CLEARLY_BELOW * forget, UNKNOWN):
        raise UnlearnError(
            f"the model knows the holdout rows: it gives them probability {holdout.level:.3f}, the forget rows "
            f"{forget:.3f}, and {cannot}",
            f"{wanted}; or leave it out",
        )
    reporter.note(
        f"the model may know some of the holdout rows: it gives them probability {holdout.level:.3f}, and {cannot}. Then "
        f"the target is too easy ({wanted})"
    )


def _other_answers(run: ResolvedRun, loaded: LoadedModel) -> NeverKnown | None:
    """The level of forget questions with other rows' answers; None for raw documents, or if there are no other rows.

    Answers of retain rows are preferred: the model knows them as well, and training does not lower them.
    """
    examples = [example for example in run.inputs["forget"].split.examples if example.turns]
    retain = training_retain(run.inputs)
    others = [e.answer for e in (retain.split.examples if retain else examples) if e.turns and not is_neutral(e)]
    source = f"the forget questions with answers of {'retain rows' if retain and others else 'other forget rows'}"
    chosen = [examples[i] for i in spread(len(examples), OTHER_ANSWERS)] if examples else []
    each = min(max(2, math.ceil(OTHERS_IN_ALL / max(1, len(chosen)))), len(others))
    rows: list[Row] = []
    for number, example in enumerate(chosen):
        answers = [others[(7 * number + k) % len(others)] for k in range(1, each + 1)]
        rows += [run.encoder.encode_answer(example, text) for text in answers if not same_answer(text, example.answer)]
    if not rows:
        return None
    return level_of(answer_probabilities(loaded, rows, run.config.token_budget), source, estimated=True)


def threshold(condition: Condition, split: str, before: float, *, largest: bool, place: str = "after") -> float | None:
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
