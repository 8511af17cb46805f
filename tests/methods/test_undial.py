"""UNDIAL: cross-entropy towards softmax(z_ref - beta onehot(y))."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import fixture, one_token
from unlearn_cli.contract import METHODS
from unlearn_cli.outputs import Outputs

undial = METHODS.get("undial")


def of_logits(*logits: float) -> Outputs:
    z = torch.tensor([[logits]], dtype=torch.float64).requires_grad_()
    return Outputs(z.log_softmax(-1)[..., 0], torch.tensor([[0]]), torch.ones(1, 1, dtype=torch.bool), z)


def test_worked_example() -> None:
    """z = z_ref = [2, 1, 0], y = 0, beta 10: q = softmax([-8, 1, 0]) = [0.000090, 0.730993, 0.268917], L = 1.67643291."""
    assert undial(of_logits(2, 1, 0), of_logits(2, 1, 0)).item() == pytest.approx(1.676432912506007, abs=1e-9)


@pytest.mark.parametrize(("beta", "value"), [(10.0, 2.4546366082937423), (0.0, 2.5775890316282117)])
def test_fixture(beta: float, value: float) -> None:
    """Answer positions only; trained on all positions, as published, it would be 2.44731991."""
    losses = undial(fixture("forget"), fixture("forget", "reference"), beta=beta, average="tokens")
    assert losses.mean().item() == pytest.approx(value, abs=1e-6)


def test_beta_0_has_no_gradient_at_the_reference() -> None:
    policy = of_logits(2, 1, 0)
    undial(policy, of_logits(2, 1, 0), beta=0.0).sum().backward()
    assert policy.logits.grad.abs().max() < 1e-12


def test_a_large_beta_with_itself_as_teacher_is_ceu() -> None:
    policy = one_token([0.7, 0.2, 0.1])
    torch.testing.assert_close(undial(policy, policy, beta=60.0), METHODS.get("ceu")(policy, skip=0))
