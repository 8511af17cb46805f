"""Relabeling: the wrong answer's negative log-likelihood."""

from __future__ import annotations

import math

import pytest

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS

relabel = METHODS.get("relabel")


def test_worked_example() -> None:
    """Tokens of 0.5 and 0.25: (ln 2 + ln 4) / 2 = 1.5 ln 2."""
    assert relabel(answers([math.log(0.5), math.log(0.25)])).item() == pytest.approx(1.5 * math.log(2))


def test_it_is_the_loss_of_a_refusal_on_another_answer() -> None:
    rows = fixture("alternative")
    assert relabel(rows).tolist() == pytest.approx(METHODS.get("idk")(rows).tolist())
    assert relabel.alternatives == "perturbed"
