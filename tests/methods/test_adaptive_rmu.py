"""Adaptive RMU: the target is as long as the reference's hidden states."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import states
from unlearn_cli.contract import METHODS
from unlearn_cli.methods.rmu import random_direction

adaptive_rmu = METHODS.get("adaptive-rmu")


def test_the_coefficient_of_the_fixture() -> None:
    """5 mean|H| = 7.123603, here from a policy at the reference: L = mean (h - c u)^2 with each row's own c."""
    policy, _ = states()
    lengths = policy.hidden[0].norm(dim=-1).mean(-1)
    assert (5 * lengths.mean()).item() == pytest.approx(7.123603485099231, abs=1e-6)
    target = 5 * lengths[:, None, None] * random_direction(4, 0)
    expected = (policy.hidden[0] - target).square().mean((-1, -2))
    torch.testing.assert_close(adaptive_rmu(policy, policy), expected)


def test_longer_states_have_a_longer_target() -> None:
    """Scaling policy and reference by 3 scales the loss by 9: nothing depends on the model's units."""
    policy, reference = states()
    once = adaptive_rmu(policy, reference)
    for outputs in (policy, reference):
        object.__setattr__(outputs, "hidden", (3 * outputs.hidden[0],))
    torch.testing.assert_close(adaptive_rmu(policy, reference), 9 * once)
