"""The target of a run: the level to come down to, what the run looks at between two steps, and whether it was reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from unlearn_cli.data.general_ability import TEXTS
from unlearn_cli.data.tokenize import Row
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.evaluation.never_known import NeverKnown, level_of, measured_level
from unlearn_cli.expressions.parser import Condition, Missing
from unlearn_cli.measured import Measured
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.scoring.splits import training_retain
from unlearn_cli.report import Status, TargetReport
from unlearn_cli.training.checkpoint import Ended
from unlearn_cli.training.passes import answer_probabilities
from unlearn_cli.training.target import Controller, Probe, Target

if TYPE_CHECKING:
    from unlearn_cli.recipes.forgetting.prepare import PreparedRun

KEEP = 0.95  # share of the held-out retain rows' probability that must be left
OTHER_ANSWERS = 32  # forget questions that are asked with an answer of another row
PROBED_ROWS = 8  # of each split between two steps
PROBE_SHARE = 0.05  # of the training time at most, by tokens
BACKWARD = 3  # a forward and a backward pass cost as much as so many forward passes
WORST_LISTED = 5
SEARCHES = 40  # halvings of an interval, in the search for the number in an expression


@dataclass(frozen=True)
class RunTarget:
    """What a run is to reach, and where the level comes from."""

    aims: Target
    source: str
    rows: int  # that the level was taken from


def find_target(run: ResolvedRun, loaded: LoadedModel, before: Mapping[str, Measured]) -> RunTarget | None:
    """The target of a run on the model before training; None where it trains over a fixed schedule.

    The level of never having known is that of the best there is: holdout rows, wrong answers in the data, answers of other
    rows to the forget questions, the shipped paragraphs. `--until` and `--keep` take its place where they are given.
    """
    if not run.settings.has_target:
        return None
    config, forget = run.config, np.exp(before["forget"].mean_logps)
    known = measured_level(before) or _other_answers(run, loaded)
    if known is None and TEXTS in before:
        known = level_of(np.exp(before[TEXTS].mean_logps), "the shipped paragraphs, which no model was trained on")
    known = known or NeverKnown(
        0.1 * float(forget.mean()), 0.2 * float(forget.mean()), "a tenth of the probability before", 0
    )
    level, row_level, source = known.level, max(known.row_level, known.level), known.source
    if config.until and (limit := _threshold(config.until, "forget", float(forget.mean()), largest=True)):
        level, row_level, source = limit, max(2 * limit, row_level * limit / level), f"--until '{config.until}'"
    keep = KEEP
    if config.keep and "retain" in before:
        mean = float(np.exp(before["retain"].mean_logps).mean())
        keep = (_threshold(config.keep, "retain", mean, largest=False) or KEEP * mean) / mean
    if forget.mean() <= level:
        run.reporter.note(
            f"the model gives the forget rows a probability of {forget.mean():.3g}, no more than it gives to what it never "
            f"knew ({level:.3g}, by {source}): there is no level to come down to, and training runs over its fixed schedule"
        )
        return None
    run.reporter.say(
        f"target: forget probability from {forget.mean():.3g} down to {level:.3g} (by {source}), "
        f"with {keep:.0%} of the retain probability left"
    )
    return RunTarget(Target(level, row_level, keep), source, known.rows)


def _other_answers(run: ResolvedRun, loaded: LoadedModel) -> NeverKnown | None:
    """The level by answers of other rows to the forget questions; None for raw documents, and where there is no other row.

    Answers of retain rows come first: the model knows them as well, and they are not pushed down.
    """
    examples = [example for example in run.inputs["forget"].split.examples if example.turns]
    retain = training_retain(run.inputs)
    others = [e.answer for e in (retain.split.examples if retain else examples) if e.turns]
    source = f"answers of other {'retain' if retain and others else 'forget'} rows to the forget questions"
    chosen = [examples[i] for i in spread(len(examples), OTHER_ANSWERS)] if examples else []
    rows: list[Row] = []
    for number, example in enumerate(chosen):
        answers = [others[(7 * number + k) % len(others)] for k in (1, 2)] if others else []
        rows += [run.encoder.encode_answer(example, text) for text in answers if text != example.answer]
    if not rows:
        return None
    return level_of(np.array(answer_probabilities(loaded.model, loaded.layout, loaded.device, rows)), source)


def _threshold(condition: Condition, split: str, before: float, *, largest: bool) -> float | None:
    """The largest (or smallest) probability of a split for which a condition holds; None if it is about something else."""

    def holds(probability: float) -> bool:
        values = {(split, "probability", "after"): probability, (split, "probability", "before"): before}
        return condition.holds(lambda *name: values.get(name))

    try:
        low, high = 0.0, 1.0
        if holds(low) is holds(high) or holds(low) is not largest:
            return None
        for _ in range(SEARCHES):
            middle = (low + high) / 2
            low, high = (middle, high) if holds(middle) is largest else (low, middle)
        return low if largest else high
    except Missing:
        return None


class Pursuit:
    """Looks at a few rows between two steps, and does what the controller decides."""

    def __init__(self, run: PreparedRun, target: RunTarget) -> None:
        trainer, rows = run.trainer, run.trainer.passes.rows
        self.run, self.trainer = run, trainer
        retain = run.resolved.inputs.get("retain")
        self.retain_rows = [retain.rows[i] for i in spread(len(retain.rows), PROBED_ROWS)] if retain else []
        self.controller = Controller(
            target.aims, len(rows.forget), run.pairing.batch, run.steps, run.resolved.objective.retain_weight,
            trainer.state.setdefault("target", {}),
        )  # fmt: skip
        probed = min(PROBED_ROWS, len(rows.forget)) + len(self.retain_rows)
        per_step = BACKWARD * (run.pairing.batch + (run.pairing.retain_batch if rows.retain else 0))
        self.every = max(1, math.ceil(probed / (PROBE_SHARE * per_step)))

    def after(self, step: int) -> Ended | None:
        """Why no step follows step `step`; None: training goes on, with what the controller changed."""
        controller, trainer = self.controller, self.trainer
        if "retain" not in controller.state:
            controller.state["retain"] = self._probe_retain_before()
        seen = self._seen()
        if not controller.wants_probe(step, seen, self.every):
            trainer.adjust(rate_factor=controller.rate_factor(step))
            return None
        with self.run.resolved.clock.phase("probes"):
            probe = self._probe(seen)
        decision = controller.decide(step, probe)
        if controller.state["is_best"]:
            trainer.state["best"] = [p.detach().clone() for p in trainer.parameters]
        line = {"forget": probe.forget, "worst": probe.worst, "retain": probe.retain}
        self.run.resolved.folder.append({"step": step, "probe": line, "decision": decision.reason if decision else None})
        if decision:
            self.run.resolved.reporter.say(f"step {step}: {decision.reason}")
        trainer.adjust(rate_factor=controller.rate_factor(step), retain_weight=decision.retain_weight if decision else None)
        if step < self.run.steps and not (decision and decision.stop):
            return None
        self._restore_best()
        best = controller.state["best_step"]
        spent = "the budget is spent" if controller.phase != "end" else "the target was reached"
        return "completed", f"{spent} after {step} steps; the result is the state after step {best}"

    def _seen(self) -> list[float]:
        """The probability of each forget row when a step last ran it; nan for a row that none has run."""
        seen = self.trainer.state.get("seen", {})
        return [seen.get(row, math.nan) for row in range(self.controller.forget_rows)]

    def _probe(self, seen: Sequence[float]) -> Probe:
        """Measure the forget rows that are likeliest by what was seen, and a few retain rows that are held out."""
        if any(map(math.isnan, seen)):
            chosen = list(spread(len(seen), PROBED_ROWS))
        else:
            chosen = sorted(range(len(seen)), key=lambda row: -seen[row])[:PROBED_ROWS]
        forget = self._probabilities([self.trainer.passes.rows.forget[row] for row in chosen])
        now = dict(enumerate(seen)) | dict(zip(chosen, forget, strict=True))
        if "seen" in self.trainer.state:
            self.trainer.state["seen"].update(zip(chosen, forget, strict=True))
        retain = self._probabilities(self.retain_rows) if self.retain_rows else None
        before = self.controller.state["retain"]
        return Probe(
            forget=fmean(p for p in now.values() if not math.isnan(p)),
            worst=max(forget),
            retain=fmean(retain) / before if retain and before else None,
        )

    def _probe_retain_before(self) -> float | None:
        """Mean probability of the probed retain rows before training, as they were measured."""
        before, retain = self.run.before.get("retain"), self.run.resolved.inputs.get("retain")
        if before is None or retain is None or not self.retain_rows:
            return None
        by_row = dict(zip(retain.measured, np.exp(before.mean_logps), strict=True))
        places = list(spread(len(retain.rows), PROBED_ROWS))
        return fmean(float(by_row[i]) for i in places if i in by_row) if any(i in by_row for i in places) else None

    def _probabilities(self, rows: Sequence[Row]) -> list[float]:
        passes = self.trainer.passes
        with self.trainer.view():
            return answer_probabilities(passes.model, passes.layout, passes.device, rows)

    def _restore_best(self) -> None:
        best = self.trainer.state.get("best")
        if best is not None:
            for parameter, weights in zip(self.trainer.parameters, best, strict=True):
                parameter.data.copy_(weights)


def judge_target(
    target: RunTarget, moments: Mapping[str, Mapping[str, Measured]], holds: Callable[[Condition], bool],
    conditions: tuple[Condition | None, Condition | None],
) -> tuple[TargetReport, Status, str | None]:  # fmt: skip
    """Whether both halves of the target hold, by all rows that were measured.

    Args:
        target: what was to be reached.
        moments: "before" and "after" -> measurements by split.
        holds: whether a condition holds of the scores.
        conditions: of `--until` and of `--keep`, where they were given.
    """
    forget = np.exp(moments["after"]["forget"].mean_logps)
    ids = moments["after"]["forget"].ids
    above = [int(i) for i in np.argsort(-forget) if forget[i] > target.aims.row_level]
    share = None
    if "retain" in moments["after"]:
        share = float(
            np.exp(moments["after"]["retain"].mean_logps).mean() / np.exp(moments["before"]["retain"].mean_logps).mean()
        )
    until, keep = conditions
    reached = holds(until) if until else bool(forget.mean() <= target.aims.level * 1.05 and len(above) <= 0.05 * len(forget))
    kept = holds(keep) if keep else share is None or share >= target.aims.keep
    report = TargetReport(
        level=target.aims.level,
        row_level=target.aims.row_level,
        source=target.source,
        keep=target.aims.keep,
        reached=reached,
        kept=kept,
        retain_share=share,
        rows_above=len(above),
        rows=len(forget),
        worst={ids[i]: float(forget[i]) for i in np.argsort(-forget)[:WORST_LISTED]},
    )
    return report, "completed" if reached and kept else "not_reached", None if reached and kept else _missed(report, moments)


def _missed(report: TargetReport, moments: Mapping[str, Mapping[str, Measured]]) -> str:
    """Which half of the target failed, by how much, and what to try next."""
    before, after = (float(np.exp(moments[name]["forget"].mean_logps).mean()) for name in ("before", "after"))
    parts, advice = [], []
    if not report.reached:
        left = max(0.0, (after - report.level) / (before - report.level))
        parts.append(
            f"{left:.0%} of what the forget rows' probability had to lose is left ({before:.3g} -> {after:.3g}, target "
            f"{report.level:.3g}); {report.rows_above} of {report.rows} rows are above {report.row_level:.3g}, the worst is "
            f"row {next(iter(report.worst))} with {next(iter(report.worst.values())):.3g}"
        )
        advice.append("a larger --max-steps or --learning-rate")
    if not report.kept:
        parts.append(
            f"{report.retain_share or 0:.0%} of the retain rows' probability is left, {report.keep:.0%} was to stay"
        )
        advice.append("more retain rows, a larger --retain-ratio or a smaller --learning-rate")
    return f"target not reached: {'; '.join(parts)}; try {', and '.join(advice)}"
