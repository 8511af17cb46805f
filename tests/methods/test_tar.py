"""TAR: weights of the rehearsed attack and the loss at the attacked weights."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import everywhere, one_token
from tests.methods.scripted import Scripted, p
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


def entropy_slope(w: float) -> float:
    """d/dw of sum p log p at log-odds w: w p (1 - p)."""
    return w * p(w) * (1 - p(w))


def negated(w: float) -> float:
    return p(w) * math.log(p(w)) + (1 - p(w)) * math.log(1 - p(w))


def test_a_step_by_hand() -> None:
    """w = 1. The adversary's first step of Adam is its rate, 0.5, towards the forget row: 1.5. There 3 sum p log p counts,
    with slope 3 x 1.5 p (1 - p). At w = 1 the retain row pulls with -7 (1 - p). Their sum is the gradient. It is negative:
    Adam's first step adds the rate to w.
    """
    one = Scripted(1.0)
    (record,) = tar(one, rounds=1, inner=1, attack_rate=0.5, rate=0.25, retain_weight=7.0, tamper_weight=3.0)
    assert record.forget_loss == pytest.approx(3 * negated(1.5))
    assert record.retain_loss == pytest.approx(-math.log(p(1.0)))
    gradient = 3 * entropy_slope(1.5) - 7 * (1 - p(1.0))
    assert gradient < 0 and record.grad_norm == pytest.approx(-gradient)
    assert one.w == pytest.approx(1.25) and record.learning_rate == 0.25


def test_the_steps_of_the_adversary_add_up_and_its_rows_are_others() -> None:
    """An adversary that hardly moves: the shares add up to 1. In each round the first row judges, and two others attack."""
    one = Scripted(2.0, forget=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], retain=[0.5, 0.25])
    records = list(tar(one, rounds=2, inner=2, attack_rate=1e-12, rate=1e-12, retain_weight=0.0))
    assert [record.forget_loss for record in records] == pytest.approx([negated(2.0), negated(8.0)])
    assert records[0].grad_norm == pytest.approx(entropy_slope(2.0))
    assert [a for a, *_ in one.seen] == [2.0, 1.0, 3.0, 1.0, 0.5, 5.0, 4.0, 6.0, 4.0, 0.25]
    assert [record.learning_rate for record in records] == pytest.approx([1e-12, 0.5e-12])


def test_a_loss_at_the_bound_is_trained() -> None:
    settings = {"rounds": 1, "inner": 1, "retain_weight": 0.0}
    (record,) = tar(Scripted(1.0), **settings, bound=None)
    (at_bound,) = tar(Scripted(1.0), **settings, bound=record.forget_loss)
    assert at_bound.grad_norm > 0


def test_gradients_longer_than_1_are_shortened() -> None:
    """Retain rows of slope 20 and 1 at w = 0, weight 1: gradients -10, cut to -1, and then -1/2 nearly.

    Adam's second step is (0.09 g1 + 0.1 g2) / 0.19 over sqrt((0.000999 g1^2 + 0.001 g2^2) / 0.001999), times half the rate.
    """
    one = Scripted(0.0, retain=[20.0, 1.0])
    list(tar(one, rounds=2, inner=1, attack_rate=1e-12, rate=1e-6, retain_weight=1.0, tamper_weight=0.0))
    second = ((0.09 + 0.1 * 0.5) / 0.19) / math.sqrt((0.000999 + 0.001 * 0.25) / 0.001999)
    assert one.w == pytest.approx(1e-6 + 0.5e-6 * second, rel=1e-4)
