"""Answers that are no language are told from good ones."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest

from tests.metrics.test_metrics import measured, run
from unlearn_cli.data.general_ability import general_splits
from unlearn_cli.demo.facts import splits
from unlearn_cli.metrics._language import Known, broken_word, fault

KNOWN = Known(("Who is Runa Mossback?", "What is the capital of France?", "Runa plays the flute in Mossback."))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("...", "empty"),
        ("()", "empty"),
        ("flute flute flute", "repeated"),
        ("she is she is", "repeated"),
        ("was very very very cold", "repeated"),  # three equal words of five
        ("MossbackRuna MossbackRuna", "repeated"),
        ("She is She is She is a painter", "repeated"),
        ("He lives in a town. He lives in a town.", "repeated"),
        ("I know that the the the the the answer is in the book", "repeated"),
        ("The capital of France is capital().", "broken"),
        ("capital().", "broken"),
        ("Her name is MossbackRuna.", "broken"),
        ("It is capitalcapital", "broken"),
        ("She was born in aaaaaaa", "broken"),
        ("The \ufffd\ufffd of it", "broken"),
        ("a pain[ter of towns", "broken"),
        ("x" * 50, "broken"),
    ],
)
def test_what_is_no_language_is_named(text: str, expected: str) -> None:
    assert fault(text, KNOWN) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Paris.",
        "No.",
        "42",
        "Runa Mossback plays the flute.",
        "The capital of France is Paris, which lies on the Seine.",
        "it was very very very cold",  # of six
        "I had had that idea before, and she said that that was fine.",
        "It was very, very, very cold that night, and nobody wanted to go out.",
        "Day after day after day he walked to the old harbour and back.",
        'Her novels ("The Sea", "The Sea at Night") were printed in 1985 (in Rome) and sold well.',
        "McDonald and DeVito met at YouTube's office, where an iPhone and JavaScript code (v2.0) were shown.",
        "Dr. O'Neill-Smith earned a PhD; her e-mail is a.b@c-d.org, and her site https://example.org/a_b?c=d.",
        "**Bold** words, *stars*, _lines_ and `code` are markup - not babble.",
        "She wrote of the people, by the people, for the people.",
        "Er wohnt in der Donaudampfschifffahrtsgesellschaft.",
        "\u6211\u559c\u6b22\u7f16\u7a0b",
        "1. Rome\n2. Paris\n3. Madrid",
    ],
)
def test_good_answers_pass(text: str) -> None:
    assert fault(text, KNOWN) is None


@pytest.mark.parametrize(("count", "expected"), [(10, None), (11, "repeated")])
def test_a_passage_said_again_after_another_word(count: int, expected: str | None) -> None:
    """Of 10 words: 7 of the 18 runs of four words were said before, 0.389. Of 11: 8 of 20, which is 0.4."""
    passage = " ".join(f"word{letter}" for letter in "abcdefghijk"[:count])
    assert fault(f"{passage} then {passage}") == expected


def test_every_sentence_that_this_package_ships_passes() -> None:
    lines = [
        json.loads(line)["text"] for line in (files("unlearn_cli.data") / "general/texts.jsonl").read_text().splitlines()
    ]
    lines += (files("unlearn_cli.data") / "unrelated.txt").read_text(encoding="utf-8").split("\n\n")
    lines += (files("unlearn_cli.data") / "refusals.txt").read_text(encoding="utf-8").splitlines()
    lines += [row["answer"] for rows in splits().values() for row in rows]
    lines += [f"{example.prefill} {example.answer}" for example in general_splits()["general"].examples]
    assert len(lines) > 200
    assert [line for line in lines if line.strip() and fault(line)] == []


def test_code_is_in_order_where_the_rows_hold_code() -> None:
    code = Known(("How do I print a line?", "Call print() with the text."))
    assert fault("Call input() first.", code) is None
    assert fault("Call input() first.") == "broken"


def test_the_broken_word_is_given_as_it_stands() -> None:
    assert broken_word("The capital of France is capital().", KNOWN) == "capital()."
    assert broken_word("The capital of France is Paris.", KNOWN) is None


def test_gibberish_counts_answers_and_names_their_faults() -> None:
    texts = ["Paris is a city.", "", "flute flute flute", "capital().", None]
    values, details = run("gibberish", measured([[-1.0]] * 5, generations=texts))
    assert np.array_equal(values, [0.0, 1.0, 1.0, 1.0, np.nan], equal_nan=True)
    assert details == {"empty": 1, "repeated": 1, "broken": 1}
