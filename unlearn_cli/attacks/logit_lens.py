"""Logit lens: the model's own head on the residual stream after earlier blocks, where the answer may still stand.

    p_l(y_t | x, y_<t) = softmax(head(norm(h_l)))_y_t

nostalgebraist (2020); used on unlearned models by Lucki et al., "An Adversarial Perspective on Machine Unlearning for AI
Safety" (2024). A point for each depth; answers are scored, not generated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import attack
from unlearn_cli.models.depth import blocks, shallow


@attack(along="block", paper="2409.18025", access="activations")
def logit_lens(target: Target) -> Iterator[Point]:
    target.check_hidden_states("logit-lens")
    count = len(blocks(target.loaded.model))
    plan = replace(target.plan, generate=-1)
    with target.active():
        for block in range(max(1, count // 2), count):
            with shallow(target.loaded.model, block):
                yield target.measure(block, retain=False, plan=plan)
