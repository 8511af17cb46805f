"""KL in the other direction."""

from __future__ import annotations

import pytest

from tests.fixture_f import everywhere, fixture
from unlearn_cli.contract import RETAIN_TERMS

kl_reverse = RETAIN_TERMS.get("kl-reverse")


def test_fixture() -> None:
    """Over all positions 1.23135033."""
    losses = kl_reverse(everywhere("retain"), everywhere("retain", "reference"))
    assert losses.mean().item() == pytest.approx(1.2313503323911723, abs=1e-6)


def test_it_is_kl_with_the_roles_exchanged() -> None:
    policy, reference = fixture("retain"), fixture("retain", "reference")
    assert kl_reverse(policy, reference).tolist() == pytest.approx(RETAIN_TERMS.get("kl")(reference, policy).tolist())


def test_at_the_reference_it_is_zero() -> None:
    assert kl_reverse(fixture("retain"), fixture("retain")).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
