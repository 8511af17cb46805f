"""How well a score tells two sets apart."""

from __future__ import annotations

import numpy as np


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """P(other > member) + P(tie) / 2 over all pairs of scores [n] and [m]: 1 if every member scores below every other."""
    ordered = np.sort(members)
    below = np.searchsorted(ordered, others, side="left") + np.searchsorted(ordered, others, side="right")
    return float(below.mean() / 2 / len(members))


def known_auc(members: np.ndarray, others: np.ndarray) -> float:
    """`auc` of the rows that have a score; NaN where one side has none. NaN among the scores would count as a large one."""
    members, others = members[~np.isnan(members)], others[~np.isnan(others)]
    return auc(members, others) if len(members) and len(others) else float("nan")


def true_positives(members: np.ndarray, others: np.ndarray, rate: float) -> float:
    """Share of members found by the threshold at which no more than `rate` of the others are taken for members."""
    allowed = int(np.floor(rate * len(others)))
    threshold = np.sort(others)[allowed]  # a member is what scores below it
    return float((members < threshold).mean())
