"""RMU: mean squared distance of hidden states from c u."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import states
from unlearn_cli.contract import METHODS, RETAIN_TERMS
from unlearn_cli.methods import rmu as module
from unlearn_cli.methods.rmu import random_direction

rmu, hidden_mse = METHODS.get("rmu"), RETAIN_TERMS.get("hidden-mse")
# Published positions: answer tokens without the shift, of the forget rows 3 and 2.
ANSWERS = torch.tensor([[False, False, True, True, True], [False, True, True, False, False]])
RETAINED = torch.tensor([[False, True, True, True, True], [False, False, True, True, False]])


@pytest.fixture
def direction(monkeypatch: pytest.MonkeyPatch) -> None:
    """u of the fixture: [0.1, 0.2, 0.3, 0.4] normed."""
    drawn = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    monkeypatch.setattr(module, "random_direction", lambda size, seed: drawn / drawn.norm())


@pytest.mark.usefixtures("direction")
def test_fixture() -> None:
    """Over all positions, c = 6.5: 10.74570608; with the retain half, 0.97754706, times 1200: 1183.802173."""
    policy, reference = states()
    forget = rmu(policy, coefficient=6.5).mean().item()
    retain = hidden_mse(policy, reference).mean().item()
    assert forget == pytest.approx(10.745706083728713, abs=1e-6)
    assert retain == pytest.approx(0.977547056150453, abs=1e-6)
    assert forget + 1200 * retain == pytest.approx(1183.8021734642723, abs=1e-4)


@pytest.mark.usefixtures("direction")
def test_rows_are_not_mixed() -> None:
    """c = 2 on the answers: each row's own mean gives 1.14902041; row sums [B] over lengths [B, 1] give 1.24657860."""
    policy, _ = states(ANSWERS)
    assert rmu(policy, coefficient=2.0).mean().item() == pytest.approx(1.1490204133137913, abs=1e-6)
    distances = (policy.hidden[0] - 2.0 * module.random_direction(4, 0)).square().mean(-1).masked_fill(~ANSWERS, 0)
    published = (distances.sum(-1) / ANSWERS.sum(-1, keepdim=True)).mean().item()
    assert published == pytest.approx(1.2465786009831428, abs=1e-6)
    policy, reference = states(RETAINED)
    assert hidden_mse(policy, reference).mean().item() == pytest.approx(1.034111860101655, abs=1e-6)


def test_states_at_the_target_cost_nothing() -> None:
    policy, _ = states()
    target = (6.5 * random_direction(4, 0)).double().expand(2, 5, 4)
    object.__setattr__(policy, "hidden", (target,))
    assert rmu(policy).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_the_direction_is_positive_of_length_one_and_fixed_by_its_seed() -> None:
    one = random_direction(256, 3)
    assert one.norm().item() == pytest.approx(1.0, abs=1e-6)
    assert (one > 0).all()
    assert torch.equal(one, random_direction(256, 3))
    assert not torch.equal(one, random_direction(256, 4))
