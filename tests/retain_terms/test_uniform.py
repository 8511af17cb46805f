"""Divergence from chance: KL(u || p)."""

from __future__ import annotations

import pytest

from tests.fixture_f import everywhere, fixture, one_token
from unlearn_cli.contract import RETAIN_TERMS

uniform = RETAIN_TERMS.get("uniform")


def test_worked_example() -> None:
    """p = [0.7, 0.2, 0.1]: -log 3 - (log 0.7 + log 0.2 + log 0.1) / 3 = 0.32428703."""
    assert uniform(one_token([0.7, 0.2, 0.1])).item() == pytest.approx(0.3242870277875163, abs=1e-9)


@pytest.mark.parametrize(("group", "value"), [("forget", 0.8064214587150692), ("retain", 0.6832955604441191)])
def test_fixture_over_all_positions(group: str, value: float) -> None:
    assert uniform(everywhere(group)).mean().item() == pytest.approx(value, abs=1e-6)


def test_fixture_on_the_answers() -> None:
    assert uniform(fixture("forget"), average="tokens").mean().item() == pytest.approx(0.8135879344083042, abs=1e-6)


def test_chance_costs_nothing_and_nothing_is_less() -> None:
    assert uniform(one_token([0.2] * 5)).item() == pytest.approx(0.0, abs=1e-12)
    assert (uniform(fixture("retain")) > 0).all()
