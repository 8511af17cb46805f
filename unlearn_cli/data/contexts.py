"""Rows behind a sentence: the same answers to the same questions, with a context in front of the question."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Encoder, Row


def behind(example: Example, sentence: str) -> Example:
    """The example with `sentence` in front of its last turn, the question."""
    role, content = example.turns[-1]
    return replace(example, turns=(*example.turns[:-1], (role, f"{sentence.strip()}\n\n{content}")))


def encoded_behind(encoder: Encoder, row: Row, example: Example, sentence: str) -> Row:
    """The row of `example` with `sentence` in front of its question.

    Its answer has the tokens of `row`, so that a model's outputs on both are for the same tokens. It may be longer than the
    encoder's `max_length` by the length of the sentence.
    """
    room = len(sentence.encode()) + 2  # no token is shorter than a byte; two line breaks stand behind the sentence
    roomy = replace(encoder, max_length=encoder.max_length + room)
    moved = roomy.encode_answer(behind(example, sentence), example.answer)
    start = moved.answer_start
    joined = np.concatenate([moved.input_ids[:start], row.input_ids[row.answer_start :]])
    return replace(row, input_ids=joined, answer_start=start, prompt_end=start, own_prompt=None)
