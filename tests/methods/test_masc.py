"""MASC: the gap to the best competitors."""

from __future__ import annotations

import math

import pytest

from tests.fixture_f import one_token
from unlearn_cli.contract import METHODS

masc = METHODS.get("masc")


def test_worked_example() -> None:
    """p = (0.8, 0.1, 0.05, 0.05), y first: ln 8 to the best, ln 8 + ln(2) / 2 to the mean of the best two."""
    for competitors, gap in ((1, math.log(8)), (2, math.log(8) + math.log(2) / 2)):
        loss = masc(one_token([0.8, 0.1, 0.05, 0.05]), competitors=competitors, margin=0.0)
        assert loss.item() == pytest.approx(gap)


def test_a_closed_gap_has_no_gradient() -> None:
    outputs = one_token([0.2, 0.5, 0.3])
    loss = masc(outputs, competitors=1, margin=0.0)
    loss.sum().backward()
    assert loss.item() == 0.0 and outputs.logits.grad.abs().max().item() == 0.0


def test_the_margin_goes_on_below() -> None:
    """p_y = p_v: the gap is 0, and a margin of -2 asks for two nats more."""
    assert masc(one_token([0.5, 0.5]), competitors=1, margin=-2.0).item() == pytest.approx(2.0)


def test_all_others_count_where_there_are_fewer_competitors() -> None:
    """p = (0.8, 0.1, 0.05, 0.05) and k = 5: ln 8 to the first, ln 16 to two others; in the mean ln 8 + 2 ln(2) / 3."""
    loss = masc(one_token([0.8, 0.1, 0.05, 0.05]), competitors=5, margin=0.0)
    assert loss.item() == pytest.approx(math.log(8) + 2 * math.log(2) / 3)
