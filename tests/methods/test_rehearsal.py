"""Rehearsal: the halves, the attacker, and what a step goes after."""

from __future__ import annotations

import math

import pytest
import torch

import unlearn_cli.methods.rehearsal as module
from tests.training.test_loop import FORGET
from tests.training.test_workbench import bench  # noqa: F401 - a fixture
from unlearn_cli.methods.rehearsal import Attacker, cycled, halves, likely, moved, rehearsal


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
