"""The questions and paragraphs that general ability is measured on."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

from unlearn_cli.data.general_ability import ANSWERED, CHANCE, QUESTIONS, TEXTS, general_splits
from unlearn_cli.evaluation.measure import spread

QUESTION, TEXT = (general_splits()[name].examples for name in (QUESTIONS, TEXTS))


def test_every_question_has_one_right_answer_and_three_wrong_ones() -> None:
    assert 60 <= len(QUESTION) <= 100
    assert len({example.prompt for example in QUESTION}) == len({example.id for example in QUESTION}) == len(QUESTION)
    for example in QUESTION:
        choices = {example.answer, *example.perturbed}
        assert len(choices) == 1 / CHANCE, example
        assert example.prefill and all(choice.endswith(".") for choice in choices), example
        assert example.answer.rstrip(".").casefold() not in f"{example.prompt} {example.prefill}".casefold(), example


def test_no_word_is_right_so_often_that_it_pays_to_guess_it() -> None:
    assert max(Counter(example.answer for example in QUESTION).values()) <= 4


def test_a_right_answer_is_as_long_as_a_wrong_one() -> None:
    right = sum(len(example.answer) for example in QUESTION) / len(QUESTION)
    wrong = sum(len(text) for example in QUESTION for text in example.perturbed) / len(QUESTION) / 3
    assert abs(right - wrong) < 1


def test_paragraphs_are_forty_to_eighty_words_of_plain_text() -> None:
    assert len(TEXT) == 20 == len({example.answer for example in TEXT})
    for example in TEXT:
        assert 40 <= len(example.answer.split()) <= 80 and example.answer.isascii(), example.id


def test_a_few_questions_are_answered_and_no_paragraph_is_continued() -> None:
    parts = general_splits()
    assert len(spread(len(QUESTION), parts[QUESTIONS].generate_limit)) == ANSWERED
    assert parts[TEXTS].generate_limit == -1


def test_they_are_part_of_the_package_and_name_no_path() -> None:
    package = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "data/general/*.jsonl" in package["package-data"]["unlearn_cli"]
    assert all(split.origin.files == () and "/" not in split.origin.spec for split in general_splits().values())
