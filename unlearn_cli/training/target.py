"""A target instead of a schedule: train until the forget rows are as unlikely as to a model that never knew them.

It has two parts. The *gate* gives each forget row's loss a weight, by the distance of the row's probability to the level.
The weight is 0 at the level and negative below it. Far below it the row's own likelihood is raised too. So no method drives
a row to zero. The *controller* reads probabilities after every step. Between two steps it decides to go on, to raise the
retain weight, to train faster or slower, to return to the best state, to settle, or to stop. Settling lets the learning rate
fall to zero while the retain term repairs the damage that forgetting did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from unlearn_cli.evaluation.never_known import REACHED

Phase = Literal["forget", "settle", "end"]

GATE_WIDTH = 4.0  # times the level: below this probability the weight falls; the level over this: there a row is far below
AIM = 0.5  # times the level: the gate's level. Rows scatter about it, and their mean probability is higher
PULL_BACK = -0.5  # weight of a row that is far below the level
UNDERSHOT = 2.0  # a mean down to this factor below the level counts as being at it
WARM_UP = 3  # steps
SETTLE_LEAST, SETTLE_MOST = 10, 60  # steps of settling
STALLED_PASSES, STALLED_STEPS = 2, 20  # after so many passes and steps without progress, training goes faster
PROGRESS = 0.95  # a mean probability above this share of the earlier one is no progress
FASTER, FASTEST = 2.0, 4.0  # factor on the learning rate, and its limit
# A probe of few rows must see more of the retain probability than has to be left. The margin is a share of the allowed loss:
# MARGIN when settling is over, CLEAR to end settling early, ROUNDING where all rows that judge are measured.
MARGIN, CLEAR, ROUNDING = 0.2, 0.5, 0.02
HARDER, HARDEST = 1.5, 8.0  # factor on the retain weight, and its limit, relative to the weight at the start
A_ROW = 0.1  # added to the miss of a state if a row is above its level, beside the logarithm of mean over level
# A run that is so many times below the level and lost retain rows returns to its best state, at a lower rate, a few times.
OVERSHOT, GENTLER, RETURNS = 4.0, 0.25, 3
DAMAGE, SLOWER = 0.5, 0.5  # if less than DAMAGE of the retain probability is left, the learning rate is times SLOWER
SLOWEST, WAIT = SLOWER**3, 5  # limit of that factor; steps between two changes of this kind, so that the first can act


def gate(logps: Tensor, level: float) -> Tensor:
    """Weights [B] of forget rows, from their mean log-probabilities [B].

    The weight is 1 at four times the level and above, and 0 at the level. Between them it is linear in the log-probability,
    so that the optimizer's momentum is small when a row reaches the level. Below the level it is negative, at least -1/2: a
    row that is too unlikely comes back, because an answer that is too unlikely shows that it was removed.
    """
    return ((logps.detach() - math.log(level)) / math.log(GATE_WIDTH)).clamp(PULL_BACK, 1.0)


def likelihood_weights(logps: Tensor, level: float) -> Tensor:
    """Weights [B] of the forget rows' mean log-likelihood, from their mean log-probabilities [B].

    The weight is 0 down to a quarter of the level and 1 at a sixteenth. A negative weight of the loss does not bring back a
    row that is so far below: a bounded loss is flat there, and a loss towards a flat distribution does not lead back.
    """
    return ((math.log(level / GATE_WIDTH) - logps.detach()) / math.log(GATE_WIDTH)).clamp(0.0, 1.0)


def rate_with_target(step: int, *, peak: float) -> float:
    """Learning rate of a step, counted from 0: a short warm-up, then the peak. The controller's factor multiplies it."""
    return peak * min(1.0, (step + 1) / WARM_UP)


@dataclass(frozen=True)
class Target:
    """The target of a run. Probabilities are those of an answer token: the geometric mean over an answer."""

    level: float  # the mean over the forget rows should come down to it
    row_level: float  # a single row above it counts as not forgotten
    keep: float  # share of the held-out retain rows' probability that must be left


@dataclass(frozen=True)
class Probe:
    """A measurement of a few rows between two steps."""

    forget: float  # mean probability of the forget rows
    worst: float  # probability of the likeliest forget row that counts: `evaluation.never_known.likeliest_row`
    retain: float | None  # share that is left of the held-out retain rows' probability; None: there are no such rows
    all_retain: bool = False  # all retain rows that judge are measured


@dataclass(frozen=True)
class Decision:
    """A change before the next step, and its reason in words."""

    reason: str
    retain_weight: float | None = None
    stop: bool = False
    back: bool = False  # return to the weights of the best state before the next step


@dataclass
class Controller:
    """Decides between two steps. It remembers plain numbers in `state`, which a checkpoint stores."""

    target: Target
    forget_rows: int
    batch: int  # forget rows of one step
    budget: int  # largest number of steps
    retain_weight: float  # at the start of the run
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def phase(self) -> Phase:
        """The current phase of training."""
        phase: Phase = self.state.get("phase", "forget")
        return phase

    def rate_factor(self, step: int) -> float:
        """The factor on the learning rate after `step` steps. It falls to zero while the run settles."""
        factor: float = self.state.get("factor", 1.0)
        if self.phase == "settle":
            since, length = self.state["settle_from"], self.state["settle_steps"]
            factor *= max(0.0, 1.0 - (step - since) / length)
        return factor

    def wants_probe(self, step: int, seen: Sequence[float], every: int) -> bool:
        """Whether a probe is due after `step` steps: every few steps, and whenever a phase could end.

        Args:
            step: number of steps so far.
            seen: probability of each forget row in the last step that used it; nan if none did.
            every: steps between two probes.
        """
        if step >= self.budget or step % every == 0:
            return True
        if self.phase == "settle":
            return step >= self._settling_ends
        return self._seen_down(seen) and step - self.state.get("looked", -every) >= min(every, 3)

    def _seen_down(self, seen: Sequence[float]) -> bool:
        """Whether the mean of `seen` is down to the level."""
        return bool(seen) and not any(map(math.isnan, seen)) and sum(seen) / len(seen) <= self.target.level * REACHED

    def decide(self, step: int, probe: Probe) -> Decision | None:
        """The change after `step` steps, by a probe; None: no change."""
        state = self.state
        state["looked"] = step
        down, retain_holds = self._is_down(probe), self._retain_holds(probe)
        self._remember(step, probe, down)
        if self.phase == "settle":
            return self._settling(step, probe, down, retain_holds)
        if down:
            length = min(max(SETTLE_LEAST, step // 2), SETTLE_MOST, max(1, self.budget - step))
            state.update(phase="settle", settle_from=step, settle_steps=length)
            return Decision(f"the forget rows are down to {probe.forget:.3g}: settling over {length} steps")
        if probe.retain is not None and probe.retain < DAMAGE and self._may_slow_down(step):
            return self._hold_harder(step, probe.retain, slower=True)
        if not self._stalled(step, probe.forget):
            return None
        if not retain_holds:
            return self._hold_harder(step, probe.retain or 0.0)
        if state.get("factor", 1.0) < FASTEST:
            state["factor"] = state.get("factor", 1.0) * FASTER
            return Decision(f"no progress from {probe.forget:.3g}: training at {FASTER:g} times the rate")
        return None

    def settling_is_over(self, step: int, probe: Probe) -> bool:
        """Whether `decide` judges the settled state by this probe. If so, more rows are measured first.

        A few retain rows are not enough for that: by chance they may have lost more than the others, or less.
        """
        return self.phase == "settle" and (step >= self._settling_ends or self._may_end(step, probe))

    def _may_end(self, step: int, probe: Probe) -> bool:
        """Whether the forget rows are down and settling is over: by its steps, or early because the retain rows hold.

        Rows that are far below the level come back while the run settles, so it does not end early.
        """
        clear = self._retain_holds(probe, CLEAR) and step >= self.state["settle_from"] + SETTLE_LEAST // 2
        clear = clear and probe.forget >= AIM * self.target.level / GATE_WIDTH
        return self._is_down(probe) and (clear or step >= self._settling_ends)

    @property
    def _settling_ends(self) -> int:
        """The last step of settling."""
        return min(self.state["settle_from"] + self.state["settle_steps"], self.budget)

    def _settling(self, step: int, probe: Probe, down: bool, retain_holds: bool) -> Decision | None:
        state = self.state
        if self._overshot(probe, retain_holds):
            return self._back(step, f"the forget rows fell to {probe.forget:.3g} and retain rows with them")
        if not self.settling_is_over(step, probe):
            return None
        if down and retain_holds:
            # The best state, because more rows were measured here than for any state before.
            state.update(is_best=True, best_step=step, phase="end")
            return Decision("settled", stop=True)
        if step >= self.budget:
            return Decision("the budget is spent", stop=True)
        state.update(phase="forget", since=step, since_value=probe.forget)
        if retain_holds:
            return Decision(f"the forget rows rose to {probe.forget:.3g}: forgetting again")
        length = min(2 * state["settle_steps"], SETTLE_MOST, max(1, self.budget - step))
        state.update(phase="settle", settle_from=step, settle_steps=length)
        return self._hold_harder(step, probe.retain or 0.0)

    def diverged(self, step: int) -> Decision:
        """The change after a step that had no finite loss or gradient and was not taken; `step`: number of steps so far."""
        if self.state.get("returns", 0) >= RETURNS:
            return Decision("the loss is not finite, as often before: training ends", stop=True, back=True)
        return self._back(step, "the loss is not finite")

    def _back(self, step: int, why: str) -> Decision:
        """Return to the best state, at a lower rate."""
        state = self.state
        state.update(phase="forget", since=step, since_value=1.0)
        state.update(factor=state.get("factor", 1.0) * GENTLER, returns=state.get("returns", 0) + 1)
        return Decision(
            f"{why}: back to the state after step {state.get('best_step', 0)}, at {GENTLER:g} times the rate", back=True
        )

    def _overshot(self, probe: Probe, retain_holds: bool) -> bool:
        """Whether the run is far below the level and lost retain rows, although an earlier state was better."""
        far_below = probe.forget * OVERSHOT < self.target.level
        return far_below and not retain_holds and not self.state["is_best"] and self.state.get("returns", 0) < RETURNS

    def _is_down(self, probe: Probe) -> bool:
        """Whether the mean of the forget rows is down to the level, and each row to the level of a single row."""
        return probe.forget <= self.target.level * REACHED and probe.worst <= self.target.row_level

    def _retain_holds(self, probe: Probe, margin: float | None = None) -> bool:
        """Whether the retain rows lost less than allowed, with a margin: a share of the allowed loss; None: the usual."""
        margin = margin or (ROUNDING if probe.all_retain else MARGIN)
        return probe.retain is None or probe.retain >= self.target.keep + margin * (1.0 - self.target.keep)

    def _may_slow_down(self, step: int) -> bool:
        """Whether the rate may be lowered: an earlier change had steps to act, and the limit is not reached."""
        waited = step - self.state.get("slowed", -WAIT) >= WAIT
        return waited and self.state.get("factor", 1.0) > SLOWEST

    def _hold_harder(self, step: int, retain: float, *, slower: bool = False) -> Decision | None:
        """Raise the retain weight. Lower the rate if that is asked for, or if the weight cannot rise: at its limit, or 0."""
        state, weight = self.state, self.state.get("weight", self.retain_weight)
        raised = min(weight * HARDER, self.retain_weight * HARDEST)
        changes = []
        if raised > weight:
            state["weight"] = raised
            changes.append("raising their weight")
        if (slower or not changes) and self._may_slow_down(step):
            state.update(factor=state.get("factor", 1.0) * SLOWER, slowed=step)
            changes.append("training at half the rate")
        if not changes:
            return None
        lost = f"{1 - retain:.1%} of the retain rows' probability is lost"
        return Decision(f"{lost}: {' and '.join(changes)}", retain_weight=raised if raised > weight else None)

    def _stalled(self, step: int, forget: float) -> bool:
        """Whether the forget rows made no progress for some passes. If so, the next check starts from this step."""
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
        """Note whether this is the best state so far: the smallest miss of both halves, then the nearest to the level."""
        excess = max(0.0, math.log(max(probe.forget, 1e-12) / self.target.level)) if not down else 0.0
        excess += A_ROW if probe.worst > self.target.row_level else 0.0
        shortfall = max(0.0, 1.0 - probe.retain / self.target.keep) if probe.retain is not None else 0.0
        below = max(0.0, math.log(self.target.level / max(probe.forget, 1e-12) / UNDERSHOT))
        missed = (excess + 10 * shortfall, below, -(probe.retain or 0.0))
        best = self.state.get("best")
        self.state["is_best"] = best is None or missed < tuple(best)
        if self.state["is_best"]:
            self.state.update(best=list(missed), best_step=step)
