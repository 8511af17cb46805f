"""Evaluation during training, and at several scales of the trained adapter."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.data.general_ability import GENERAL
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.expressions.parser import Condition
from unlearn_cli.models import adapter, ranks
from unlearn_cli.models.compose import Composition, used, with_rest
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.prepare import PreparedRun
from unlearn_cli.recipes.forgetting.pursuit import Pursuit
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.scoring.gates import holds
from unlearn_cli.recipes.scoring.measurements import measure_inputs
from unlearn_cli.recipes.scoring.outcome import without_gradient
from unlearn_cli.recipes.scoring.scores import compared
from unlearn_cli.recipes.scoring.splits import training_retain
from unlearn_cli.report import Scores
from unlearn_cli.report_parts import Trajectory
from unlearn_cli.training.checkpoint import Ended
from unlearn_cli.training.gradients import Diverged
from unlearn_cli.training.loop import PROBED, StepRecord

# Parts of the names of metrics on paraphrased and wrong answers. Without such a metric, those answers are not measured.
OTHER_ANSWERS = ("truth", "perturbed", "paraphrased", "choice", "normalized", "quality", "utility", "memorization")
REST_ROWS = 128  # retain rows on which an assistant's log-probabilities are measured


@dataclass
class History:
    """The training so far: what the report says of the lines of metrics.jsonl. Of a step two numbers are kept."""

    trajectory: list[Trajectory] = field(default_factory=list)  # measurements between steps
    first: list[dict[str, Any]] = field(default_factory=list)  # lines of the steps that measure the forget loss's gradient
    steps: int = 0
    epoch: float = 0.0  # passes over the forget rows
    seconds: float = 0.0
    tokens: int = 0
    computed: int = 0
    retain_tokens: int = 0
    grad_norm_max: float | None = None
    forget_losses: array[float] = field(default_factory=lambda: array("d"))
    retain_losses: array[float] = field(default_factory=lambda: array("d"))  # of the steps that have one

    def add(self, line: Mapping[str, Any]) -> None:
        """Count a step."""
        if line["step"] <= PROBED:
            self.first.append(dict(line))
        self.steps += 1
        self.epoch = line["epoch"]
        self.seconds += line["seconds"]
        self.tokens += line["tokens"]
        self.computed += line["computed"]
        self.retain_tokens += line.get("retain_tokens", 0)
        self.grad_norm_max = max(line["grad_norm"], self.grad_norm_max or 0.0)
        self.forget_losses.append(line["forget_loss"])
        if line["retain_loss"] is not None:
            self.retain_losses.append(line["retain_loss"])


@dataclass(frozen=True)
class Watch:
    """Called after every step: measures where due, and decides whether training ends.

    Between two steps the model may be measured, and the state of `run.trainer` may be changed.
    """

    run: PreparedRun
    history: History
    pursuit: Pursuit | None  # of the run's target; None without a target

    def after(self, record: StepRecord) -> Ended | None:
        """The reason why training ends after this step; None: it goes on."""
        run, config = self.run, self.run.resolved.config
        step, stop_when = record.step, config.stop_when
        if step == min(PROBED, run.steps) and (why := without_gradient(self.history.first)):
            return "no_effect", why
        ended: Ended | None = None
        if config.forget_loss_floor is not None and record.forget_loss < config.forget_loss_floor:
            ended = "stopped", f"forget loss {record.forget_loss:.3f} is below --forget-loss-floor"
        eval_every = config.eval_every or (run.pairing.steps(1) if stop_when else None)
        if eval_every and step % eval_every == 0 and step < run.steps:
            scores = self._measure(step)
            if stop_when and holds(stop_when, scores, "--stop-when"):
                ended = "stopped", f"--stop-when '{stop_when.text}' held at step {step}"
        if self.pursuit and ended is None:
            ended = self.pursuit.after(step)
        return ended

    def diverged(self, error: Diverged) -> Ended | None:
        """The reason why training ends after a step that is not finite; None: the step is taken again from another state."""
        return self.pursuit.diverged(error) if self.pursuit else ("diverged", error.message)

    def _measure(self, step: int) -> Scores:
        """Measure without generating; add the scores to the history and to metrics.jsonl."""
        run, negation = self.run.resolved, self.run.resolved.settings.negation
        with adapter.scaled(self.run.model.model, -negation) if negation else nullcontext():
            scores = scores_now(self.run, self.run.model, f"step {step}")
        values = {
            split: {name: both.after.value if both.after else None for name, both in metrics.items()}
            for split, metrics in scores.items()
        }
        self.history.trajectory.append(Trajectory(step=step, scores=values))
        run.folder.append({"step": step, "trajectory": self.history.trajectory[-1].model_dump()})
        probabilities = [
            f"{split}.probability {named['probability']:.3f}" for split, named in values.items() if "probability" in named
        ]
        run.reporter.say(f"step {step}: {', '.join(probabilities)}")
        return scores


def composition_in_use(run: ResolvedRun, loaded: LoadedModel) -> Composition | None:
    """The composition of a run. If the method measures `rest`, it has the assistant's log-probabilities on retain rows."""
    retain = training_retain(run.inputs)
    if run.composition is None or run.config.parameters.get("rest") != "measured" or not retain:
        return run.composition
    rows = retain.rows
    return with_rest(loaded, run.composition, [rows[i] for i in spread(len(rows), REST_ROWS)])


def scores_now(prepared: PreparedRun, loaded: LoadedModel, label: str, *, generate: bool = False) -> Scores:
    """Scores of the current model, beside those before. `generate`: with generated answers."""
    run = prepared.resolved
    update = {"bootstrap_samples": 1} | ({} if generate else {"generate_limit": -1})
    config = run.config.model_copy(update=update)
    names = tuple(n for n in METRICS.names() if generate or not METRICS.get(n).generates)
    expressions, inputs = f"{config.stop_when or ''} {config.calibrate or ''}", run.inputs
    if not any(word in expressions for word in OTHER_ANSWERS):
        inputs = {name: replace(data, others=()) for name, data in inputs.items()}
    if not any(f"{name}." in expressions for name in GENERAL):
        inputs = {name: data for name, data in inputs.items() if name not in GENERAL}
    quiet = Reporter(quiet=True)  # the caller prints one line
    with used(loaded, composition_in_use(run, loaded)):
        loaded.model.eval()
        measured = ranks.on_model(lambda: measure_inputs(loaded, inputs, config, label, quiet))
    before = {name: prepared.before[name] for name in measured}
    return compared({"before": before, "after": measured}, config, names)


def keeps_at(prepared: PreparedRun, loaded: LoadedModel, constraint: Condition, scale: float) -> bool:
    """Whether the constraint of --calibrate holds with the adapter at this scale."""
    generate = any(METRICS.get(metric).generates for _, metric, _ in constraint.names())
    with adapter.scaled(loaded.model, scale):
        scores = scores_now(prepared, loaded, f"scale {scale:g}", generate=generate)
    is_met = holds(constraint, scores, "--calibrate")
    words = "holds" if is_met else "does not hold"
    prepared.resolved.reporter.say(f"scale {scale:.4g}: '{constraint.text}' {words}")
    return is_met
