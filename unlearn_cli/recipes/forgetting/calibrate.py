"""`--calibrate`: scale the change of the weights to the strongest unlearning that keeps a constraint (UWC)."""

from __future__ import annotations

from collections.abc import Callable

from unlearn_cli.errors import EXIT_DIVERGED, UnlearnError
from unlearn_cli.report_parts import CalibrationReport

HALVINGS = 6  # so the scale is exact to 1/64


def calibrate(expression: str, keeps: Callable[[float], bool]) -> CalibrationReport:
    """The largest scale of the change of the weights at which a constraint holds, found by halving.

    Wang et al., "Towards Effective Evaluations and Comparisons for LLM Unlearning Methods" (2024, arXiv 2406.09179) mix
    the weights before and after: (1 - s) before + s after. For an adapter, s is its scale. The search assumes that a
    larger s damages more. If that is wrong, the result still meets the constraint, but a larger s might meet it, too.

    Args:
        expression: the constraint, for the report.
        keeps: whether the constraint holds at a scale.

    Raises:
        UnlearnError: the constraint does not even hold at scale 0, where nothing is unlearned.
    """
    tried: list[tuple[float, bool]] = []

    def holds(scale: float) -> bool:
        tried.append((scale, keeps(scale)))
        return tried[-1][1]

    if holds(1.0):
        return CalibrationReport(expression=expression, scale=1.0, tried=tried)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    if low == 0.0 and not holds(0.0):
        raise UnlearnError(
            f"--calibrate '{expression}' does not hold for the untouched model either",
            "give a weaker condition",
            EXIT_DIVERGED,
        )
    return CalibrationReport(expression=expression, scale=low, tried=tried)
