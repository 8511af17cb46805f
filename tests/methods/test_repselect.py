"""RepSelect: the soft collapse."""

from __future__ import annotations

import pytest
import torch

import unlearn_cli.methods.repselect as module
from tests.training.test_loop import adapted
from tests.training.test_workbench import bench  # noqa: F401 - a fixture
from unlearn_cli.contract import RETAIN_TERMS
from unlearn_cli.methods.repselect import collapsed, repselect, soft_collapse


def test_worked_example() -> None:
    """G = (1, 1, 1), components e1 and e2 with singular values 4 and 2: (0.5, 1, 1)."""
    gradient, components = torch.ones(1, 3), torch.eye(3)[:, :2]
    for unit in (1.0, 0.01):  # of the singular values
        collapsed_ = soft_collapse(gradient, components, unit * torch.tensor([4.0, 2.0]))
        torch.testing.assert_close(collapsed_, torch.tensor([[0.5, 1.0, 1.0]]))


def test_equal_singular_values_leave_it_alone() -> None:
    gradient = torch.linalg.qr(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))[0]
    torch.testing.assert_close(collapsed(gradient, 4), gradient)


def test_both_sides_flatten_the_spectrum() -> None:
    """Of singular values (8, 4, 2, 1) with 3 components, 8 becomes S_min^2 / S = 2 * 2 / 8, one side after the other."""
    u = torch.linalg.qr(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)))[0]
    v = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    gradient = u * torch.tensor([8.0, 4.0, 2.0, 1.0]) @ v.T
    singular = torch.linalg.svdvals(collapsed(gradient, 3))
    assert sorted(singular.tolist()) == pytest.approx(sorted([2 * 2 / 8, 2 * 2 / 4, 2.0, 1.0]), abs=1e-5)


def test_it_ends_where_the_divergence_from_the_model_before_reaches_the_budget(bench) -> None:  # noqa: F811
    """KL(p_before || p) on the retain answers it looks at: within the budget at the end, and one more step is not."""
    rows = [row for step in range(2) for row in bench.retain_batch(step)]
    original = adapted()
    records = list(repselect(bench, components=4, rate=0.01, budget=0.01, rounds=200))
    with torch.no_grad(), original.model.disable_adapter():
        before = bench.outputs(rows, model=original.model, logits=True)
        now = bench.outputs(rows, logits=True)
    divergence = RETAIN_TERMS.get("kl")(now, before).mean().item()
    assert 0.001 < divergence <= 0.01
    assert records[-1].retain_loss == pytest.approx(divergence)
    assert len(records) < 200


def test_a_step_is_a_share_of_the_weights_and_lowers_the_forget_rows(bench) -> None:  # noqa: F811
    """One step at rate 0.01: the MLPs' matrices move by a hundredth of their length, all together, and no other matrix."""
    before = bench.base_values()
    with torch.no_grad(), bench.without_adapter():
        likely = bench.outputs(bench.forget_batch(0)).mean_logps.mean().item()
    record = list(repselect(bench, components=4, rate=0.01, budget=1e9, rounds=1))[-1]
    mlps = bench.weights("mlp")
    length = torch.stack([before[name].norm() for name in mlps]).norm()
    moved = torch.stack([(w.detach() - before[name]).norm() for name, w in mlps.items()]).norm()
    assert (moved / length).item() == pytest.approx(0.01, rel=1e-4)
    assert record.forget_loss < likely and record.learning_rate == 0.01 and record.retain_loss > 0
    with torch.no_grad():
        now = bench.outputs(bench.forget_batch(0)).mean_logps.mean().item()
    assert record.forget_loss == pytest.approx(now)


@pytest.mark.parametrize(("budget", "steps", "components", "collapsing"), [(0.25, 2, 512, 4), (0.24, 0, 2, 2)])
def test_a_step_beyond_the_budget_is_taken_back(bench, monkeypatch, budget, steps, components, collapsing) -> None:  # noqa: F811
    """A divergence of 0.25 after each step: within a budget of 0.25, and beyond one of 0.24.

    Matrices of 32 x 48 have 32 components, of which an eighth collapses at most.
    """
    counts: set[int] = set()
    monkeypatch.setattr(module, "kl", lambda now, before: torch.tensor([0.25]))
    monkeypatch.setattr(module, "collapsed", lambda gradient, count: (counts.add(count), gradient)[1])
    before = bench.base_values()
    records = list(repselect(bench, components=components, rate=0.01, budget=budget, rounds=2))
    assert counts == {collapsing}
    assert len(records) - bench.unlearn_steps() == steps
    same = all(torch.equal(w, before[name]) for name, w in bench.weights("mlp").items())
    assert same == (steps == 0)
