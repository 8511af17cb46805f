"""DPO with the alternative preferred: -(2/beta) mean log sigmoid(beta (D_alternative - D_forget))."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS
from unlearn_cli.outputs import Outputs

dpo, npo = METHODS.get("dpo"), METHODS.get("npo")


def fixtures() -> tuple[Outputs, ...]:
    """policy, reference, alternative, alternative_reference: the order in which the method declares them."""
    return tuple(fixture(group, model) for group in ("forget", "alternative") for model in ("policy", "reference"))


def test_the_order_of_roles() -> None:
    assert dpo.needs == ("policy", "reference", "alternative", "alternative_reference")


def test_worked_example() -> None:
    """D_alternative = +1.0 and D_forget = -0.5, beta 0.1: 20 log(1 + e^(-0.15)) = 20 * 0.62095705 = 12.41914096."""
    roles = answers([-2.0]), answers([-1.5]), answers([-0.5, -1.5]), answers([-1.0, -2.0])
    assert dpo(*roles, beta=0.1).item() == pytest.approx(12.419140955790642, abs=1e-9)


def test_fixture() -> None:
    """D_alternative = 1.215554, -6.512671 and D_forget = -3.869470, 1.650023."""
    policy, reference, alternative, alternative_reference = fixtures()
    gained = alternative.sequence_logps - alternative_reference.sequence_logps
    assert gained.tolist() == pytest.approx([1.215554098200351, -6.512671231345708], abs=1e-9)
    assert dpo(*fixtures(), beta=0.1).mean().item() == pytest.approx(16.532298410113246, abs=1e-6)
    assert dpo(*fixtures(), beta=1.0).mean().item() == pytest.approx(8.169148474228443, abs=1e-6)


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
def test_value_at_the_reference(beta: float) -> None:
    forget, alternative = fixture("forget"), fixture("alternative")
    expected = 2 / beta * math.log(2)
    assert dpo(forget, forget, alternative, alternative, beta=beta).tolist() == pytest.approx([expected] * 2, abs=1e-9)


def test_gradient_weights_at_the_reference_do_not_depend_on_beta() -> None:
    """That is what the factor 2/beta is for: every forget token has 1, every alternative token -1."""
    for beta in (0.1, 1.0):
        policy, alternative = answers([-1.0, -2.0, -3.0], [-1.0, -1.0]), answers([-1.0], [-2.0, -1.0])
        reference, alternative_reference = answers([-1.0, -2.0, -3.0], [-1.0, -1.0]), answers([-1.0], [-2.0, -1.0])
        dpo(policy, reference, alternative, alternative_reference, beta=beta).sum().backward()
        assert policy.token_logps.grad[policy.mask].tolist() == pytest.approx([1.0] * 5, abs=1e-9)
        assert alternative.token_logps.grad[alternative.mask].tolist() == pytest.approx([-1.0] * 3, abs=1e-9)


def test_it_falls_with_the_margin() -> None:
    margins = [-50.0, -5.0, 0.0, 5.0, 50.0]
    same = answers(*[[-60.0]] * 5)
    losses = dpo(same, same, answers(*([-60.0 + m] for m in margins)), same, beta=0.1).tolist()
    assert losses == sorted(losses, reverse=True) and len(set(losses)) == 5
    assert losses[-1] == pytest.approx(20 * math.log1p(math.exp(-5)), abs=1e-9)


def test_without_a_preference_it_is_npo() -> None:
    """An alternative that stands where it stood has D = 0."""
    policy, reference, alternative, _ = fixtures()
    torch.testing.assert_close(dpo(policy, reference, alternative, alternative, beta=0.3), npo(policy, reference, beta=0.3))
