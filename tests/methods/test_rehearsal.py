"""Rehearsal: the halves, the attacker, and what a step goes after."""

from __future__ import annotations

import math

import pytest
import torch

import unlearn_cli.methods.rehearsal as module
from tests.methods.scripted import Scripted, Slope, p
from tests.training.test_loop import FORGET
from tests.training.test_workbench import bench  # noqa: F401 - a fixture
from unlearn_cli.data.batch import cycled
from unlearn_cli.methods.rehearsal import Attacker, halves, likely, moved, rehearsal


def test_each_row_is_on_one_side() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = halves(FORGET[:5], generator)
    assert (len(one), len(other)) == (2, 3)
    assert {row.id for row in one} | {row.id for row in other} == {row.id for row in FORGET[:5]}
    again = halves(FORGET[:5], generator)
    assert {row.id for row in again[0]} != {row.id for row in one}, "drawn anew"
    assert halves(FORGET[:1], generator) == (FORGET[:1], FORGET[:1])


def test_rows_take_turns() -> None:
    """Of 5 rows, 2 a step: 0 1, 2 3, 4 0; and never more than there are."""
    assert [[int(row.id) for row in cycled(FORGET[:5], step, 2)] for step in range(3)] == [[0, 1], [2, 3], [4, 0]]
    assert len(cycled(FORGET[:3], 0, 8)) == 3


def test_worked_example() -> None:
    """p = 0.5, 0.02, 0.1 at level 0.03: (log 0.5 + 0 + log 0.1) / 3 = -0.99857742; the unlikely row has no gradient."""
    logps = torch.tensor([0.5, 0.02, 0.1], dtype=torch.float64).log().requires_grad_()
    value = likely(logps, 0.03)
    value.backward()
    assert value.item() == pytest.approx((math.log(0.5) + math.log(0.1)) / 3)
    assert value.item() == pytest.approx(-0.9985774)
    assert logps.grad.tolist() == pytest.approx([1 / 3, 0, 1 / 3])


def test_weights_come_back_exactly() -> None:
    weights = [torch.tensor([0.1, 1e8]), torch.tensor([[3.0]])]
    before = [weight.clone() for weight in weights]
    with pytest.raises(ZeroDivisionError), moved(weights, [torch.tensor([1e-9, 0.3]), torch.tensor([[-3.0]])]):
        assert weights[1].item() == 0.0
        raise ZeroDivisionError
    assert all(torch.equal(weight, old) for weight, old in zip(weights, before, strict=True))


def test_the_attacker_relearns_its_rows_and_leaves_the_weights(bench) -> None:  # noqa: F811
    bench.drop_adapter(merge=True)
    weights = list(bench.weights().values())
    before = [weight.detach().clone() for weight in weights]
    attacker = Attacker(bench, weights)
    attacker.begin(FORGET[:2], 1e-2)
    with torch.no_grad():
        unlikely = bench.outputs(FORGET[:2]).mean_logps.mean()
    for step in range(4):
        attacker.step(step)
    assert all(torch.equal(weight, old) for weight, old in zip(weights, before, strict=True))
    with torch.no_grad(), moved(weights, attacker.shift):
        assert bench.outputs(FORGET[:2]).mean_logps.mean() > unlikely + 0.1
    attacker.begin(FORGET[2:4], 1e-2)
    assert not any(shift.any() for shift in attacker.shift)


def test_what_the_attacker_brings_back_is_what_falls(bench, monkeypatch) -> None:  # noqa: F811
    """Without retain rows to hold: judging rows fall at the attacked weights; level near 1 leaves every row alone."""
    seen: list[float] = []
    begin = Attacker.begin
    monkeypatch.setattr(Attacker, "begin", lambda self, rows, rate: (seen.append(rate), begin(self, rows, rate))[1])
    settings = {"rounds": 4, "length": 2, "attack_rate": 1e-3, "rate": 1e-3, "retain_weight": 0.0, "level": 1e-30}
    records = list(rehearsal(bench, **settings))
    ours = records[-4:]
    assert len(seen) == 2 and all(2.5e-4 <= rate <= 1e-3 for rate in seen)
    assert all(record.forget_loss < 0 and record.grad_norm > 0 for record in ours)
    assert ours[-1].step == rehearsal.steps(bench, **rehearsal.resolve({"rounds": 4})) == len(records)


def test_every_fourth_step_judges_all_rows_without_the_attack(bench, monkeypatch) -> None:  # noqa: F811
    judged: list[int] = []
    monkeypatch.setattr(module, "likely", lambda logps, level: (judged.append(len(logps)), likely(logps, level))[1])
    monkeypatch.setattr(module, "moved", lambda weights, by: (judged.append(0), moved(weights, by))[1])
    list(rehearsal(bench, rounds=8, length=8, attack_rate=1e-9, retain_weight=0.0))
    moved_for_attacker, moved_for_judges, half, batch = 0, 0, len(bench.forget) // 2, bench.batch
    assert judged == [*[moved_for_attacker, moved_for_judges, half] * 3, moved_for_attacker, batch] * 2


def test_a_row_that_is_unlikely_enough_is_left_alone(bench) -> None:  # noqa: F811
    records = list(rehearsal(bench, rounds=1, length=1, attack_rate=1e-9, retain_weight=0.0, level=0.999))[-1:]
    assert records[0].forget_loss == 0 and records[0].grad_norm == 0


def test_a_step_by_hand(monkeypatch) -> None:
    """w is 2 before and 1 after the base method; 0.5 is the attacker's first step, towards the forget row: 1.5.

    There the forget row, slope 1, has log p with slope 1 - p. At w = 1 the retain row, slope 3, pulls back to 2 with
    5 x 3 (p(3) - p(6)). Adam's first step is the rate, against the sum.
    """
    monkeypatch.setattr(torch, "rand", lambda *size, generator: torch.zeros(()))  # attack_rate / 4^0
    one = Scripted(2.0, forget=[1.0], retain=[3.0], learned=-1.0)
    (record,) = rehearsal(one, rounds=1, attack_rate=0.5, rate=0.125, retain_weight=5.0)
    gradient = (1 - p(1.5)) + 5 * 3 * (p(3.0) - p(6.0))
    assert gradient < 0 and record.grad_norm == pytest.approx(-gradient)
    assert record.forget_loss == pytest.approx(math.log(p(1.5)))
    kl = p(6.0) * math.log(p(6.0) / p(3.0)) + p(-6.0) * math.log(p(-6.0) / p(-3.0))
    assert record.retain_loss == pytest.approx(5 * kl)
    assert one.w == pytest.approx(1.0 + 0.125, abs=1e-6)
    assert [(a, round(w, 6), whole) for a, w, whole in one.seen] == [(1, 1, False), (1, 1.5, False), (3, 1, True)]


def test_rates_of_attackers_lie_between_a_quarter_and_the_whole(monkeypatch) -> None:
    """attack_rate / 4^u, u uniform in [0, 1): the mean of its logarithm is log 0.5."""
    drawn: list[float] = []
    begin = Attacker.begin
    monkeypatch.setattr(Attacker, "begin", lambda self, rows, rate: (drawn.append(rate), begin(self, rows, rate))[1])
    list(rehearsal(Scripted(1.0, forget=[1.0, 2.0]), rounds=200, length=1, attack_rate=1.0, rate=1e-9))
    assert len(drawn) == 200 and 0.25 <= min(drawn) < 0.26 and 0.98 < max(drawn) <= 1.0
    assert sum(map(math.log, drawn)) / 200 == pytest.approx(math.log(0.5), abs=0.07)


def test_rows_of_steps_by_hand(monkeypatch) -> None:
    """Three rows; the attacker's is always the first, 1. Others judge in turns; each third step judges all at w."""
    monkeypatch.setattr(module, "halves", lambda rows, generator: (rows[:1], rows[1:]))
    one = Scripted(1.0, forget=[1.0, 2.0, 3.0], retain=[4.0])
    list(rehearsal(one, rounds=8, length=5, attack_rate=1e-3, rate=1e-12, unattacked_every=3))
    judged = [(a, w > 1.0001) for a, w, whole in one.seen if not whole][1::2]
    moved_, still = True, False
    assert judged[:5] == [(2.0, moved_), (3.0, moved_), (1.0, still), (3.0, moved_), (2.0, moved_)]
    assert judged[5:] == [(2.0, moved_), (3.0, moved_), (3.0, still)], "step 7 is the third group of three: row 2"


def test_a_row_at_the_level_is_left_alone() -> None:
    assert likely(torch.tensor([math.log(0.25)], dtype=torch.float64), 0.25).item() == 0


def test_without_a_level_it_is_that_of_rows_never_known(monkeypatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr(module, "likely", lambda logps, level: (seen.append(level), likely(logps, level))[1])
    one = Scripted(1.0)
    one.level = 0.08
    list(rehearsal(one, rounds=1, length=1))
    list(rehearsal(one, rounds=1, length=1, level=0.3))
    assert seen == [0.08, 0.3]


def test_a_wide_model_is_trained_and_attacked_at_lower_rates(monkeypatch) -> None:
    """At twice the width of 288 both rates are halved. Rates that are given stay."""
    seen: list[float] = []
    begin = Attacker.begin
    monkeypatch.setattr(Attacker, "begin", lambda self, rows, rate: (seen.append(rate), begin(self, rows, rate))[1])
    rates = []
    for width, given in ((128, {}), (576, {}), (576, {"rate": 1e-4, "attack_rate": 1e-3})):
        one = Scripted(2.0)
        one.loaded.config.hidden_size = width
        (record,) = rehearsal(one, rounds=1, **given)
        rates.append(record.learning_rate)
    assert rates == pytest.approx([rates[0], rates[0] / 2, rates[0]])
    assert seen == pytest.approx([seen[0], seen[0] / 2, seen[0]]) and 2.5e-4 <= seen[0] <= 1e-3


def test_neutral_rows_are_kept_beside_retain_rows() -> None:
    """w is 2 before and 1 after the base method: the retain row, slope 3, and the neutral one, slope 5, share the weight."""
    one = Scripted(2.0, forget=[1.0], retain=[3.0], learned=-1.0)
    one.neutral = [Slope(5.0)]
    (record,) = rehearsal(one, rounds=1, attack_rate=1e-9, rate=1e-12, retain_weight=5.0)

    def kl(a: float) -> float:
        return p(2 * a) * math.log(p(2 * a) / p(a)) + p(-2 * a) * math.log(p(-2 * a) / p(-a))

    assert record.retain_loss == pytest.approx(5 * (kl(3.0) + kl(5.0)) / 2)
    assert [(a, whole) for a, _, whole in one.seen][-2:] == [(3.0, True), (5.0, True)]
