"""The little language of --fail-if and --stop-when: what it says, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.parser import Missing, arithmetic, parse
from unlearn_cli.recipes.scoring.gates import lookup_in
from unlearn_cli.report import Compared, Score

METRICS = ["probability", "rouge_l", "nll"]
VALUES = {
    ("forget", "probability", "before"): 0.8,
    ("forget", "probability", "after"): 0.1,
    ("forget", "probability", "baseline"): 0.2,
    ("retain", "rouge_l", "before"): 0.9,
    ("retain", "rouge_l", "after"): 0.7,
    ("forget", "nll", "after"): 0.0,
}


def find(split: str, metric: str, moment: str) -> float | None:
    return VALUES.get((split, metric, moment))


def holds(text: str) -> bool:
    return parse(text, metrics=METRICS).holds(find)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("forget.probability < 0.2", True),
        ("forget.probability > 0.2", False),
        ("forget.probability <= 0.1", True),
        ("forget.probability >= 0.11", False),
        ("forget.probability == 0.1", True),
        ("forget.probability != 0.1", False),
        ("forget.probability.after == forget.probability", True),
        ("forget.probability.before == 0.8", True),
        ("forget.probability.baseline == 0.2", True),
        ("0 < forget.probability < 0.2", True),
        ("0 < forget.probability < 0.05", False),
        ("0.5 < forget.probability < 0.2", False),
        ("not forget.probability > 0.2", True),
        ("not not forget.probability > 0.2", False),
        ("forget.probability < 0.2 and retain.rouge_l > 0.5", True),
        ("forget.probability < 0.2 and retain.rouge_l > 0.8", False),
        ("forget.probability > 0.2 or retain.rouge_l > 0.5", True),
        ("forget.probability > 0.2 or retain.rouge_l > 0.8", False),
        ("retain.rouge_l < 0.9 * retain.rouge_l.before", True),
        ("retain.rouge_l - retain.rouge_l.before > -0.3", True),
        ("retain.rouge_l + 1 > 1.69", True),
        ("retain.rouge_l / retain.rouge_l.before < 0.78", True),
        ("retain.rouge_l >= 0.7 * before", True),
        ("retain.rouge_l > 0.8 * before", False),
        ("forget.probability < baseline < before", True),
        ("-forget.probability < 0", True),
        ("--forget.probability > 0", True),
        ("1e-3 < forget.probability", True),
        ("  (forget.probability < 1)  ", True),
        ("\tforget.probability < 1\n", True),
    ],
)
def test_every_construct(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 > 0 or 1 > 0 and 1 < 0", True),  # and before or
        ("(1 > 0 or 1 > 0) and 1 < 0", False),
        ("not 1 < 0 and 1 < 0", False),  # not before and
        ("not (1 < 0 and 1 < 0)", True),
        ("not 1 > 0 or 1 > 0", True),  # not before or
        ("2 + 3 * 4 == 14", True),
        ("(2 + 3) * 4 == 20", True),
        ("10 - 4 - 3 == 3", True),  # from the left
        ("16 / 4 / 2 == 2", True),
        ("-2 * 3 == -6", True),
        ("1 + 1 > 1 and 2 < 3", True),
    ],
)
def test_precedence(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "forget.probability",  # no condition
        "1",
        "1 + 2",
        "True",
        "forget.probability < True",
        "forget.probability < None",
        "forget.probability < 'a'",
        'forget.probability < b"a"',
        "f'{forget.probability}' < 1",
        "forget.probability < 1j",
        "forget.probability.after.before < 1",
        "forget.probability.now < 1",
        "forget.probability() < 1",
        "abs(forget.probability) < 1",
        "forget().probability < 1",
        "(lambda: 1)() < 1",
        "__import__('os').system('true') < 1",
        "forget.probability[0] < 1",
        "forget['probability'] < 1",
        "forget.probability ** 2 < 1",
        "9 ** 9 ** 9 < 1",
        "forget.probability // 2 < 1",
        "forget.probability % 2 < 1",
        "forget.probability << 2 < 1",
        "forget.probability | 1 < 1",
        "~forget.probability < 1",
        "+forget.probability < 1",
        "forget.probability < 1 if 1 < 2 else 1 < 2",
        "forget.probability in [1]",
        "forget.probability is 1",
        "forget.probability is not 1",
        "[forget.probability] < [1]",
        "(forget.probability, 1) < (1, 2)",
        "{1} < {2}",
        "[x for x in forget.probability] < 1",
        "(x := 1) < 2",
        "(1 < 2) < 3",  # a truth value is no number
        "(1 < 2) + 1 < 3",
        "-(1 < 2)",
        "not forget.probability",
        "forget.probability and 1 < 2",
        "forget.probability < (1 and 2)",
        "forget.probability <",
        "forget.probability < 1; 1 < 2",
        "import os",
        "",
        "   ",
        "forget.probability < 1 # and\n1 < 2",
        "await forget.probability < 1",
        "(yield) < 1",
        "forget.probability < ...",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(UnlearnError) as error:
        parse(text, metrics=METRICS)
    assert text in error.value.message
    assert "forget.probability > 0.05" in error.value.hint


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("forget.rouge < 1", "unknown metric 'rouge'", "did you mean 'rouge_l'"),
        ("forget.rouge-x < 1", "unknown metric 'rouge_x'", "did you mean 'rouge_l'"),
        ("forget.probabilty > 0.1", "unknown metric 'probabilty'", "did you mean 'probability'"),
        ("forget.__class__ < 1", "unknown metric '__class__'", "`unlearn list metrics`"),
        ("probability > 0.1", "'probability' has no split", "write SPLIT.METRIC: forget.probability"),
        ("rouge > 0.1", "'rouge' has no split", "write SPLIT.METRIC: forget.rouge_l"),
        ("forget > 0.1", "'forget' has no metric", "write SPLIT.METRIC: forget.probability"),
        ("recovery > 0.1", "'recovery' has no attack", "relearn.recovery.max"),
        ("forget.nll => 0.1", "not an expression", "did you mean 'forget.nll >= 0.1'?"),
        ("forget.nll =< 0.1", "not an expression", "did you mean 'forget.nll <= 0.1'?"),
        ("forget.nll = 1", "not an expression", "did you mean 'forget.nll == 1'?"),
        ("forget.nll <= 1 && 1 < 2", "not an expression", "did you mean 'forget.nll <= 1 and 1 < 2'?"),
        ("abs(forget.nll) > 1", "comparisons, and, or, not are allowed", "> 0.05 and "),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(text: str, message: str, hint: str) -> None:
    with pytest.raises(UnlearnError) as error:
        parse(text, metrics=METRICS)
    assert text in error.value.message and message in error.value.message
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("retain.rouge-l == 0.7", True),
        ("retain.rouge-l.before - retain.rouge-l > 0.1", True),
        ("retain.rouge_l-forget.probability == 0.7-0.1", True),  # a minus stays a minus
        ("before-forget.probability > 0.6", True),
        ("real-authors.rouge-l < 1", True),
    ],
)
def test_hyphens_of_names_are_read_as_underscores(text: str, expected: bool) -> None:
    values = {**VALUES, ("real_authors", "rouge_l", "after"): 0.5}
    assert parse(text, metrics=METRICS).holds(lambda *name: values.get(name)) is expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("forget.probability > 0.05", "FAILED: forget.probability is 0.1 > 0.05"),
        ("forget.probability>0.2", "ok: forget.probability is 0.1, not > 0.2"),
        ("forget.probability.before > 0.9", "ok: forget.probability.before is 0.8, not > 0.9"),
        (
            "retain.rouge_l < 0.95 * before",
            "FAILED: retain.rouge_l < 0.95 * before (retain.rouge_l 0.7, before 0.9)",
        ),
        (
            "forget.probability > 1 or retain.rouge_l > 0.9",
            "ok: forget.probability > 1 or retain.rouge_l > 0.9 does not hold (forget.probability 0.1, retain.rouge_l 0.7)",
        ),
        ("0 < forget.probability < 0.2", "FAILED: 0 < forget.probability < 0.2 (forget.probability 0.1)"),
        ("1 < 2", "FAILED: 1 < 2"),
        ("forget.nll.before < 1", "FAILED: forget.nll.before < 1 (forget.nll.before has no value: nobody looked)"),
        ("1 / forget.nll < 1", "FAILED: 1 / forget.nll < 1 (division by zero)"),
    ],
)
def test_a_verdict_says_what_decided(text: str, line: str) -> None:
    from unlearn_cli.recipes.scoring import gates

    assert gates.line(gates.judge(parse(text, metrics=METRICS), find, lambda *_name: "nobody looked")) == line


def test_no_verdict_rounds_a_value_to_the_other_side_of_its_limit() -> None:
    from unlearn_cli.recipes.scoring import gates

    look = {("forget", "nll", "after"): 0.10004}.get
    gate = gates.judge(parse("forget.nll > 0.1", metrics=METRICS), lambda *name: look(name))
    assert gates.line(gate) == "FAILED: forget.nll is 0.10004 > 0.1"
    below = gates.judge(parse("forget.nll < -0.5", metrics=METRICS), lambda *_name: -0.50004)
    assert gates.line(below) == "FAILED: forget.nll is -0.50004 < -0.5"


@pytest.mark.parametrize(
    "text",
    [
        "holdout.nll < 1",
        "forget.nll.before < 1",
        "1 < 2 or holdout.nll < 1",  # not hidden behind an early answer
        "1 > 2 and holdout.nll < 1",
        "2 < 1 < holdout.nll",
        "not holdout.nll < 1",
    ],
)
def test_a_name_without_a_value_is_an_error_of_its_own(text: str) -> None:
    with pytest.raises(Missing, match="nll"):
        holds(text)


def test_division_by_zero() -> None:
    for text in ("1 / 0 < 1", "forget.probability / forget.nll < 1", "1 > 2 and 1 / forget.nll < 1"):
        with pytest.raises(Missing, match="division by zero"):
            holds(text)


def test_a_whole_number_too_large_for_a_float() -> None:
    with pytest.raises(Missing, match="a number too large"):
        holds(f"{10**400} * forget.probability < 1")


def test_names_are_listed_once_for_each_use() -> None:
    text = "forget.probability > 0.05 and retain.rouge_l.after < 0.9 * retain.rouge_l.before"
    assert parse(text, metrics=METRICS).names() == [
        ("forget", "probability", "after"),
        ("retain", "rouge_l", "after"),
        ("retain", "rouge_l", "before"),
    ]


def test_lookup_in_a_report() -> None:
    scores = {
        "forget": {
            "nll": Compared(before=Score(value=2.0, n=3), after=Score(value=None, n=0, reason="no row has a value")),
        }
    }
    look = lookup_in(scores)
    assert look("forget", "nll", "before") == 2.0
    assert look("forget", "nll", "after") is None
    assert look("forget", "nll", "baseline") is None
    assert look("forget", "probability", "after") is None
    assert look("elsewhere", "nll", "after") is None
    assert parse("forget.nll.before == 2", metrics=METRICS).holds(look)


def test_zero_is_a_value() -> None:
    look = lookup_in({"forget": {"nll": SimpleNamespace(after=SimpleNamespace(value=0.0))}})
    assert parse("forget.nll == 0", metrics=METRICS).holds(look)


@pytest.mark.parametrize("text", ["before > 0.5", "forget.probability < before * retain.rouge_l"])
def test_a_moment_alone_needs_one_metric(text: str) -> None:
    with pytest.raises(UnlearnError, match="exactly one metric"):
        parse(text, metrics=METRICS)


@pytest.mark.parametrize(
    ("text", "value"),
    [("retain.rouge-l - forget.probability", 0.6), ("-forget.probability.before", -0.8), ("2 * (1 + forget.nll)", 2.0)],
)
def test_a_score_is_a_number(text: str, value: float) -> None:
    score = arithmetic(text, metrics=METRICS)
    assert score.value(find) == pytest.approx(value) and str(score) == text


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("forget.probability > 0", "only numbers, names", "a score looks like"),
        ("forget.probability +", "not an expression", "a score looks like"),
        ("forget.nll) > 0 and (retain.nll", "not an expression", "a score looks like"),
        ("forget.nll) > (0", "not an expression", "a score looks like"),
        ("probability", "'probability' has no split", "write SPLIT.METRIC: forget.probability"),
        ("forget.probabilty", "unknown metric 'probabilty'", "did you mean 'probability'"),
    ],
)
def test_what_is_no_score(text: str, message: str, hint: str) -> None:
    with pytest.raises(UnlearnError) as error:
        arithmetic(text, metrics=METRICS)
    assert error.value.message.startswith(f"--score '{text}': ") and message in error.value.message
    assert hint in error.value.hint
