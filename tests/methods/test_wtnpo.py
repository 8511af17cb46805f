"""Weighted token-wise NPO: tnpo's weight times p^alpha."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import fixture
from unlearn_cli.contract import METHODS

wtnpo = METHODS.get("wtnpo")


def test_fixture() -> None:
    losses = wtnpo(fixture("forget"), fixture("forget", "reference"), average="tokens")
    assert losses.mean().item() == pytest.approx(-0.05782103599358305, abs=1e-9)


def test_alpha_0_is_tnpo() -> None:
    roles = fixture("forget"), fixture("forget", "reference")
    torch.testing.assert_close(wtnpo(*roles, alpha=0.0), METHODS.get("tnpo")(*roles))
