"""Pruning: a run of a search ends early if it is worse than earlier runs, and would stay worse at its present pace.

The second condition is needed: settings that forget slowly often keep the most, and are worse at every early step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

FEWEST = 4  # runs with probes, before any run is pruned

Course = Sequence[tuple[int, float]]  # (step, smallest miss of the target so far); the miss never rises


@dataclass(frozen=True)
class Pruning:
    """The courses of earlier runs. A run that reached its target early counts with its last value at later steps."""

    before: tuple[Course, ...]

    def __call__(self, course: Course, steps: int) -> bool:
        """Whether a run of `steps` steps in all should end at the last step of its course."""
        if len(self.before) < FEWEST or len(course) < 2:
            return False
        step, missed = course[-1]
        if missed <= median(_at(other, step)[1] for other in self.before):
            return False
        earlier_step, earlier_missed = _at(course[:-1], step // 2)
        pace = (earlier_missed - missed) / (step - earlier_step)
        return missed - pace * (steps - step) > median(other[-1][1] for other in self.before)


def _at(course: Course, step: int) -> tuple[int, float]:
    """The last point up to a step; the first point if all are later."""
    place = bisect_right(course, step, key=lambda point: point[0])
    return course[max(place, 1) - 1]
