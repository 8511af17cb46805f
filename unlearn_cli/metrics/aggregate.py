"""Agg: memory, privacy and utility in one number, the harmonic mean of the three.

    HM(memorization_scaled, privacy_score, utility_score)

Dorna et al., "OpenUnlearning" (2025). One number does not say which of the three is low, so read the details first.
"""

from __future__ import annotations

from collections.abc import Mapping

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._aggregate import harmonic
from unlearn_cli.metrics.memorization_scaled import memorization_scaled
from unlearn_cli.metrics.privacy_score import privacy_score
from unlearn_cli.metrics.utility_score import utility_score


@metric(
    paper="2506.12618",
    targets={"aggregate": "max"},
    range=(0.0, 1.0),
    group="aggregate",
    undefined="memorization_scaled, privacy_score or utility_score has no value",
)
def aggregate(
    forget: Measured,
    holdout: Measured,
    retain: Measured,
    real_authors: Measured,
    world_facts: Measured,
    before: Mapping[str, Measured],
    baseline: Mapping[str, Measured],
) -> tuple[float, dict[str, float]]:
    parts = {
        "memorization_scaled": memorization_scaled(forget, before)[0],
        "privacy_score": privacy_score(forget, holdout, baseline)[0],
        "utility_score": utility_score(forget, retain, real_authors, world_facts, before)[0],
    }
    return harmonic(parts.values()), parts
