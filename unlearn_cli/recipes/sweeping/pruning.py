"""Pruning: a run of a search ends early if it stands worse than the runs before, and would at its present pace stay worse.

The second half matters: settings that forget slowly often keep the most, and stand badly at every early step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

FEWEST = 4  # runs with probes, before any run is pruned

Course = Sequence[tuple[int, float]]  # step, and how much of the target was missed at best until then: it only falls


@dataclass(frozen=True)
class Pruning:
    """The courses of the runs before. One that reached its target early counts on with what it came to."""

    before: tuple[Course, ...]

    def __call__(self, course: Course, steps: int) -> bool:
        """Whether a run of `steps` steps in all is to end at the last step of its course."""
        if len(self.before) < FEWEST or len(course) < 2:
            return False
        step, missed = course[-1]
        if missed <= median(_at(other, step)[1] for other in self.before):
            return False
        then, more = _at(course[:-1], step // 2)
        pace = (more - missed) / (step - then)
        return missed - pace * (steps - step) > median(other[-1][1] for other in self.before)


def _at(course: Course, step: int) -> tuple[int, float]:
    """The last point up to a step; the first one, if all are later."""
    place = bisect_right(course, step, key=lambda point: point[0])
    return course[max(place, 1) - 1]
