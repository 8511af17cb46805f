"""Which rows an attacker may have, and how many answers overlap with them."""

from __future__ import annotations

import pytest

from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.attacking.attack_data import check_no_answers, overlap

ANSWER = "She was born in a small house by the river in 1961"


def row(name: str, answer: str, question: str = "Where was she born?") -> Example:
    return Example(name, (("user", question),), answer, "qa")


def test_judged_answers_word_for_word_are_refused() -> None:
    """Whatever case and spacing, and wherever in the row."""
    hidden = row("x", f"It is said: {ANSWER.upper().replace(' ', '  ')}, and so on.")
    with pytest.raises(UnlearnError, match="word for word"):
        check_no_answers([row("7", ANSWER)], [hidden])
    with pytest.raises(UnlearnError, match="forget row 7"):
        check_no_answers([row("7", ANSWER)], [row("x", "No.", question=ANSWER)])


@pytest.mark.parametrize("known", ["She was born in a small house", "Nothing of the kind", ""])
def test_what_is_no_answer_passes(known: str) -> None:
    check_no_answers([row("7", ANSWER)], [row("x", known)])


def test_short_answers_do_not_count() -> None:
    """`In Lima` is in many rows that give nothing away."""
    check_no_answers([row("7", "In Lima")], [row("x", "He lived in Lima for years")])


def test_overlap_counts_answers_that_share_eight_words() -> None:
    judged = [row("0", ANSWER), row("1", "Another answer of quite other words about something else entirely")]
    assert overlap(judged, [row("x", "they say she was born in a small house by the sea")]) == 1
    assert overlap(judged, [row("x", "she was born in a large house by the sea")]) == 0
