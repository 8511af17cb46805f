"""PDU: flat logits under a dual variable."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.fixture_f import fixture
from tests.training.test_loop import adapted, objective_of, trainer_of
from unlearn_cli.contract import METHODS
from unlearn_cli.outputs import Outputs

pdu = METHODS.get("pdu")


def of_logits(*logits: float) -> Outputs:
    z = torch.tensor([[logits]], dtype=torch.float64)
    return Outputs(z.log_softmax(-1)[..., 0], torch.tensor([[0]]), torch.ones(1, 1, dtype=torch.bool), z)


def test_worked_example() -> None:
    """max 3, mean 1: (3 - 1)^2 = 4."""
    assert pdu(of_logits(3.0, 0.0, 0.0)).item() == pytest.approx(4.0)


def test_fixture() -> None:
    """At the positions that predict answer tokens 3.59562167; the published mask, one position late, gives 3.33575008."""
    assert pdu(fixture("forget"), average="tokens").mean().item() == pytest.approx(3.595621670587395, abs=1e-6)
    n = torch.arange(60, dtype=torch.float64).reshape(2, 5, 6)
    z, late = 2 * (n + 1).sin(), torch.tensor([[False, False, True, True, True], [False, True, True, False, False]])
    height = z.amax(-1) - z.mean(-1)
    assert height.square()[late].mean().item() == pytest.approx(3.335750079488837, abs=1e-6)


def test_constant_logits_cost_nothing() -> None:
    assert pdu(of_logits(2.0, 2.0, 2.0)).item() == 0


@pytest.mark.parametrize(("retain_loss", "expected"), [(0.5, 101.0), (0.1, 99.0), (0.3, 100.0)])
def test_dual_ascent(retain_loss: float, expected: float) -> None:
    """lambda 100, epsilon 0.3, eta 5: 100 + 5 (0.5 - 0.3) = 101, and 99 at 0.1."""
    weight = pdu.next_retain_weight(100.0, retain_loss, 5.0, {"eta": 5.0, "epsilon": 0.3, "warmup": 5.0})
    assert weight == pytest.approx(expected)


def test_the_dual_variable_is_never_negative() -> None:
    assert pdu.next_retain_weight(0.5, 0.0, 0.5, {"eta": 5.0, "epsilon": 0.3, "warmup": 0.0}) == 0.0


def test_the_dual_variable_rests_during_the_warmup() -> None:
    """Five epochs on TOFU: a step that begins in the fifth leaves lambda at 100, the first of the sixth moves it."""
    parameters = {"eta": 5.0, "epsilon": 0.3, "warmup": 5.0}
    moved = [pdu.next_retain_weight(100.0, 0.5, epoch, parameters) for epoch in (0.0, 4.9, 5.0)]
    assert moved == pytest.approx([100.0, 100.0, 101.0])


def test_the_loop_counts_epochs(tmp_path) -> None:
    """Ten rows, eight in a step, one epoch of warm-up: the third step is the first that begins after it."""
    objective = objective_of("pdu")
    objective = replace(objective, parameters={"eta": 5.0, "epsilon": 0.0, "warmup": 1.0})
    weights = [record.retain_weight for record in trainer_of(adapted(), tmp_path, objective=objective).train()]
    assert weights == [3.0, 3.0, 3.0]
    trainer = replace(trainer_of(adapted(), tmp_path, objective=objective), steps=4)
    assert [record.retain_weight for record in trainer.train()][3] > 3.0
