"""The inverted hinge loss of LoKU: 1 + p_y - max over the others."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import fixture, one_token
from unlearn_cli.contract import METHODS
from unlearn_cli.outputs import Outputs

ihl = METHODS.get("ihl")
TOKENS = [0.5090937829574959, 0.49860770360400575, 0.5748335684635941, 0.6846182435158407, 0.5300371445267855]


def of_logits(logits: list[float], answer: int) -> Outputs:
    z = torch.tensor([[logits]], dtype=torch.float64).requires_grad_()
    return Outputs(z.log_softmax(-1)[..., answer], torch.tensor([[answer]]), torch.ones(1, 1, dtype=torch.bool), z)


@pytest.mark.parametrize(("answer", "value"), [(0, 1.4205124847200241), (1, 0.5794875152799759), (2, 0.42478961739555876)])
def test_worked_example(answer: int, value: float) -> None:
    """Logits [2, 1, 0]: p = [0.665241, 0.244728, 0.090031]; y = 0 gives 1 + 0.665241 - 0.244728."""
    assert ihl(of_logits([2.0, 1.0, 0.0], answer)).item() == pytest.approx(value, abs=1e-9)


def test_gradient() -> None:
    """y: p_y (1 - p_y + p_v*) = 0.385499; v*: -p_v* (1 - p_v* + p_y); the rest p_v (p_v* - p_y). They sum to 0."""
    policy = of_logits([2.0, 1.0, 0.0], 0)
    ihl(policy).sum().backward()
    gradient = policy.logits.grad.flatten().tolist()
    assert gradient == pytest.approx([0.3854988285244278, -0.3476398484997831, -0.03785898002464463], abs=1e-9)
    assert sum(gradient) == pytest.approx(0.0, abs=1e-12)


def test_fixture() -> None:
    """Five tokens; the batch mean is theirs, 0.55943809, not that of the answers' means."""
    losses = ihl(fixture("forget"), average="tokens")
    assert losses.mean().item() == pytest.approx(0.5594380886135444, abs=1e-6)
    means = [sum(TOKENS[:3]) / 3, sum(TOKENS[3:]) / 2]
    assert ihl(fixture("forget")).tolist() == pytest.approx(means, abs=1e-9)


@pytest.mark.parametrize(
    ("p", "value"), [([1.0 - 2e-16, 1e-16, 1e-16], 2.0), ([1e-16, 1.0, 1e-16], 0.0), ([0.5, 0.5, 1e-16], 1.0)]
)
def test_bounds(p: list[float], value: float) -> None:
    assert ihl(one_token(p)).item() == pytest.approx(value, abs=1e-9)


def test_no_component_of_the_gradient_exceeds_a_half() -> None:
    """p_v* is at most 1 - p_y."""
    logits = 3 * torch.randn(200, 1, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits.requires_grad_()
    targets, mask = torch.zeros(200, 1, dtype=torch.long), torch.ones(200, 1, dtype=torch.bool)
    ihl(Outputs(logits.log_softmax(-1)[..., 0], targets, mask, logits)).sum().backward()
    assert logits.grad.abs().max() <= 0.5
