"""SimNPO against the authors' code: (2/beta) mean softplus(-beta (M - delta)), M the mean NLL of an answer."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS

simnpo, npo = METHODS.get("simnpo"), METHODS.get("npo")


@pytest.mark.parametrize(
    ("beta", "delta", "expected"),
    [(2.5, 0.0, 0.2506093500145783), (4.5, 0.0, 0.0679900491226996), (2.5, 0.1, 0.30949680489191994)],
)
def test_worked_example(beta: float, delta: float, expected: float) -> None:
    """A sum of 2.0 nats over 5 tokens: M = 0.4.

    beta 2.5: 0.8 log(1 + e^(-1.0)) = 0.8 * 0.31326169 = 0.25060935
    beta 4.5: (2 / 4.5) log(1 + e^(-1.8)) = 0.44444444 * 0.15297761 = 0.06799005
    delta 0.1, inside the product as in the code: 0.8 log(1 + e^(-0.75)) = 0.30949680
    """
    policy = answers([-0.1, -0.2, -0.3, -0.6, -0.8])
    assert simnpo(policy, beta=beta, delta=delta).item() == pytest.approx(expected, abs=1e-9)


def test_margin_of_the_papers_text() -> None:
    """The text does not multiply gamma by beta; delta = gamma / beta gives its value."""
    policy = answers([-0.4] * 5)
    assert simnpo(policy, beta=2.5, delta=0.1 / 2.5).item() == pytest.approx(0.27292309978567025, abs=1e-9)


@pytest.mark.parametrize(
    ("beta", "delta", "expected"),
    [(2.5, 0.0, 2.0632630353432783e-4), (4.5, 0.0, 2.4789229089374854e-07), (2.5, 0.1, 2.649105304693986e-4)],
)
def test_fixture(beta: float, delta: float, expected: float) -> None:
    """M = 4.256739 and 3.046778."""
    assert simnpo(fixture("forget"), beta=beta, delta=delta).mean().item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("beta", "expected"), [(2.5, 0.5545177444479562), (4.5, 0.3080654135821979)])
def test_value_at_the_margin(beta: float, expected: float) -> None:
    """M = delta: (2/beta) log 2."""
    assert simnpo(answers([-0.5, -1.5]), beta=beta, delta=1.0).item() == pytest.approx(expected, abs=1e-9)


def test_gradient_weight() -> None:
    """dL / d log p of a token is 2 sigmoid(-beta M) / n: for M = 0.4, n = 5, beta 2.5 that is 0.10757657."""
    policy = answers([-0.4] * 5)
    simnpo(policy, beta=2.5).sum().backward()
    assert policy.token_logps.grad[0].tolist() == pytest.approx([0.10757656854799805] * 5, abs=1e-9)


def test_gradient_weight_of_unequal_answers() -> None:
    """Each row has its own 1 / n: rows of 3 and 2 tokens do not share a 1/5."""
    policy = answers([-1.0, -2.0, -3.0], [-0.5, -0.5])
    simnpo(policy, beta=1.0).mean().backward()
    weights = [2 / (1 + math.exp(m)) / n / 2 for m, n in ((2.0, 3), (0.5, 2))]
    assert policy.token_logps.grad[policy.mask].tolist() == pytest.approx([weights[0]] * 3 + [weights[1]] * 2, abs=1e-9)


def test_it_is_npo_on_means_without_a_reference() -> None:
    policy = fixture("forget")
    means, nothing = answers(*([m] for m in policy.mean_logps.tolist())), answers([0.0], [0.0])
    torch.testing.assert_close(simnpo(policy, beta=0.7), npo(means, nothing, beta=0.7))


def test_tokens_said_twice_change_nothing() -> None:
    torch.testing.assert_close(simnpo(answers([-1.0, -3.0])), simnpo(answers([-1.0, -3.0, -1.0, -3.0])))


def test_it_switches_itself_off() -> None:
    """beta 4.5, M = 4: 2 sigmoid(-18) = 3e-8; far beyond, loss and gradient are 0 and finite."""
    policy = answers([-4.0], [-1e5])
    loss = simnpo(policy, beta=4.5)
    loss.sum().backward()
    assert policy.token_logps.grad.flatten().tolist() == pytest.approx([2 / (1 + math.exp(18)), 0.0], abs=1e-15)
    assert loss[1].item() == 0
