"""Few shots: other questions with their answers precede each question.

Lynch et al., "Eight Methods to Evaluate Robust Unlearning in LLMs" (2024). Shots from the rows to keep, or from the forget
rows that the attacker has; the same shots for every question, drawn by the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import WholeNumbers, attack, parameter
from unlearn_cli.errors import UnlearnError

Shots = Annotated[tuple[int, ...], WholeNumbers(0, 1000), parameter("numbers of shots, written 1+2+4; 0: no shot")]


@attack(along="shots", paper="2402.16835", access="queries")
def few_shot(
    target: Target,
    *,
    shots: Shots = (1, 2, 4, 8),
    source: Annotated[Literal["forget", "retain"], parameter("where they are from")] = "forget",
    seed: Annotated[int, parameter("of the draw", ge=0)] = 0,
) -> Iterator[Point]:
    pool = [e for e in (target.data.train_forget if source == "forget" else target.data.train_retain) if e.turns]
    if not pool:
        raise UnlearnError(f"few-shot: there are no {source} rows to show", "-p source=forget, or a run with retain rows")
    order = np.random.default_rng(seed).permutation(len(pool))
    with target.active():
        for count in shots:
            shown = [turn for i in order[:count] for turn in (*pool[i].turns, ("assistant", pool[i].answer))]
            rows = [replace(e, turns=(*shown, *e.turns), style="messages") for e in target.data.eval_forget]
            yield target.measure(count, rows, retain=False)
