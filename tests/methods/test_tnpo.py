"""Token-wise NPO: w = 2 p^beta / (p^beta + p_ref^beta + 1e-5) without gradient."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS
from unlearn_cli.methods.tnpo import weights

tnpo = METHODS.get("tnpo")


def test_worked_example() -> None:
    """p = 0.5, p_ref = 0.25, beta 4: 2 * 0.0625 / (0.0625 + 0.00390625 + 0.00001) = 1.88206952."""
    token_weights = weights(answers([math.log(0.5)]), answers([math.log(0.25)]), 4.0, 1e-5)
    assert token_weights.item() == pytest.approx(1.8820695236482037, abs=1e-9)


def test_fixture() -> None:
    losses = tnpo(fixture("forget"), fixture("forget", "reference"), average="tokens")
    assert losses.mean().item() == pytest.approx(-0.6881149208131065, abs=1e-9)


def test_at_the_reference_the_weight_is_one_but_for_epsilon() -> None:
    """p = p_ref = 0.02: 0.02^4 = 1.6e-7 drowns in 1e-5; without epsilon the weight is 1."""
    p = answers([math.log(0.02)])
    assert weights(p, p, 4.0, 0.0).item() == pytest.approx(1.0)
    assert weights(p, p, 4.0, 1e-5).item() < 0.05


def test_beta_0_is_gradient_ascent_but_for_epsilon() -> None:
    policy, reference = fixture("forget"), fixture("forget", "reference")
    torch.testing.assert_close(tnpo(policy, reference, beta=0.0, epsilon=0.0), policy.mean_logps)


def test_a_token_that_vanished_from_both_has_the_weight_of_the_reference() -> None:
    """Both powers round to 0: without epsilon the weight is 1 all the same, with it 0; never NaN."""
    unlikely = answers([-1e4])
    assert weights(unlikely, unlikely, 4.0, 0.0).item() == pytest.approx(1.0, abs=1e-9)
    assert weights(unlikely, unlikely, 4.0, 1e-5).item() == 0.0
