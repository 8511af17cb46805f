"""Pursue the target of a run: between two steps, measure a few rows and apply the controller's decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np

from unlearn_cli.evaluation.measure import spread
from unlearn_cli.evaluation.never_known import likeliest_row
from unlearn_cli.jsonfile import read_complete_jsonl
from unlearn_cli.models import ranks
from unlearn_cli.models.score import answer_probabilities
from unlearn_cli.recipes.forgetting.interrupt import Pruned
from unlearn_cli.recipes.forgetting.prepare import PreparedRun
from unlearn_cli.recipes.forgetting.target import RunTarget
from unlearn_cli.training.checkpoint import Ended
from unlearn_cli.training.gradients import Diverged
from unlearn_cli.training.target import Controller, Probe

PROBED_ROWS = 8  # rows of each split that a probe measures
VERIFIED_ROWS = 64  # rows of each split that are measured where settling is over
PROBE_SHARE = 0.05  # the largest share of training time that probes take, by tokens
BACKWARD = 3  # a forward and a backward pass together cost as much as three forward passes

# (course, steps in all) -> whether the run ends early; course: probed steps with the smallest miss of the target so far
Prune = Callable[[Sequence[tuple[int, float]], int], bool]


class Pursuit:
    """Measures a few rows between two steps, and applies the controller's decision."""

    def __init__(self, run: PreparedRun, target: RunTarget, prune: Prune | None = None) -> None:
        self._prune = prune
        lines = read_complete_jsonl(run.resolved.folder.metrics) if prune and run.resolved.folder.metrics.is_file() else []
        self._course = [(line["step"], line["probe"]["missed"]) for line in lines if "missed" in line.get("probe", ())]
        trainer, rows = run.trainer, run.trainer.passes.rows
        self.run, self.trainer = run, trainer
        self.controller = Controller(
            target.aims, len(rows.forget), run.pairing.batch, run.steps, run.resolved.objective.retain_weight,
            trainer.state.setdefault("target", {}),
        )  # fmt: skip
        if "best" not in trainer.state:  # the run is not a resumed one
            trainer.state["best"] = trainer.weights()
        self.every_row = target.every_row
        measured = run.before["forget"].probabilities
        self.known_before = np.full(len(rows.forget), measured.mean())
        self.known_before[list(run.resolved.inputs["forget"].measured)] = measured
        retain = run.resolved.inputs.get("retain")
        self.retain_rows = len(retain.measured) if retain else 0
        probed = min(PROBED_ROWS, len(rows.forget)) + min(PROBED_ROWS, self.retain_rows)
        per_step = BACKWARD * (run.pairing.batch + (run.pairing.retain_batch if rows.retain else 0))
        self.every = max(1, math.ceil(probed / (PROBE_SHARE * per_step)))

    def after(self, step: int) -> Ended | None:
        """The reason why training ends after `step`; None: it goes on, with the controller's changes.

        Raises:
            Pruned: the run is worse than the runs that a search compares it with.
        """
        controller, trainer = self.controller, self.trainer
        seen = self._seen()
        if not controller.wants_probe(step, seen, self.every):
            trainer.adjust(rate_factor=controller.rate_factor(step))
            return None
        with self.run.resolved.clock.phase("probes"):
            probe = self._probe(seen, PROBED_ROWS)
            if controller.settling_is_over(step, probe):
                probe = self._probe(self._seen(), VERIFIED_ROWS)
        decision = controller.decide(step, probe)
        if controller.state["is_best"]:
            trainer.copy_weights_to(trainer.state["best"])
        missed = controller.state["best"][0]
        line = {"forget": probe.forget, "worst": probe.worst, "retain": probe.retain, "missed": missed}
        self.run.resolved.folder.append({"step": step, "probe": line, "decision": decision.reason if decision else None})
        if self._prune:
            self._course.append((step, missed))
            if self._prune(self._course, self.run.steps):
                raise Pruned(step)
        if decision:
            self.run.resolved.reporter.say(f"step {step}: {decision.reason}")
        weight = decision.retain_weight if decision else None
        if weight is not None:  # a method may have raised it further itself: pdu
            weight = max(weight, trainer.retain_weight)
        trainer.adjust(rate_factor=controller.rate_factor(step), retain_weight=weight)
        if decision and decision.back:
            self._go_back()
        if step < self.run.steps and not (decision and decision.stop):
            return None
        trainer.set_weights(trainer.state["best"])
        return self._ended(step, "the budget is spent" if controller.phase != "end" else "the target was reached")

    def diverged(self, error: Diverged) -> Ended | None:
        """Return to the best state after a step without a finite loss or gradient; a reason where training ends by it."""
        trainer, controller, step = self.trainer, self.controller, error.step - 1
        decision = controller.diverged(step)
        self.run.resolved.folder.append({"step": step, "decision": decision.reason})
        self.run.resolved.reporter.say(f"step {error.step}: {decision.reason}")
        trainer.optimizer.zero_grad(set_to_none=True)
        self._go_back()
        trainer.adjust(rate_factor=controller.rate_factor(step))
        if not decision.stop:
            return None
        return self._ended(step, error.message) if controller.state.get("best_step") else ("diverged", error.message)

    def _go_back(self) -> None:
        """Return to the weights of the best state."""
        self.trainer.set_weights(self.trainer.state["best"])
        self.trainer.optimizer.state.clear()  # its momentum leads to the state that was left
        self.trainer.state.get("seen", {}).clear()  # the rows' probabilities there

    def _ended(self, step: int, why: str) -> Ended:
        best = self.controller.state["best_step"]
        return "completed", f"{why} after {step} steps; the result is the state after step {best}"

    def _seen(self) -> list[float]:
        """The probability of each forget row in its latest training step; NaN for a row that no step has used."""
        seen = self.trainer.state.get("seen", {})
        return [seen.get(row, math.nan) for row in range(self.controller.forget_rows)]

    def _probe(self, seen: Sequence[float], count: int) -> Probe:
        """Measure the forget rows with the highest latest probability, and retain rows; at most `count` of each."""
        if any(map(math.isnan, seen)):
            chosen = list(spread(len(seen), count))
        else:
            chosen = sorted(range(len(seen)), key=lambda row: -seen[row])[:count]
        forget, retain = self._probabilities(chosen, count)
        latest = dict(enumerate(seen)) | dict(zip(chosen, forget, strict=True))
        if "seen" in self.trainer.state:
            self.trainer.state["seen"].update(zip(chosen, forget, strict=True))
        return Probe(
            forget=fmean(p for p in latest.values() if not math.isnan(p)),
            worst=max(forget) if self.every_row else self._likeliest(chosen, forget),
            retain=retain,
            all_retain=count >= self.retain_rows,
        )

    def _likeliest(self, chosen: Sequence[int], forget: Sequence[float]) -> float:
        """The probability of the likeliest of the measured rows that counts against the target."""
        level = self.controller.target.level
        return likeliest_row(np.asarray(forget), self.known_before[list(chosen)], level, self.controller.forget_rows)

    def _probabilities(self, chosen: Sequence[int], count: int) -> tuple[list[float], float | None]:
        """The probabilities of the chosen forget rows, and the share that is left of the probability of `count` retain rows.

        All rows are in one pass, because on a small model the start of a pass is most of its cost. The probability is that
        of the answer, whatever tokens the method trains on.
        """
        inputs, before = self.run.resolved.inputs, self.run.before.get("retain")
        rows = [inputs["forget"].rows[row] for row in chosen]
        retain = inputs.get("retain") if before is not None else None
        places = list(spread(len(retain.measured), count)) if retain else []
        rows += [retain.rows[retain.measured[place]] for place in places] if retain else []
        budget = self.run.resolved.config.token_budget
        values = ranks.on_model(lambda: answer_probabilities(self.run.loaded, rows, budget).tolist())
        share_left = float(fmean(values[len(chosen) :]) / before.probabilities[places].mean()) if before and places else None
        return values[: len(chosen)], share_left
