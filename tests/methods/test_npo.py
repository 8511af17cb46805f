"""NPO against its published form: (2/beta) mean log(1 + (p / p_ref)^beta)."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS

npo = METHODS.get("npo")


def weight(log_ratio: float, beta: float) -> float:
    """W = 2 p^beta / (p^beta + p_ref^beta), from the log ratio log p - log p_ref."""
    ratio = math.exp(beta * log_ratio)
    return 2 * ratio / (ratio + 1)


def test_worked_example() -> None:
    """log p = -2.0 and log p_ref = -1.5: the log ratio is -0.5.

    beta 0.1: (2 / 0.1) log(1 + e^(-0.05)) = 20 * log(1.95122942) = 20 * 0.66845965 = 13.36919296
    beta 1:   2 log(1 + e^(-0.5)) = 2 * log(1.60653066) = 0.94815397
    """
    policy, reference = answers([-0.75, -1.25]), answers([-0.5, -1.0])
    assert npo(policy, reference, beta=0.1).item() == pytest.approx(13.369192960265725, abs=1e-9)
    assert npo(policy, reference, beta=1.0).item() == pytest.approx(0.9481539683602134, abs=1e-9)


def test_fixture() -> None:
    """Log ratios -3.869470 and 1.650023, from sums 12.770218, 6.093557 and reference sums 8.900748, 7.743579."""
    policy, reference = fixture("forget"), fixture("forget", "reference")
    log_ratios = policy.sequence_logps - reference.sequence_logps
    assert log_ratios.tolist() == pytest.approx([-3.869469935501595, 1.6500225233716161], abs=1e-9)
    assert npo(policy, reference, beta=0.1).mean().item() == pytest.approx(12.973217413402459, abs=1e-6)
    assert npo(policy, reference, beta=1.0).mean().item() == pytest.approx(1.8463479773466651, abs=1e-6)


@pytest.mark.parametrize(("beta", "value"), [(0.1, 13.862943611198906), (1.0, 1.3862943611198906), (0.05, 40 * math.log(2))])
def test_value_at_the_reference(beta: float, value: float) -> None:
    """(2/beta) log 2, whatever the answers are."""
    losses = npo(fixture("forget"), fixture("forget"), beta=beta)
    assert losses.tolist() == pytest.approx([value, value], abs=1e-9)


@pytest.mark.parametrize("log_ratio", [-30.0, -0.5, 0.0, 0.5, 30.0])
def test_gradient_is_ascent_on_the_sum_times_a_weight(log_ratio: float) -> None:
    """dL / d log p of every token is W: at -0.5 and beta 0.1 that is 0.97500521, at the reference 1."""
    policy, reference = answers([-1.0, -2.0 + log_ratio]), answers([-1.5, -1.5])
    npo(policy, reference, beta=0.1).sum().backward()
    assert policy.token_logps.grad[0].tolist() == pytest.approx([weight(log_ratio, 0.1)] * 2, abs=1e-9)


@pytest.mark.parametrize(("log_ratio", "expected"), [(-30.0, 0.09485174635513356), (30.0, 1.9051482536448667)])
def test_saturation(log_ratio: float, expected: float) -> None:
    """The weight falls to 0 as the answer becomes unlikely and rises to 2 as it becomes likely; beta 0.1."""
    policy = answers([-40.0 + log_ratio])
    npo(policy, answers([-40.0]), beta=0.1).sum().backward()
    assert policy.token_logps.grad.item() == pytest.approx(expected, abs=1e-9)


def test_it_ends_at_zero_and_not_below() -> None:
    policy = answers([-1e5])
    loss = npo(policy, answers([-1.0]), beta=0.1)
    loss.sum().backward()
    assert 0 <= loss.item() < 1e-12
    assert abs(policy.token_logps.grad.item()) < 1e-12


@pytest.mark.parametrize(
    ("beta", "expected"), [(0.1, -0.4937506509331815), (0.01, -0.49937500065104246), (1e-4, -0.49999374999970314)]
)
def test_small_beta_is_plain_ascent(beta: float, expected: float) -> None:
    """L - (2/beta) log 2 tends to the log ratio, -0.5 here: the loss of gradient ascent on the sum, but for a constant."""
    loss = npo(answers([-2.0]), answers([-1.5]), beta=beta).item()
    assert loss - 2 / beta * math.log(2) == pytest.approx(expected, abs=1e-7)


def test_answers_of_three_and_two_tokens_share_no_factor() -> None:
    """In the batch mean a token of row i has gradient W_i / 2, not W_i / 5: nothing is divided by the tokens."""
    policy, reference = answers([-1.0, -2.0, -0.5], [-3.0, -1.0]), answers([-1.0, -1.0, -1.0], [-1.0, -0.5])
    npo(policy, reference, beta=0.1).mean().backward()
    first, second = weight(-0.5, 0.1) / 2, weight(-2.5, 0.1) / 2
    expected = [first, first, first, second, second]
    assert policy.token_logps.grad[policy.mask].tolist() == pytest.approx(expected, abs=1e-9)


def test_the_same_constant_on_both_changes_nothing() -> None:
    near = npo(answers([-2.0]), answers([-1.5]), beta=0.3)
    distant = npo(answers([-12.0]), answers([-11.5]), beta=0.3)
    torch.testing.assert_close(near, distant)
