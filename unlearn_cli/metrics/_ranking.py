"""How well a score tells two sets apart."""

from __future__ import annotations

import numpy as np


def auc(members: np.ndarray, nonmembers: np.ndarray) -> float:
    """P(other > member) + P(tie) / 2 over all pairs of scores [n] and [m]: 1 if every member scores below every other."""
    ordered = np.sort(members)
    below = np.searchsorted(ordered, nonmembers, side="left") + np.searchsorted(ordered, nonmembers, side="right")
    return float(below.mean() / 2 / len(members))


def known_auc(members: np.ndarray, nonmembers: np.ndarray) -> float:
    """`auc` of the rows that have a score; NaN where one side has none. NaN among the scores would count as a large one."""
    members, nonmembers = members[~np.isnan(members)], nonmembers[~np.isnan(nonmembers)]
    return auc(members, nonmembers) if len(members) and len(nonmembers) else float("nan")


def true_positives(members: np.ndarray, nonmembers: np.ndarray, rate: float) -> float:
    """Share of members found by the threshold at which no more than `rate` of the non-members are taken for members."""
    allowed = int(np.floor(rate * len(nonmembers)))
    threshold = np.sort(nonmembers)[allowed]  # a member is what scores below it
    return float((members < threshold).mean())
