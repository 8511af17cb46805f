"""Forward KL from the reference at the answer positions of the retain rows."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tests.fixture_f import everywhere, fixture, outputs_of
from unlearn_cli.contract import RETAIN_TERMS

kl = RETAIN_TERMS.get("kl")


def test_worked_example() -> None:
    """p_ref = (1/2, 1/2) and p = (1/4, 3/4): 1/2 log 2 + 1/2 log(2/3) = 1/2 log(4/3) = 0.14384104.

    A second position where both are (1/4, 3/4) adds 0, so that the mean over two tokens is half of it.
    """
    quarter, half = [0.0, math.log(3.0)], [0.0, 0.0]
    target = torch.tensor([0, 1])
    policy = outputs_of([torch.tensor([quarter, quarter], dtype=torch.float64)], [target])
    reference = outputs_of([torch.tensor([half, quarter], dtype=torch.float64)], [target])
    assert kl(policy, reference).item() == pytest.approx(0.25 * math.log(4 / 3), abs=1e-12)
    # The other direction is another number: 1/4 log(1/2) + 3/4 log(3/2) = 0.13081204.
    backward = 0.5 * (0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    assert kl(reference, policy).item() == pytest.approx(backward, abs=1e-12)


def test_fixture() -> None:
    policy, reference = fixture("retain"), fixture("retain", "reference")
    assert kl(policy, reference, average="tokens").mean().item() == pytest.approx(1.143692204589594, abs=1e-6)


def test_every_answer_counts_alike() -> None:
    """Row by row it is torch's own KL, summed over the row's tokens and divided by their number: 4 and 2."""
    policy, reference = fixture("retain"), fixture("retain", "reference")
    expected = [
        F.kl_div(p[:n].log_softmax(-1), q[:n].log_softmax(-1), reduction="batchmean", log_target=True).item()
        for p, q, n in zip(policy.logits, reference.logits, (4, 2), strict=True)
    ]
    assert kl(policy, reference).tolist() == pytest.approx(expected, abs=1e-9)
    assert kl(policy, reference).mean().item() != pytest.approx(1.143692204589594, abs=1e-3)


def test_value_and_gradient_at_the_reference() -> None:
    logits = fixture("retain").logits[0].clone().requires_grad_()
    rows = outputs_of([logits], [torch.tensor([4, 2, 1, 0])])
    value = kl(rows, fixture("retain"))[:1]
    value.sum().backward()
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits))


def test_gradient_on_logits() -> None:
    """(p - p_ref) / n at every position."""
    logits = fixture("retain").logits[:1].clone()[0].requires_grad_()
    reference = fixture("retain", "reference").logits[0]
    targets = torch.tensor([4, 2, 1, 0])
    kl(outputs_of([logits], [targets]), outputs_of([reference], [targets])).sum().backward()
    torch.testing.assert_close(logits.grad, (logits.softmax(-1) - reference.softmax(-1)).detach() / 4)


def test_it_is_never_negative_and_declares_both_logits() -> None:
    assert (kl(fixture("retain", "reference"), fixture("retain")) > 0).all()
    assert kl.logits == {"policy", "reference"}


def test_published_code_scores_the_position_behind_the_last_token_even_without_padding() -> None:
    """Row 0 of the fixture has no padding: 0.9339 over its five positions, 1.0968 over the four that predict a token."""
    policy, reference = everywhere("retain"), everywhere("retain", "reference")
    logps, known = policy.logits.log_softmax(-1)[0], reference.logits.log_softmax(-1)[0]
    each = (known.exp() * (known - logps)).sum(-1)
    assert kl(policy, reference)[0].item() == pytest.approx(each.mean().item())
    assert (each.mean().item(), each[:-1].mean().item()) == pytest.approx((0.9339, 1.0968), abs=1e-4)


def test_fixture_over_all_positions() -> None:
    """What published code computes, positions without an answer included: 1.16770487."""
    losses = kl(everywhere("retain"), everywhere("retain", "reference"))
    assert losses.mean().item() == pytest.approx(1.1677048661843394, abs=1e-6)
