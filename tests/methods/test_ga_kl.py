"""The KL minimization of TOFU: ascent on the forget answers and the divergence on the retain rows."""

from __future__ import annotations

import pytest

from tests.fixture_f import everywhere, fixture
from unlearn_cli.contract import METHODS, RETAIN_TERMS

ga_kl, kl = METHODS.get("ga-kl"), RETAIN_TERMS.get("kl")


def test_fixture() -> None:
    """The token mean 3.77275494 negated; with the published divergence over all positions, 1.16770487, -2.60505008."""
    forget = ga_kl(fixture("forget"), average="tokens").mean().item()
    assert forget == pytest.approx(-3.772754942968978, abs=1e-9)
    published = kl(everywhere("retain"), everywhere("retain", "reference")).mean().item()
    assert forget + published == pytest.approx(-2.6050500767846385, abs=1e-6)


def test_it_brings_the_term_along() -> None:
    assert ga_kl.defaults.retain_term == "kl"
