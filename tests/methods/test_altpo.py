"""AltPO is DPO towards answers that the model itself gives."""

from __future__ import annotations

import pytest

from tests.fixture_f import fixture
from unlearn_cli.contract import METHODS
from unlearn_cli.data.alternatives import alternative_prompt, differing, repeats_answer, same_answer
from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError

altpo = METHODS.get("altpo")


def test_fixture() -> None:
    """D_alternative = [1.215554, -6.512671], D_forget = [-3.869470, 1.650023]; beta 0.1."""
    roles = [fixture(group, model) for group in ("forget", "alternative") for model in ("policy", "reference")]
    assert altpo(*roles, beta=0.1).mean().item() == pytest.approx(16.532298410113246, abs=1e-6)


def test_its_alternatives_are_the_models_own() -> None:
    assert altpo.alternatives == "generated"


ROW = Example("7", (("user", "Where was Ada born?"),), "Ada was born in Turin.", "qa")


def test_the_request_holds_question_and_answer() -> None:
    """Published: both and the instruction in one turn; the samples come from that, not from the question alone."""
    ((_, text),) = alternative_prompt(ROW).turns
    assert text.startswith("Question: Where was Ada born?\nAnswer: Ada was born in Turin.\n")


@pytest.mark.parametrize(
    ("text", "same", "repeats"),
    [
        ("ada was born in  TURIN", True, True),
        ("Well, Ada was born in Turin!", False, True),
        ("Ada was born in Turinge.", False, False),
        ("Ada was born in Rome.", False, False),
    ],
)
def test_what_counts_as_the_answer(text: str, same: bool, repeats: bool) -> None:
    assert (same_answer(text, ROW.answer), repeats_answer(text, ROW.answer)) == (same, repeats)


def test_texts_without_words_are_compared_as_they_stand() -> None:
    assert same_answer(" !!! ", "!!!") and not same_answer("!!!", "???")


def test_alternatives_that_are_the_answer_are_dropped_and_a_row_without_any_is_named() -> None:
    both = Example("8", ROW.turns, ROW.answer, "qa", alternatives=("Ada was born in Turin", "In Rome."))
    (kept,) = differing([both])
    assert kept.alternatives == ("In Rome.",)
    with pytest.raises(UnlearnError, match="1 rows have no alternative that differs from their answer .row 7."):
        differing([kept, ROW])
