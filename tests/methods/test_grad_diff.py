"""Gradient difference: minus the mean NLL of the forget answers."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import answers, fixture, outputs_of
from unlearn_cli.contract import METHODS, RETAIN_TERMS

grad_diff = METHODS.get("grad-diff")


def test_worked_example() -> None:
    """-(1 + 2 + 3) / 3 = -2 and -(0.5 + 1.5) / 2 = -1; as tokens, sums -6 and -2 over the mean length 2.5."""
    policy = answers([-1.0, -2.0, -3.0], [-0.5, -1.5])
    assert grad_diff(policy).tolist() == pytest.approx([-2.0, -1.0], abs=1e-12)
    assert grad_diff(policy, average="tokens").tolist() == pytest.approx([-2.4, -0.8], abs=1e-12)


def test_fixture() -> None:
    policy = fixture("forget")
    assert grad_diff(policy, average="tokens").mean().item() == pytest.approx(-3.772754942968978, abs=1e-6)
    assert grad_diff(policy).tolist() == pytest.approx([-4.25673929784736, -3.046778410651406], abs=1e-6)


def test_fixture_with_the_retain_term() -> None:
    """-3.77275494 + 2.74679054 = -1.02596441."""
    retained = RETAIN_TERMS.get("nll")(fixture("retain"), average="tokens").mean()
    forgotten = grad_diff(fixture("forget"), average="tokens").mean()
    assert (forgotten + retained).item() == pytest.approx(-1.0259644075855299, abs=1e-6)


def test_its_forget_term_is_that_of_gradient_ascent() -> None:
    policy = fixture("forget")
    torch.testing.assert_close(grad_diff(policy), METHODS.get("grad-ascent")(policy))


def test_the_terms_cancel_on_equal_rows() -> None:
    """Forgetting and keeping the same rows at weights 1 and 1 leaves no gradient."""
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    rows = outputs_of([logits], [torch.tensor([1, 8, 0, 1])])
    grad_diff(rows).sum().backward(retain_graph=True)
    assert logits.grad.abs().max() > 0.01
    RETAIN_TERMS.get("nll")(rows).sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits))


def test_it_is_run_with_a_retain_term() -> None:
    assert grad_diff.defaults.retain_term == "nll"
    assert METHODS.get("grad-ascent").defaults.retain_term == "none"
