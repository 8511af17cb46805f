"""KTO on undesirable answers: 1 - sigmoid(beta (z - D)), z the clamped mean over answers that do not belong."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS

kto = METHODS.get("kto")


def pair(moved: float) -> tuple:
    """Policy and reference of one answer, the policy higher by `moved`."""
    return answers([-2.0 + moved]), answers([-2.0])


def test_worked_example() -> None:
    """z = 0.2, D = -0.5, beta 0.1: 1 - sigmoid(0.07) = 0.48250714."""
    loss = kto(*pair(-0.5), *pair(0.2), beta=0.1)
    assert loss.item() == pytest.approx(0.48250714233361025, abs=1e-9)


def test_fixture() -> None:
    """The mean of D on the alternatives is -2.64855857, so z is 0: mean of 1 - sigmoid(-0.1 D) over D = -3.869470, 1.650023.

    The NPO repository neither clamps z nor scales it by beta: its losses here are -0.50948328 and 53.32538003.
    """
    roles = [fixture(group, model) for group in ("forget", "alternative") for model in ("policy", "reference")]
    z = (roles[2].sequence_logps - roles[3].sequence_logps).mean()
    assert z.item() == pytest.approx(-2.6485585665726785, abs=1e-9)
    assert kto(*roles, beta=0.1).mean().item() == pytest.approx(0.4728048464017607, abs=1e-6)
    moved = roles[0].sequence_logps - roles[1].sequence_logps
    published = 1 - 2 / 0.1 * torch.sigmoid(z - 0.1 * moved).mean()
    assert published.item() == pytest.approx(-0.5094832841569719, abs=1e-6)


def test_z_gets_no_gradient() -> None:
    alternative = answers([-1.0], [-1.5])
    kto(answers([-2.0], [-3.0]), answers([-2.0], [-2.0]), alternative, answers([-2.0], [-2.0])).sum().backward()
    assert alternative.token_logps.grad is None


@pytest.mark.parametrize("moved", [-1e4, -3.0, 0.0, 3.0, 1e4])
def test_what_the_docstring_says_of_the_other_versions(moved: float) -> None:
    """1 - (2/beta) sigmoid(..) lies between 1 - 2/beta = -19 and 1; 1 - (2/beta) log sigmoid(..) from 1 upwards."""
    inside = torch.tensor(0.3 - 0.1 * moved, dtype=torch.float64)
    assert 1 - 2 / 0.1 <= (1 - 2 / 0.1 * torch.sigmoid(inside)).item() <= 1
    assert (1 - 2 / 0.1 * torch.nn.functional.logsigmoid(inside)).item() >= 1


def test_z_couples_the_gradients_of_the_rows_of_a_micro_batch() -> None:
    """The same row beside another alternative: z is 0.5 or 1.5, and its gradient 0.1 s (1 - s) with s = sigmoid(z beta)."""
    gradients = []
    for other in (0.0, 2.0):
        policy = answers([-2.0], [-2.0])
        kto(policy, answers([-2.0], [-2.0]), answers([-1.0], [-2.0 + other]), answers([-2.0], [-2.0])).sum().backward()
        gradients.append(policy.token_logps.grad[0].item())
    expected = [0.1 * s * (1 - s) for s in torch.sigmoid(torch.tensor([0.05, 0.15], dtype=torch.float64)).tolist()]
    assert gradients == pytest.approx(expected, abs=1e-12)
    assert abs(gradients[0] - gradients[1]) > 1e-4


@pytest.mark.parametrize("moved", [-1e4, 0.0, 1e4])
def test_it_is_bounded(moved: float) -> None:
    assert 0 <= kto(*pair(moved), *pair(0.0)).item() <= 1
