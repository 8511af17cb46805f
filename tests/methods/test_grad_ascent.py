"""Gradient ascent: minus the mean NLL of the forget answers."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import answers, fixture, outputs_of
from unlearn_cli.contract import METHODS

grad_ascent = METHODS.get("grad-ascent")


def test_worked_example() -> None:
    """-(1 + 2 + 3) / 3 = -2 and -(0.5 + 1.5) / 2 = -1; as tokens, sums -6 and -2 over the mean length 2.5."""
    policy = answers([-1.0, -2.0, -3.0], [-0.5, -1.5])
    assert grad_ascent(policy).tolist() == pytest.approx([-2.0, -1.0], abs=1e-12)
    assert grad_ascent(policy, average="tokens").tolist() == pytest.approx([-2.4, -0.8], abs=1e-12)


def test_fixture() -> None:
    policy = fixture("forget")
    assert grad_ascent(policy, average="tokens").mean().item() == pytest.approx(-3.772754942968978, abs=1e-6)
    assert grad_ascent(policy).tolist() == pytest.approx([-4.25673929784736, -3.046778410651406], abs=1e-6)


def test_gradient_on_logits() -> None:
    """Logits [2, 1, 0], true token 0: the gradient is onehot - p = [1 - 0.66524096, -0.24472847, -0.09003057]."""
    logits = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    grad_ascent(outputs_of([logits], [torch.tensor([0])])).sum().backward()
    expected = [0.3347590442251782, -0.24472847105479764, -0.09003057317038043]
    assert logits.grad[0].tolist() == pytest.approx(expected, abs=1e-9)


def test_gradient_is_minus_that_of_cross_entropy() -> None:
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([1, 8, 0, 1])
    (ours,) = torch.autograd.grad(grad_ascent(outputs_of([logits], [targets])).sum(), logits)
    (theirs,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, targets), logits)
    torch.testing.assert_close(ours, -theirs)


def test_every_answer_counts_alike_or_every_token() -> None:
    """Rows of 3 and 2 tokens in the batch mean: 1/6 and 1/4 a token, or 1/5 each."""
    for average, expected in (("answers", [1 / 6] * 3 + [1 / 4] * 2), ("tokens", [1 / 5] * 5)):
        policy = answers([-1.0, -2.0, -3.0], [-0.5, -1.5])
        grad_ascent(policy, average=average).mean().backward()
        assert policy.token_logps.grad[policy.mask].tolist() == pytest.approx(expected, abs=1e-12)


def test_it_does_not_saturate() -> None:
    """The gradient on the logits is largest where the answer is already unlikely; the loss has no lower end."""
    logits = torch.tensor([[-100.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = grad_ascent(outputs_of([logits], [torch.tensor([0])]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(-100.0)
    assert logits.grad[0].tolist() == pytest.approx([1.0, -1.0])
