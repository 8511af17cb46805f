"""Path: part of the way along the straight line back to the original, without any training.

    theta_s = (1 - s) theta + s theta_0,   theta the unlearned model, theta_0 the original
    distance = |theta - theta_0| / |theta_0|;   loss = mean negative log-likelihood of an answer token at theta_s

Linear mode connectivity: Siddiqui et al., "From Dormant to Deleted: Tamper-Resistant Unlearning Through Weight-Space
Regularization" (2025). If the answers come back after a short part of the way, fine-tuning finds them soon; a loss on
the way that is above both ends is a barrier. Whoever can walk this line has the original: the curve predicts, it brings
nothing back by itself. `docs/reference/frontier.md` has the rank correlation with measured recovery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from unlearn_cli.attacks._target import Point, Target
from unlearn_cli.contract import WholeNumbers, attack, parameter
from unlearn_cli.measured import Measured

Percent = Annotated[tuple[int, ...], WholeNumbers(0, 100), parameter("percent of the way to the original, written 25+50")]


def loss(split: Measured) -> float:
    """Mean negative log-likelihood of an answer token; every row counts alike."""
    return -float(split.mean_logps.mean())


@attack(along="percent", paper="2505.22310")
def path(target: Target, *, percent: Percent = (25, 50, 75)) -> Iterator[Point]:
    distance = target.distance_from_original()
    for share in percent:
        with target.toward_original(share / 100):
            point = target.measure(share)
        details = {"distance": distance, "loss": loss(point.forget)}
        if point.retain is not None:
            details["retain_loss"] = loss(point.retain)
        yield replace(point, details=details)
