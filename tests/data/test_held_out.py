"""Retain rows held out from training: how many, which, and never one whose twin is drilled."""

import pytest

from unlearn_cli.data.example import Example
from unlearn_cli.data.held_out import held_out, near_duplicates


def row(number: int, question: str = "", answer: str = "") -> Example:
    question = question or f"In which {number}th year was person number{number} born at place{number}?"
    answer = answer or f"Person number{number} came to place{number} in winter{number}."
    return Example(str(number), (("user", question),), answer, "qa")


@pytest.mark.parametrize(("rows", "expected"), [(3, 0), (4, 2), (10, 5), (20, 8), (60, 12), (400, 80)])
def test_how_many(rows, expected):
    """A fifth, at least eight, at most half; of fewer than four rows none."""
    assert len(held_out([row(n) for n in range(rows)], share=0.2)) == expected


def test_the_same_rows_are_drawn_again():
    examples = [row(n) for n in range(50)]
    assert held_out(examples, share=0.2) == held_out(examples, share=0.2)
    assert held_out(examples, share=0.0) == frozenset()


def test_near_duplicates_stay_together():
    """Planted twins, which differ in case, a comma or one word of many."""
    examples = [row(n) for n in range(20)]
    examples += [row(20 + n, examples[n].prompt.upper(), examples[n].answer.replace(" came", ", came")) for n in range(10)]
    groups = near_duplicates(examples)
    assert sorted(map(tuple, groups)) == [(n, 20 + n) for n in range(10)] + [(n,) for n in range(10, 20)]
    for share in (0.2, 0.3, 0.4, 0.5):
        chosen = held_out(examples, share=share)
        assert all((n in chosen) == (20 + n in chosen) for n in range(10))


def test_rows_that_share_only_their_wording_are_no_near_duplicates():
    """One form of question about sixty subjects: every row is a group of its own."""
    examples = [
        row(n, f"What is the full name of the author number{n}?", f"The full name is subject{n}.") for n in range(60)
    ]
    assert len(near_duplicates(examples)) == 60


def test_rows_that_are_all_the_same_are_not_split():
    assert held_out([row(1)] * 12, share=0.2) == frozenset()
