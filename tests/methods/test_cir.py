"""CIR: projections, the confusion loss and the drift."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import ATTENDED, states
from tests.training.test_workbench import bench  # noqa: F401 - a fixture
from unlearn_cli.methods.cir import cir, confusion, directions_of, drift, inner_tokens, project_out
from unlearn_cli.models.depth import causal_lm, depth_index


def test_projection() -> None:
    """a = (3, 4) without its part along (1, 0), of whatever length: (0, 4)."""
    for length in (5.0, 0.25):
        assert project_out(torch.tensor([[3.0, 4.0]]), torch.tensor([[length, 0.0]])).tolist() == [[0.0, 4.0]]


def test_what_is_projected_out_is_gone() -> None:
    values = torch.randn(30, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions = directions_of(values, 3)
    assert directions.shape == (3, 6)
    left = project_out(values, directions[1:])
    assert (left @ directions[1:].T).abs().max() < 1e-9
    torch.testing.assert_close(directions[0], values.mean(0))


def test_confusion_of_the_fixture() -> None:
    """On the attended positions but each row's first: 0.19241891; of the reference with itself 1.03172793, at least 1."""
    policy, reference = states()
    chosen = ATTENDED.clone()
    chosen[:, 0] = False
    o, o0 = policy.hidden[0][chosen], reference.hidden[0][chosen]
    assert confusion(o, o0).item() == pytest.approx(0.19241891122617338, abs=1e-6)
    assert confusion(o0, o0).item() == pytest.approx(1.0317279288938694, abs=1e-6)


def test_drift_of_the_fixture() -> None:
    """Over the 5 + 4 attended positions of the retain rows: 1.46235940; nothing at the reference."""
    mask = torch.tensor([[True] * 5, [True] * 4 + [False]])
    policy, reference = states()
    h, h0 = policy.hidden[0][mask], reference.hidden[0][mask]
    assert drift(h0, h0).item() == 0
    assert drift(h, h0).item() == pytest.approx(1.4623593953195662, abs=1e-6)


def test_every_mlp_up_to_the_last_confused_block_changes(bench) -> None:  # noqa: F811
    """Of the tiny model's two blocks the second is confused: gate, up and down of both change, and nothing else."""
    before = {name: p.clone() for name, p in causal_lm(bench.copy()).named_parameters()}
    before = {name.replace(".base_layer", ""): p for name, p in before.items() if "lora_" not in name}
    list(cir(bench, epochs=1, layers=(1.0, 1.0), activations=2, gradients=2))
    after = dict(causal_lm(bench.model).named_parameters())
    changed = {name for name, p in after.items() if not torch.equal(p, before[name])}
    expected = {f"model.layers.{i}.mlp.{part}_proj.weight" for i in (0, 1) for part in ("gate", "up", "down")}
    assert changed == expected


def test_it_ends_after_the_pass_in_which_held_out_rows_suffer(bench, monkeypatch) -> None:  # noqa: F811
    """Losses of 1.00 before, 1.04 after the first pass that trains and 1.06 after the second: more than 0.05, the end."""
    held_out: list[list[str]] = []
    losses = iter([1.0, 1.04, 1.06, 1.0])

    def loss(bench, rows, model=None):
        held_out.append([row.id for row in rows])
        return next(losses)

    monkeypatch.setattr(type(bench), "answer_loss", loss)
    records = list(cir(bench, epochs=6, activations=2, gradients=2))
    assert len(records) == 3 * bench.steps_in(1)
    assert held_out == [[row.id for row in bench.retain[::8]]] * 3
    assert records[0].forget_gradient > 0 and records[0].retain_loss is None


def test_published_blocks() -> None:
    """Blocks 6 to 11 of 16, counted from 0: the 7th to the 12th."""
    first, last = cir.parameters["layers"].default
    assert (depth_index(first, 16), depth_index(last, 16)) == (7, 12)


def test_first_and_last_tokens_are_left_out(bench) -> None:  # noqa: F811
    """Of a row of n tokens n - 2 count, at their places among the packed rows."""
    rows = bench.retain[:2]
    expected = [i not in (0, len(row.input_ids) - 1) for row in rows for i in range(len(row.input_ids))]
    assert inner_tokens(rows).tolist() == expected


def test_a_step_has_the_length_that_was_given(bench) -> None:  # noqa: F811
    """Without steps on the retain rows: the first pass changes nothing, the second all matrices together by `rate`."""
    before = {name: p.clone() for name, p in bench.base_values().items()}
    settings = {"rate": 0.125, "retain_rate": 0.0, "layers": (0.5, 1.0), "activations": 2, "gradients": 2}
    first, second = cir(bench, epochs=1, **settings)
    assert cir.steps(bench, epochs=1) == 2
    after = dict(causal_lm(bench.model).named_parameters())
    changes = torch.stack([(p - before[name]).norm() for name, p in after.items()])
    assert changes.norm().item() == pytest.approx(0.125, rel=1e-5)
    assert (first.grad_norm, second.learning_rate) == (0.0, 0.125) and second.grad_norm > 0
    assert second.retain_loss is not None and second.retain_loss > 0, "the drift that the step made"
    assert 1.0 <= first.forget_loss < 1.5, "the mean over both blocks of mean |o|^2 / (mean |o|)^2, which is at least 1"
