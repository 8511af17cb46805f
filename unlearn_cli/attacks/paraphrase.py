"""Paraphrase: each question in the second wording that the data give.

Dorna et al., "OpenUnlearning" (2025) measure it for every model. Rows without a `paraphrased_question` keep their
question.
"""

from __future__ import annotations

from collections.abc import Iterator

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.attacks.prompts import reworded
from unlearn_cli.contract import attack
from unlearn_cli.errors import UnlearnError


@attack(along="wording", paper="2506.12618", access="queries")
def paraphrase(target: Target) -> Iterator[Point]:
    if not any(example.paraphrased_question for example in target.data.eval_forget):
        raise UnlearnError("paraphrase: no forget row has a paraphrased_question", "leave this attack out")
    with target.active():
        rows = [reworded(e, e.paraphrased_question) if e.paraphrased_question else e for e in target.data.eval_forget]
        yield target.measure("paraphrase", rows, retain=False)
