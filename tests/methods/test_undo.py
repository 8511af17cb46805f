"""UNDO: what the student starts from."""

from __future__ import annotations

import pytest
import torch

from tests.methods.scripted import Scripted, p
from unlearn_cli.methods.undo import shrunk, undo


def start(weight: torch.Tensor, alpha: float, beta: float, seed: int = 0) -> torch.Tensor:
    return shrunk(weight, alpha, beta, torch.Generator().manual_seed(seed))


def test_worked_example() -> None:
    """theta = 2, alpha = 0.25, beta = 0: 1.5."""
    assert start(torch.tensor([[2.0]]), 0.25, 0.0).item() == pytest.approx(1.5)


def test_alpha_0_is_the_teacher() -> None:
    weight = torch.randn(4, 3)
    assert torch.equal(start(weight, 0.0, 1.0), weight)


def test_noise_has_xaviers_bound() -> None:
    """alpha = beta = 1 is noise alone, uniform within sqrt(6 / (400 + 200)) = 0.1."""
    weights = start(torch.ones(400, 200), 1.0, 1.0)
    assert weights.abs().max().item() == pytest.approx(0.1, abs=1e-3)
    assert weights.mean().abs() < 1e-3
    assert weights.std().item() == pytest.approx(0.1 / 3**0.5, abs=1e-3)


def test_vectors_shrink_without_noise() -> None:
    """As in the authors' code: 0.75 x 1, whatever beta."""
    assert start(torch.ones(5), 0.25, 1.0).tolist() == [0.75] * 5


def test_experts_have_the_bound_of_one_expert() -> None:
    """[8, 400, 200]: sqrt(6 / (400 + 200)) = 0.1 for each of the 8 matrices, not sqrt(6 / (8 + 400)) = 0.121."""
    assert start(torch.ones(8, 400, 200), 1.0, 1.0).abs().max().item() == pytest.approx(0.1, abs=1e-3)


def pull(a: float, student: float, teacher: float) -> float:
    """d/dw KL(p_teacher || p) of a row: a (p - p_teacher)."""
    return a * (p(a * student) - p(a * teacher))


@pytest.mark.parametrize("both", [True, False])
def test_a_step_by_hand(both: bool) -> None:
    """The base method leaves 2, alpha 0.25 shrinks it to 1.5; the retain row has slope 1, the forget row 3."""
    bench = Scripted([3.0], forget=[3.0], retain=[1.0], learned=-1.0)
    first, *_ = records = list(undo(bench, alpha=0.25, epochs=4.0, both=both, rate=1e-9))
    rows = [1.0, 3.0] if both else [1.0]
    assert first.grad_norm == pytest.approx(abs(sum(pull(a, 1.5, 2.0) for a in rows)) / len(rows))
    assert bench.seen[: len(rows)] == [(a, 1.5, True) for a in rows]
    assert len(records) == 4 and first.forget_loss == 0.0


@pytest.mark.parametrize(("within", "steps"), [(0.0, 12), (0.05, 6)])
def test_it_ends_after_the_pass_in_which_retain_rows_are_as_the_teachers(monkeypatch, within: float, steps: int) -> None:
    """Passes of 2 steps. The teacher's loss is 2, so 2.1 is the bound: 2.2, 2.11, and 2.1 after the third pass."""
    looked: list[int] = []
    losses = iter([2.0, 2.2, 2.11, 2.1, 1.0])
    monkeypatch.setattr(Scripted, "answer_loss", lambda self, rows, model=None: (looked.append(len(rows)), next(losses))[1])
    bench = Scripted([1.0], forget=[1.0, 1.0], retain=[1.0] * 70)
    assert len(list(undo(bench, epochs=6.0, within=within))) == steps
    assert looked == ([64] * 4 if within else [])
