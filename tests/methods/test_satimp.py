"""SatImp: w = p^beta1 (1 - p)^beta2 without gradient."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS

satimp, wga = METHODS.get("satimp"), METHODS.get("wga")


def test_worked_example() -> None:
    """p = 0.8: 0.8^5 * 0.2 * log 0.8 = 0.065536 * -0.22314355."""
    assert satimp(answers([math.log(0.8)])).item() == pytest.approx(-0.014623935778928053, abs=1e-12)


def test_fixture() -> None:
    assert satimp(fixture("forget"), average="tokens").mean().item() == pytest.approx(-8.520018840206708e-05, abs=1e-10)


def test_the_weight_peaks_where_the_formula_says() -> None:
    """At p = 5/6 it is (5/6)^5 / 6 = 0.06697960, and smaller on both sides."""

    def weight(p: float) -> float:
        policy = answers([math.log(p)])
        satimp(policy).sum().backward()
        return policy.token_logps.grad.item()

    assert weight(5 / 6) == pytest.approx(0.06697959533607684, abs=1e-12)
    assert weight(0.8) < weight(5 / 6) > weight(0.87)
    assert weight(0.3) < 0.002


def test_limits() -> None:
    policy = fixture("forget")
    torch.testing.assert_close(satimp(policy, beta1=0.0, beta2=0.0), METHODS.get("grad-ascent")(policy))
    torch.testing.assert_close(satimp(policy, beta1=2.0, beta2=0.0), wga(policy, beta=2.0))


def test_a_certain_token_is_left_alone() -> None:
    policy = answers([0.0])
    satimp(policy).sum().backward()
    assert policy.token_logps.grad.item() == 0
