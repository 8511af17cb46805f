"""A target instead of a schedule: train until the forget rows are as unlikely as to a model that never knew them.

Two means do the work. The *gate* weighs each forget row's loss by how far the row still is above the level: a row that has
come down is pushed no further, and one that went too far is pulled back, so that no method goes on to zero. The *controller*
looks at the rows after every step and decides between two steps: go on, hold the retain rows harder, train faster or slower,
go back to the best state, settle, stop. Settling lets the learning rate fall to zero while the retain term repairs what the
forgetting pulled along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from unlearn_cli.evaluation.never_known import REACHED

Phase = Literal["forget", "settle", "end"]

GATE_WIDTH = 4.0  # times the level: from here on a row is pushed less and less
AIM = 0.5  # of the level is where rows are pushed to: they scatter about it, and a mean of probabilities lies above
PULL_BACK = -0.5  # weight of a row that is far below the level
UNDERSHOT = 2.0  # times below the level: so far a state counts as standing at it
WARM_UP = 3  # steps
SETTLE_LEAST, SETTLE_MOST = 10, 60  # steps
STALLED_PASSES, STALLED_STEPS = 2, 20  # without progress over so many passes and steps, training goes faster
PROGRESS = 0.95  # of the mean probability that was: above it nothing has happened
FASTER, FASTEST = 2.0, 4.0
# Shares of what may be lost that a probe, which is few rows, must still see: when settling is over, and to end it early.
MARGIN, CLEAR = 0.2, 0.5
HARDER, HARDEST = 1.5, 8.0  # of the retain weight that the run began with
A_ROW = 0.1  # what a single row above its level adds to what a state misses, beside the logarithm of mean over level
# So many times below the level, with retain rows lost, a run went too far: it returns to the best state, at a lower rate.
OVERSHOT, GENTLER, RETURNS = 4.0, 0.25, 3
DAMAGE, SLOWER = 0.5, 0.5  # with less than this share of the retain probability left, training goes slower


def gate(logps: Tensor, level: float) -> Tensor:
    """Weights [B] of forget rows, from their mean log-probabilities [B]: 1 from four times the level on, 0 at the level.

    In between the weight falls with the logarithm, so that the optimizer's momentum has died down when a row arrives.
    Below the level it is negative, at least -1/2: a row that was pushed too far comes back, for that would mark it as well.
    """
    return ((logps.detach() - math.log(level)) / math.log(GATE_WIDTH)).clamp(PULL_BACK, 1.0)


def rate_with_target(step: int, *, peak: float) -> float:
    """Learning rate of step `step`, from 0: a short warm-up, then the peak; the controller's factor comes on top."""
    return peak * min(1.0, (step + 1) / WARM_UP)


@dataclass(frozen=True)
class Target:
    """The target of a run, in probabilities of an answer token (geometric mean over each answer)."""

    level: float  # the mean over the forget rows is to come down to this
    row_level: float  # a single row that is still above this counts as not forgotten
    keep: float  # share of the held-out retain rows' probability that must be left


@dataclass(frozen=True)
class Probe:
    """A measurement of a few rows between two steps."""

    forget: float  # mean probability of the forget rows
    worst: float  # of the row that is likeliest
    retain: float | None  # share that is left of the held-out retain rows' probability; None: there are none


@dataclass(frozen=True)
class Decision:
    """A change before the next step, and its reason."""

    reason: str  # for people
    retain_weight: float | None = None
    stop: bool = False
    back: bool = False  # to the weights of the best state, before the next step


@dataclass
class Controller:
    """Decides between two steps. Its memory is `state`: plain numbers, which a checkpoint stores."""

    target: Target
    forget_rows: int
    batch: int  # forget rows of one step
    budget: int  # steps
    retain_weight: float  # that the run began with
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def phase(self) -> Phase:
        """The current phase of training."""
        phase: Phase = self.state.get("phase", "forget")
        return phase

    def rate_factor(self, step: int) -> float:
        """The factor on the learning rate after `step` steps: falls to zero while the run settles."""
        factor: float = self.state.get("factor", 1.0)
        if self.phase == "settle":
            since, length = self.state["settle_from"], self.state["settle_steps"]
            factor *= max(0.0, 1.0 - (step - since) / length)
        return factor

    def wants_probe(self, step: int, seen: Sequence[float], every: int) -> bool:
        """Whether rows are measured after `step` steps: every few steps, and whenever a phase could end."""
        if step >= self.budget or step % every == 0:
            return True
        if self.phase == "settle":
            return step >= self._settling_ends
        return self._seen_down(seen) and step - self.state.get("looked", -every) >= min(every, 3)

    def _seen_down(self, seen: Sequence[float]) -> bool:
        """Whether the forget rows have come down, by what each step saw of its own rows; rows not yet seen are nan."""
        return bool(seen) and not any(map(math.isnan, seen)) and sum(seen) / len(seen) <= self.target.level * REACHED

    def decide(self, step: int, probe: Probe) -> Decision | None:
        """The change after `step` steps, given a measurement; None: no change."""
        state = self.state
        state["looked"] = step
        down, retain_holds = self._is_down(probe), self._retain_holds(probe, MARGIN)
        self._remember(step, probe, down)
        if self.phase == "settle":
            return self._settling(step, probe, down, retain_holds)
        if down:
            length = min(max(SETTLE_LEAST, step // 2), SETTLE_MOST, max(1, self.budget - step))
            state.update(phase="settle", settle_from=step, settle_steps=length)
            return Decision(f"the forget rows are down to {probe.forget:.3g}: settling over {length} steps")
        if probe.retain is not None and probe.retain < DAMAGE and state.get("factor", 1.0) > SLOWER**3:
            state["factor"] = state.get("factor", 1.0) * SLOWER
            return Decision(
                f"{1 - probe.retain:.0%} of the retain rows' probability is lost: training at half the rate",
                retain_weight=self._harder(),
            )
        if self._stalled(step, probe.forget) and state.get("factor", 1.0) < FASTEST and retain_holds:
            state["factor"] = state.get("factor", 1.0) * FASTER
            return Decision(f"no progress from {probe.forget:.3g}: training at {FASTER:g} times the rate")
        return None

    def could_stop(self, step: int, probe: Probe) -> bool:
        """Whether `decide` would end training on this probe. If so, more rows are measured first."""
        return self.phase == "settle" and self._may_end(step, probe) and self._retain_holds(probe, MARGIN)

    def _may_end(self, step: int, probe: Probe) -> bool:
        """Whether the forget rows are down and settling is over: by its steps, or as the retain rows are clearly kept."""
        clear = self._retain_holds(probe, CLEAR) and step >= self.state["settle_from"] + SETTLE_LEAST // 2
        return self._is_down(probe) and (clear or step >= self._settling_ends)

    @property
    def _settling_ends(self) -> int:
        """The last step of settling."""
        return min(self.state["settle_from"] + self.state["settle_steps"], self.budget)

    def _settling(self, step: int, probe: Probe, down: bool, retain_holds: bool) -> Decision | None:
        state = self.state
        if self._overshot(probe, retain_holds):
            state.update(phase="forget", factor=state.get("factor", 1.0) * GENTLER, returns=state.get("returns", 0) + 1)
            state.update(since=step, since_value=1.0)
            return Decision(
                f"the forget rows fell to {probe.forget:.3g} and retain rows with them: back to the state after step "
                f"{state['best_step']}, at {GENTLER:g} times the rate",
                back=True,
            )
        if not self._may_end(step, probe) and step < self._settling_ends:
            return None
        if down and retain_holds:  # seen on more rows than any state before
            state.update(is_best=True, best_step=step)
        if down and retain_holds:
            state["phase"] = "end"
            return Decision("settled", stop=True)
        if step >= self.budget:
            return Decision("the budget is spent", stop=True)
        state.update(phase="forget", since=step, since_value=probe.forget)
        if retain_holds:
            return Decision(f"the forget rows came back to {probe.forget:.3g}: forgetting again")
        length = min(2 * state["settle_steps"], SETTLE_MOST, max(1, self.budget - step))
        state.update(phase="settle", settle_from=step, settle_steps=length)
        return Decision(
            f"{1 - (probe.retain or 0):.1%} of the retain rows' probability is lost: holding them harder",
            retain_weight=self._harder(),
        )

    def _overshot(self, probe: Probe, retain_holds: bool) -> bool:
        """Whether the run went far below the level and lost retain rows by it, where a better state was seen."""
        far_below = probe.forget * OVERSHOT < self.target.level
        return far_below and not retain_holds and not self.state["is_best"] and self.state.get("returns", 0) < RETURNS

    def _is_down(self, probe: Probe) -> bool:
        """Whether the forget rows have come down to the level, each of them to that of a single row."""
        return probe.forget <= self.target.level * REACHED and probe.worst <= self.target.row_level

    def _retain_holds(self, probe: Probe, margin: float) -> bool:
        """Whether the retain rows lost less than they may, by a margin that is a share of what they may lose."""
        return probe.retain is None or probe.retain >= self.target.keep + margin * (1.0 - self.target.keep)

    def _harder(self) -> float:
        weight = min(self.state.get("weight", self.retain_weight) * HARDER, self.retain_weight * HARDEST)
        self.state["weight"] = weight
        return weight

    def _stalled(self, step: int, forget: float) -> bool:
        """Whether the forget rows have not moved for some passes; the next check starts from here."""
        state = self.state
        since, value = state.get("since", 0), state.get("since_value", 1.0)
        if forget < PROGRESS * value:
            state.update(since=step, since_value=forget)
            return False
        wait = max(STALLED_STEPS, math.ceil(STALLED_PASSES * self.forget_rows / self.batch))
        if step - since < wait:
            return False
        state.update(since=step, since_value=forget)
        return True

    def _remember(self, step: int, probe: Probe, down: bool) -> None:
        """Note whether this is the best state so far: the least missed of both halves, then the nearest to the level."""
        excess = max(0.0, math.log(max(probe.forget, 1e-12) / self.target.level)) if not down else 0.0
        excess += A_ROW if probe.worst > self.target.row_level else 0.0
        shortfall = max(0.0, 1.0 - probe.retain / self.target.keep) if probe.retain is not None else 0.0
        below = max(0.0, math.log(self.target.level / max(probe.forget, 1e-12) / UNDERSHOT))
        missed = (excess + 10 * shortfall, below, -(probe.retain or 0.0))
        best = self.state.get("best")
        self.state["is_best"] = best is None or missed < tuple(best)
        if self.state["is_best"]:
            self.state.update(best=list(missed), best_step=step)
