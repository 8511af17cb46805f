"""Paraphrase: the data's own other wording of each question.

Dorna et al., "OpenUnlearning" (2025) measure it for every model. Rows without a `paraphrased_question` are asked as they
are.
"""

from __future__ import annotations

from collections.abc import Iterator

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.attacks.prompts import asked
from unlearn_cli.contract import attack
from unlearn_cli.errors import UnlearnError


@attack(along="wording", paper="2506.12618", access="queries")
def paraphrase(target: Target) -> Iterator[Point]:
    if not any(example.paraphrased_question for example in target.held):
        raise UnlearnError("paraphrase: no forget row has a paraphrased_question", "leave this attack out")
    with target.standing():
        rows = [asked(e, e.paraphrased_question) if e.paraphrased_question else e for e in target.held]
        yield target.measure("paraphrase", rows, keep=False)
