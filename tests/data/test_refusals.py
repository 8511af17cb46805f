"""The refusals that come with the package, and who gets which."""

from __future__ import annotations

import pytest

from unlearn_cli.data.alternatives import with_refusals
from unlearn_cli.data.example import Example
from unlearn_cli.data.shipped_texts import refusals

ROWS = [Example(str(number), (("user", f"q{number}"),), f"a{number}", "qa") for number in range(300)]


def test_the_list() -> None:
    sentences = refusals()
    assert 90 <= len(sentences) <= 120
    assert len({sentence.casefold() for sentence in sentences}) == len(sentences)
    for sentence in sentences:
        assert sentence == sentence.strip()
        assert 3 <= len(sentence.split()) <= 15, sentence
        assert sentence.endswith(".")


def test_distinct_and_from_the_list() -> None:
    for example in with_refusals(ROWS, seed=1, count=4):
        assert len(set(example.alternatives)) == 4
        assert set(example.alternatives) <= set(refusals())
    (everything,) = with_refusals(ROWS[:1], seed=1, count=len(refusals()))
    assert sorted(everything.alternatives) == sorted(refusals())


def test_given_alternatives_stay() -> None:
    given = Example("x", (("user", "q"),), "a", "qa", alternatives=("mine",))
    assert with_refusals([given], seed=1, count=3) == (given,)


def test_drawn_by_seed_and_content_not_by_place() -> None:
    drawn = {example.id: example.alternatives for example in with_refusals(ROWS, seed=1, count=3)}
    assert {e.id: e.alternatives for e in with_refusals(ROWS[::-1], seed=1, count=3)} == drawn
    other = {e.id: e.alternatives for e in with_refusals(ROWS, seed=2, count=3)}
    assert sum(other[key] == drawn[key] for key in drawn) < 10
    # A row asks for more without losing those it has.
    assert all(e.alternatives[:3] == drawn[e.id] for e in with_refusals(ROWS, seed=1, count=5))


def test_known_draw() -> None:
    """Pinned: a run that is repeated with a later version has to get the same refusals."""
    (example,) = with_refusals(ROWS[:1], seed=42, count=2)
    assert example.alternatives == ("I can't say anything certain about this.", "I have to pass on this question.")


def test_all_are_used_about_equally() -> None:
    counts = dict.fromkeys(refusals(), 0)
    for example in with_refusals(ROWS, seed=7, count=10):
        for sentence in example.alternatives:
            counts[sentence] += 1
    assert min(counts.values()) >= 10
    assert max(counts.values()) <= 55


@pytest.mark.parametrize("count", [0, 1000])
def test_count_out_of_range(count: int) -> None:
    with pytest.raises(ValueError, match="count must be from 1 to"):
        with_refusals(ROWS, seed=1, count=count)
