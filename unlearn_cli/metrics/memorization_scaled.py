"""Mem with each measure divided by its value before unlearning: 0 at that value, 1 if no fact is known any more.

    HM over m of 1 - min(1, m / m_before),   m in {ES, EM, P(paraphrase), truth_ratio_prob}

Dorna et al., "OpenUnlearning" (2025), whose tables scale by the model before unlearning without giving the formula; this
one gives 0.34 for their retain-only 1B model, where they print 0.31. Larger is better.
"""

from __future__ import annotations

from collections.abc import Mapping

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._aggregate import harmonic, memory, shares


@metric(
    paper="2506.12618",
    targets={"aggregate": "max"},
    range=(0.0, 1.0),
    group="aggregate",
    undefined="needs forget rows with a paraphrased answer and wrong ones, and a model that knew them before",
    shown=False,
)
def memorization_scaled(forget: Measured, before: Mapping[str, Measured]) -> tuple[float, dict[str, float]]:
    left = shares(memory(forget), memory(before["forget"]))
    return harmonic(1 - value for value in left.values()), left
