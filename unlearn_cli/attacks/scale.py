"""Scaling: less of the run's adapter, down to none of it.

    W + a B A,   a from 1 to 0

Whoever has the adapter has the original model as well. The curve shows whether forgetting is lost at once or evenly. Only
for runs whose artifact is an adapter; the other models have no adapter and do not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import WholeNumbers, attack, parameter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.adapter import scaled

Percent = Annotated[tuple[int, ...], WholeNumbers(0, 1000), parameter("percent of the adapter, written 75+50")]


@attack(along="percent")
def scale(
    target: Target,
    *,
    percent: Percent = (75, 50, 25),
) -> Iterator[Point]:
    if target.unlearned and (target.composed or not hasattr(target.loaded.model, "peft_config")):
        raise UnlearnError("scale: the run has no adapter that could be scaled", "leave this attack out")
    if not target.unlearned:
        with target.active():
            point = target.measure("whole")
        yield from (replace(point, at=share) for share in percent)
        return
    for share in percent:
        with scaled(target.loaded.model, share / 100):
            yield target.measure(share)
