"""MEMIT: the closed form of an edit, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch

import unlearn_cli.methods.memit as module
from tests.training.test_loop import ALTERNATIVES, RETAIN
from tests.training.test_workbench import bench  # noqa: F401 - a fixture
from unlearn_cli.methods.memit import added, ends, mean_square, memit, places, update, within
from unlearn_cli.models.depth import causal_lm, depth_index

REFUSALS = [rows[0] for rows in ALTERNATIVES]


def test_worked_example() -> None:
    """k = (1, 0), r = (4, 2), C = diag(3, 5), weight 1: the denominator is 3 + 1, so W gains (4, 2) / 4 in one column."""
    change = update(torch.tensor([[1.0, 0.0]]), torch.tensor([[4.0, 2.0]]), torch.diag(torch.tensor([3.0, 5.0])), 1.0)
    torch.testing.assert_close(change, torch.tensor([[1.0, 0.0], [0.5, 0.0]]))


def test_weight_0_gives_every_key_its_value() -> None:
    generator = torch.Generator().manual_seed(0)
    keys, values = torch.randn(3, 8, generator=generator), torch.randn(3, 5, generator=generator)
    change = update(keys, values, torch.eye(8), 0.0)
    torch.testing.assert_close(keys @ change.T, values, rtol=1e-4, atol=1e-4)


def test_two_orthogonal_facts_do_not_disturb_each_other() -> None:
    """Weight 0.5 for each of 2 facts and C = 1: the denominator is 1 + 1, each gets half of its residual."""
    keys, values = torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 6.0]])
    torch.testing.assert_close(update(keys, values, torch.eye(2), 0.5), torch.diag(torch.tensor([1.0, 3.0])))


def test_a_state_moves_within_its_bound() -> None:
    """|h| = 5, clamp 0.6: a change of length 6 is halved, one of length 1 stays."""
    states = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    moved = within(torch.tensor([[6.0, 0.0], [0.0, 1.0]]), states, 0.6)
    torch.testing.assert_close(moved, torch.tensor([[3.0, 0.0], [0.0, 1.0]]))


def test_places_are_where_the_questions_end(bench) -> None:  # noqa: F811
    """Adding to the stream there moves the states that predict the first answer token, and nothing of other rows."""
    bench.drop_adapter(merge=False)
    rows = REFUSALS[:3]
    with torch.no_grad():
        before = ends(bench, rows, 2)
    offset = sum(len(row.input_ids) for row in rows[:2]) + rows[2].answer_start - 1
    assert places(bench, rows)[1][2] == offset
    change = torch.zeros_like(before)
    change[1] = 0.5
    hidden = torch.zeros(1, sum(len(row.input_ids) for row in rows), before.shape[-1])
    moved = added(bench, rows, change)(hidden)
    assert moved.sum() == pytest.approx(0.5 * before.shape[-1]) and not hidden.any()


def test_retain_keys_are_squared_over_all_their_tokens(bench) -> None:  # noqa: F811
    bench.drop_adapter(merge=False)
    linear = bench.linears(1, 1)["model.layers.0.mlp.down_proj"]
    seen = []
    handle = linear.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().flatten(0, 1)))
    with torch.no_grad():
        whole = mean_square(bench, linear)
    handle.remove()
    keys = torch.cat(seen)
    assert len(keys) == sum(len(row.input_ids) for row in RETAIN)
    torch.testing.assert_close(whole, keys.T @ keys / len(keys))


def test_it_edits_down_projections_towards_refusals(bench) -> None:  # noqa: F811
    """Both blocks' down projections change, no other matrix does, and refusals become likelier."""
    before = {name: p.clone() for name, p in bench.base_values().items()}
    with torch.no_grad(), bench.without_adapter():
        unlikely = bench.outputs(REFUSALS).mean_logps.mean()
    records = list(memit(bench, layers=(0.5, 1.0), inner=3, clamp=2.0, weight=0.1))
    assert len(records) == memit.steps(bench, **memit.resolve({"layers": "0.5+1.0", "inner": "3"}))
    changed = {n for n, p in causal_lm(bench.model).named_parameters() if not torch.equal(p, before[n])}
    assert changed == {f"model.layers.{i}.mlp.down_proj.weight" for i in (0, 1)}
    with torch.no_grad():
        assert bench.outputs(REFUSALS).mean_logps.mean() > unlikely + 0.1


def test_its_blocks_are_the_authors() -> None:
    """Blocks 3 to 8 of GPT-J's 28, counted from 0."""
    first, last = memit.published["layers"]
    assert (depth_index(first, 28), depth_index(last, 28)) == (4, 9)


def test_a_bound_is_a_share_whatever_the_unit() -> None:
    """|h| = 0.05, clamp 0.6: a change of length 0.06 is halved."""
    moved = within(torch.tensor([[0.06, 0.0]]), torch.tensor([[0.03, 0.04]]), 0.6)
    torch.testing.assert_close(moved, torch.tensor([[0.03, 0.0]]))


def test_what_is_missing_is_shared_by_the_blocks_that_are_left(bench, monkeypatch) -> None:  # noqa: F811
    """Two blocks: the first takes a half of the residual, the last the whole. Edits here change nothing."""
    given: list[tuple[torch.Tensor, float]] = []

    def nothing(keys: torch.Tensor, residuals: torch.Tensor, covariance: torch.Tensor, weight: float) -> torch.Tensor:
        given.append((residuals, weight))
        return torch.zeros(residuals.shape[1], keys.shape[1], dtype=residuals.dtype)

    monkeypatch.setattr(module, "update", nothing)
    records = list(memit(bench, layers=(0.5, 1.0), inner=2, clamp=0.25, weight=0.7))
    (half, weight), (whole, _) = given
    torch.testing.assert_close(whole, 2 * half)
    assert weight == 0.7 and len(whole) == len(REFUSALS)
    lengths = whole.norm(dim=-1)
    assert [(r.forget_loss, r.grad_norm) for r in records[-2:]] == [(pytest.approx(lengths.mean().item()), 0.0)] * 2
    with torch.no_grad():
        states = torch.cat([ends(bench, rows, 2) for rows in bench.batches(REFUSALS)])
    assert (lengths <= 0.25 * states.norm(dim=-1) * (1 + 1e-6)).all() and lengths.min() > 0
