"""Which rows a step sees."""

from __future__ import annotations

import pytest

from unlearn_cli.training.pairing import Pairing, Subset


def pairing(seed: int = 0, *, forget: int = 7, retain: int = 11, batch: int = 3, retain_batch: int = 4) -> Pairing:
    return Pairing(seed, forget, retain, batch, retain_batch)


def test_it_is_a_pure_function_of_seed_and_step() -> None:
    forwards, backwards = pairing(), pairing()
    steps = range(20)
    ahead = {step: (forwards.forget(step), forwards.retain(step)) for step in steps}
    behind = {step: (backwards.forget(step), backwards.retain(step)) for step in reversed(steps)}
    assert ahead == behind
    assert ahead[13] == (pairing().forget(13), pairing().retain(13)), "a resumed run meets other rows"


@pytest.mark.parametrize(("forget", "batch"), [(7, 3), (7, 7), (3, 8), (1, 4), (12, 4)])
def test_each_pass_sees_each_row_once(forget: int, batch: int) -> None:
    """Also where a batch holds the end of one pass and the start of the next, or several passes."""
    drawn = [place for step in range(3 * forget) for place in pairing(forget=forget, batch=batch).forget(step)]
    assert len(drawn) == 3 * forget * batch
    for epoch in range(3 * batch):
        assert sorted(row for number, row in drawn if number == epoch) == list(range(forget))
    assert [number for number, _ in drawn] == sorted(number for number, _ in drawn)


def test_each_pass_over_the_retain_rows_sees_each_once() -> None:
    drawn = [row for step in range(11) for row in pairing().retain(step)]
    for epoch in range(4):
        assert sorted(drawn[epoch * 11 : (epoch + 1) * 11]) == list(range(11))


def test_passes_seeds_and_splits_are_shuffled_apart() -> None:
    whole = pairing(forget=50, retain=50, batch=50, retain_batch=50)
    first, second = ([row for _, row in whole.forget(step)] for step in (0, 1))
    other = [row for _, row in pairing(1, forget=50, batch=50).forget(0)]
    assert len({tuple(order) for order in (first, second, other, whole.retain(0), range(50))}) == 5


def test_no_retain_rows() -> None:
    assert pairing(retain=0).retain(3) == []


@pytest.mark.parametrize(
    ("epochs", "forget", "batch", "steps"), [(5, 40, 8, 25), (1, 7, 3, 2), (0.1, 7, 3, 1), (2.5, 16, 8, 5), (3, 1, 8, 1)]
)
def test_steps(epochs: float, forget: int, batch: int, steps: int) -> None:
    assert pairing(forget=forget, batch=batch).steps(epochs) == steps


def test_a_subset_draws_its_own_rows_and_no_others() -> None:
    """Rows 2, 5 and 7 to forget, 0, 1 and 9 to keep: each pass sees each of them once."""
    inner = Pairing(seed=0, forget_rows=3, retain_rows=3, batch=1, retain_batch=1)
    subset = Subset(inner, (2, 5, 7), (0, 1, 9))
    assert sorted(row for step in range(3) for _, row in subset.forget(step)) == [2, 5, 7]
    assert sorted(row for step in range(3) for row in subset.retain(step)) == [0, 1, 9]
    assert (subset.forget_rows, subset.batch) == (3, 1)
