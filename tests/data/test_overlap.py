"""Rows that are in both splits."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from unlearn_cli.data.example import Example, Origin, Split
from unlearn_cli.data.overlap import check_overlap, overlapping
from unlearn_cli.errors import EXIT_USAGE, UnlearnError


def qa(row_id: str, question: str, answer: str) -> Example:
    return Example(row_id, (("user", question),), answer, "qa")


FORGET = [qa("f0", "Who?", "Mira Okafor"), qa("f1", "Where?", "Lagos"), qa("f2", "When?", "1961")]


def test_case_and_spacing_do_not_matter() -> None:
    retain = [qa("r0", "What?", "A book"), qa("r1", " WHERE? ", "\tlagos\n"), qa("r2", "Where?", "Lagos")]
    assert overlapping(FORGET, retain) == [(1, 1)]


def test_the_same_row_in_another_format() -> None:
    turns = (("system", "Be brief."), ("user", "Where?"))
    assert overlapping(FORGET, [Example("r", turns, "Lagos", "messages")]) == [(1, 0)]
    assert overlapping(FORGET, [Example("r", (), "Where? Lagos", "text")]) == [(1, 0)]


def test_same_question_with_another_answer_is_another_row() -> None:
    assert overlapping(FORGET, [qa("r", "Where?", "Accra")]) == []


def splits(**rows: list[Example]) -> dict[str, Split]:
    origin = Origin("spec", (), "qa", 0, 0, "")
    return {name: Split(name, tuple(examples), origin) for name, examples in rows.items()}


def test_refused_unless_allowed() -> None:
    retain = [qa("r0", "x", "y"), *FORGET]
    with pytest.raises(UnlearnError) as caught:
        check_overlap(splits(forget=FORGET, retain=retain), allow=False)
    assert caught.value.message == "3 rows are in both forget and retain (first: row f0 = row f0)"
    assert "--allow-overlap" in caught.value.hint
    assert caught.value.exit_code == EXIT_USAGE
    with pytest.raises(UnlearnError, match="^1 row is in both"):
        check_overlap(splits(forget=FORGET[:1], retain=retain), allow=False)
    check_overlap(splits(forget=FORGET, retain=retain), allow=True)
    placed = {"forget": [replace(FORGET[0], place="a.jsonl:4")], "retain": [replace(FORGET[0], place="b.csv:2")]}
    with pytest.raises(UnlearnError, match="first: a.jsonl:4 = b.csv:2"):
        check_overlap(splits(**placed), allow=False)
    check_overlap(splits(forget=FORGET, retain=retain[:1]), allow=False)


PAIRS = [
    ("forget", "retain"), ("forget", "retain_trained"), ("holdout", "forget"), ("holdout", "retain"),
    ("holdout", "retain_trained"), ("retain", "retain_trained"),
]  # fmt: skip


@pytest.mark.parametrize("names", PAIRS)
def test_splits_that_share_no_row(names: tuple[str, str]) -> None:
    rows = {"forget": [], "retain": [], "retain_trained": [], "holdout": []} | dict.fromkeys(names, FORGET[:1])
    with pytest.raises(UnlearnError, match="^1 row is in both"):
        check_overlap(splits(**rows), allow=False)


def test_linear_in_the_number_of_rows() -> None:
    many = [qa(str(number), f"question {number % 10}", "same") for number in range(20_000)]
    start = time.perf_counter()
    assert len(overlapping(many, many)) == 20_000
    assert time.perf_counter() - start < 5
