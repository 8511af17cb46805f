"""Mem: the harmonic mean of four measures of how little of the facts is still known.

    HM(1 - ES, 1 - EM, 1 - P(paraphrase), 1 - truth_ratio_prob)

Dorna et al., "OpenUnlearning" (2025), not scaled, as in their formula. Larger is better. A model that never saw the
rows does not reach 1. Details: the four measures.
"""

from __future__ import annotations

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._aggregate import harmonic, memory


@metric(
    paper="2506.12618",
    targets={"aggregate": "max"},
    range=(0.0, 1.0),
    group="aggregate",
    undefined="needs forget rows with a paraphrased answer and wrong ones",
    shown=False,
)
def memorization(forget: Measured) -> tuple[float, dict[str, float]]:
    parts = memory(forget)
    return harmonic(1 - value for value in parts.values()), parts
