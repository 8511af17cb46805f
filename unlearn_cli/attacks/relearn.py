"""Relearning: after a few steps of fine-tuning, answers that were not trained on come back.

    theta <- AdamW on the mean negative log-likelihood of the attacker's rows, constant rate; judged by other rows

Hu et al., "Unlearning or Obfuscating? Jogging the Memory of Unlearned LLMs via Benign Relearning" (2024). The
attacker's rows: half of the forget rows (the other half judges), all of them (`same-data`, an upper bound, for the rows
that judge are trained on), that half in the data's second wording (`paraphrased`), retain rows, unrelated text, or
--attack-data, for neighbors of what was forgotten. A fresh LoRA adapter, or with `full` every weight. With
`quantize_to` the weights are rounded first (Zhang et al., arXiv 2410.16454): what rounding loosens, a few steps may
finish. What the baseline gains from the same training is teaching, not recovery.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from unlearn_cli.attacks._target import FineTuning, Point, Target
from unlearn_cli.attacks.prompts import reworded
from unlearn_cli.attacks.quantize import rounded
from unlearn_cli.contract import WholeNumbers, attack, parameter
from unlearn_cli.data.example import Example
from unlearn_cli.data.shipped_texts import unrelated
from unlearn_cli.errors import UnlearnError
from unlearn_cli.values import MANY

Data = Literal["forget-subset", "paraphrased", "same-data", "retain-only", "unrelated", "given"]

Steps = Annotated[tuple[int, ...], WholeNumbers(0, MANY), parameter("measured after these numbers of steps, written 0+15")]


@attack(along="step", paper="2406.13356")
def relearn(
    target: Target,
    *,
    data: Annotated[Data, parameter("the attacker's rows; given: those of --attack-data")] = "forget-subset",
    steps: Steps = (0, 1, 2, 5, 10, 15, 30, 60),
    learning_rate: Annotated[float, parameter("constant", gt=0)] = 1e-3,
    seed: Annotated[int, parameter("seed of the rows' order and the adapter", ge=0)] = 0,
    batch_size: Annotated[int, parameter("rows of a step", ge=1)] = 8,
    rank: Annotated[int, parameter("of the fresh adapter", ge=1)] = 16,
    full: Annotated[bool, parameter("train every weight instead of an adapter")] = False,
    quantize_to: Annotated[int, parameter("bits that the weights are rounded to before; 0: not at all", ge=0, le=16)] = 0,
) -> Iterator[Point]:
    rows, tuning = target.encoder.encode(_rows(target, data)), FineTuning(learning_rate, seed, batch_size, rank, full)
    if not quantize_to:
        yield from target.fine_tune(rows, steps, tuning)
        return
    with target.changed_weights(partial(rounded, bits=quantize_to)):
        yield from target.fine_tune(rows, steps, tuning, merged=True)


def paraphrased(rows: Sequence[Example]) -> list[Example]:
    """The rows that have a second wording, in it: another question, another answer, or both."""
    return [
        replace(
            reworded(row, row.paraphrased_question or row.prompt) if row.turns else row,
            answer=row.paraphrased_answer or row.answer,
        )
        for row in rows
        if row.paraphrased_question or row.paraphrased_answer
    ]


def _rows(target: Target, data: Data) -> Sequence[Example]:
    rows = {
        "forget-subset": target.data.train_forget,
        "paraphrased": paraphrased(target.data.train_forget),
        "same-data": [*target.data.train_forget, *target.data.eval_forget],
        "retain-only": target.data.train_retain,
        "unrelated": unrelated(),
        "given": target.data.user_rows,
    }[data]
    if not rows:
        needs = {
            "given": "--attack-data FILE",
            "retain-only": "a run with retain rows",
            "paraphrased": "forget rows with a paraphrased_question or paraphrased_answer",
        }.get(data, "more forget rows")
        raise UnlearnError(f"relearn: there are no rows for -p data={data}", f"it needs {needs}")
    return rows
