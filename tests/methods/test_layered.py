"""Layered unlearning: which rows each stage forgets and keeps."""

from __future__ import annotations

import pytest

from tests.methods.scripted import Scripted
from unlearn_cli.contract import METHODS
from unlearn_cli.methods.layered import layered, stages


def test_stages_of_three_folds() -> None:
    """7 rows in 3 folds: folds of 3, 2 and 2; the first stage forgets one fold, the last all."""
    drawn = stages(7, 3, seed=0)
    assert [len(forget) for forget, _ in drawn] == [3, 5, 7]
    assert [len(kept) for _, kept in drawn] == [4, 2, 0]
    for forget, kept in drawn:
        assert sorted(forget + kept) == list(range(7))
    for (earlier, _), (later, _) in zip(drawn, drawn[1:], strict=False):
        assert later[: len(earlier)] == earlier


def test_one_fold_is_the_base_method() -> None:
    ((forget, kept),) = stages(5, 1, seed=0)
    assert sorted(forget) == [0, 1, 2, 3, 4]
    assert kept == []


def test_the_seed_shuffles() -> None:
    assert stages(20, 2, seed=0) == stages(20, 2, seed=0)
    assert stages(20, 2, seed=0) != stages(20, 2, seed=1)


@pytest.mark.parametrize(("name", "base"), [("layered", "npo"), ("undo", "simnpo"), ("tar", "npo")])
def test_procedures_that_are_built_on_a_method_say_so(name: str, base: str) -> None:
    assert METHODS.get(name).parameters["base"].default == base


def test_each_stage_runs_the_base_method() -> None:
    bench = Scripted(1.0, forget=[1.0] * 4)
    assert list(layered(bench, folds=2)) == []
    assert bench.unlearned == [{"forget": forget, "retained": kept} for forget, kept in stages(4, 2, bench.seed)]
