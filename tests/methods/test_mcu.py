"""MCU: which components are dominant, and that only the others are steered."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import states
from unlearn_cli.contract import METHODS
from unlearn_cli.methods.mcu import dominant
from unlearn_cli.methods.rmu import random_direction

mcu = METHODS.get("mcu")
# Four states around (5, 5, 5): 8, 1 and 0 of the variance of 9 lie along the axes.
CLOUD = torch.tensor([[7.0, 5.0, 5.0], [3.0, 5.0, 5.0], [5.0, 5.0 + 0.5**0.5, 5.0], [5.0, 5.0 - 0.5**0.5, 5.0]]).double()


@pytest.mark.parametrize(("variance", "kept"), [(0.0, []), (0.8, [0]), (8 / 9 + 0.01, [0, 1]), (0.999, [0, 1])])
def test_worked_example(variance: float, kept: list[int]) -> None:
    """8/9 of the variance is in the first axis, all of it in the first two."""
    expected = torch.diag(torch.tensor([float(i in kept) for i in range(3)])).double()
    torch.testing.assert_close(dominant(CLOUD, variance), expected)


def test_a_change_of_a_minor_component_is_free_of_the_second_term() -> None:
    """At the reference the dominant part costs nothing: the loss is the minor part's distance to its target."""
    policy, _ = states()
    flat = policy.hidden[0].reshape(-1, 4)
    rest = torch.eye(4).double() - dominant(flat, 0.6)
    length = (flat @ rest).norm(dim=-1).mean()
    target = 2.0 * length * random_direction(4, 0).double()
    expected = ((policy.hidden[0] - target) @ rest).square().mean((-1, -2))
    torch.testing.assert_close(mcu(policy, policy, coefficient=2.0, variance=0.6), expected)


def test_the_dominant_components_are_held() -> None:
    """A shift by 3 along the largest component costs 9 / 4, wherever the minor part is."""
    policy, _ = states()
    flat = policy.hidden[0].reshape(-1, 4)
    first = torch.linalg.svd(flat - flat.mean(0)).Vh[0]
    moved, _ = states()
    object.__setattr__(moved, "hidden", (policy.hidden[0] + 3.0 * first,))
    difference = mcu(moved, policy, variance=0.3) - mcu(policy, policy, variance=0.3)
    torch.testing.assert_close(difference, torch.full((2,), 9 / 4).double())


def test_without_dominant_components_it_is_rmu() -> None:
    """variance 0: c times the mean length of the states, no part held."""
    policy, reference = states()
    length = reference.hidden[0].norm(dim=-1).mean().item()
    expected = METHODS.get("rmu")(policy, coefficient=2.0 * length)
    torch.testing.assert_close(mcu(policy, reference, coefficient=2.0, variance=0.0), expected)


def test_shares_of_the_variance_have_no_unit() -> None:
    torch.testing.assert_close(dominant(1e-3 * CLOUD, 0.8), dominant(CLOUD, 0.8))
