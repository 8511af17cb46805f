"""LLMU: half an ascent on the forget answers, a whole descent on answers that do not belong, and kl."""

from __future__ import annotations

import pytest

from tests.fixture_f import everywhere, fixture
from unlearn_cli.contract import METHODS, RETAIN_TERMS

llmu, kl = METHODS.get("llmu"), RETAIN_TERMS.get("kl")


def test_fixture() -> None:
    """0.5 * -3.77275494 + 3.56977751 = 1.68340004; with the divergence over all positions, 1.16770487, 2.85110491."""
    losses = llmu(fixture("forget"), fixture("alternative"), forget=0.5, mismatch=1.0, average="tokens")
    assert losses.mean().item() == pytest.approx(1.6834000396348865, abs=1e-6)
    published = kl(everywhere("retain"), everywhere("retain", "reference")).mean().item()
    assert losses.mean().item() + published == pytest.approx(2.851104905819226, abs=1e-6)


def test_without_one_half_it_is_the_other() -> None:
    roles = fixture("forget"), fixture("alternative")
    assert llmu(*roles, forget=1.0, mismatch=0.0).tolist() == roles[0].mean_logps.tolist()
    assert llmu(*roles, forget=0.0, mismatch=1.0).tolist() == (-roles[1].mean_logps).tolist()
