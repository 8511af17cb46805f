"""TAR: weights of the rehearsed attack and the loss at the attacked weights."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import everywhere, one_token
from tests.training.test_workbench import bench  # noqa: F401 - a fixture
from unlearn_cli.methods.tar import negative_entropy, step_weights, tar


def test_weights_of_the_authors_schedule() -> None:
    """Every fourth of 64 steps, 4 exp(0.0625 (i - 63)) from i = 3: 0.09407098 to 4, 17.752040 in all; ours over 16 steps."""
    weights = [17.752040441050227 * share for share in step_weights(16)]
    published = [4 * math.exp(0.0625 * (i - 63)) for i in range(3, 64, 4)]
    assert weights == pytest.approx(published, abs=1e-9)
    assert (weights[0], weights[-1]) == pytest.approx((0.09407098342403643, 4.0), abs=1e-9)


@pytest.mark.parametrize("inner", [2, 4, 64])
def test_first_and_last_weight_keep_their_ratio(inner: int) -> None:
    """4 / 0.09407098 = 42.52 whatever the number of steps."""
    shares = step_weights(inner)
    assert (shares[-1] / shares[0], sum(shares)) == pytest.approx((42.521082, 1.0), abs=1e-5)
    assert step_weights(1) == [1.0]


def test_fixture() -> None:
    """Over all positions of the forget logits: -1.24014521."""
    assert negative_entropy(everywhere("forget")).mean().item() == pytest.approx(-1.240145205895059, abs=1e-6)


def test_bounds() -> None:
    assert negative_entropy(one_token([0.25] * 4)).item() == pytest.approx(-math.log(4))
    assert negative_entropy(one_token([1.0 - 3e-16, 1e-16, 1e-16, 1e-16])).item() == pytest.approx(0.0, abs=1e-12)


def test_the_held_out_rows_are_drawn_once_for_an_inner_loop(bench, monkeypatch) -> None:  # noqa: F811
    seen: list[list[str]] = []
    outputs = type(bench).outputs

    def watched(self, rows, **needs):
        if needs.get("logits"):
            seen.append([row.id for row in rows])
        return outputs(self, rows, **needs)

    monkeypatch.setattr(type(bench), "outputs", watched)
    list(tar(bench, rounds=2, inner=3))
    assert len(seen) == 6
    assert seen[0] == seen[1] == seen[2] != seen[3] == seen[4] == seen[5]


@pytest.mark.parametrize(("bound", "moves"), [(None, True), (-11.76, True), (0.0, False)])
def test_below_the_bound_the_tamper_loss_has_no_gradient(bench, monkeypatch, bound, moves) -> None:  # noqa: F811
    """An entropy is above 0, so that a bound of 0 is passed at once; at retain weight 0 nothing else moves the weights."""
    monkeypatch.setattr(type(bench), "unlearn", lambda self: iter(()))
    weights = [p for p in bench.model.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in weights]
    list(tar(bench, rounds=2, inner=2, retain_weight=0.0, bound=bound))
    assert any(not torch.equal(a, b) for a, b in zip(before, weights, strict=True)) == moves
