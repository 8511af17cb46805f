"""Measuring a model that is still being made: on the way, and at several scales of its adapter."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.data.general_ability import GENERAL
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.expressions.parser import Condition, Missing
from unlearn_cli.measured import Measured
from unlearn_cli.models import adapter
from unlearn_cli.models.compose import Composition, used, with_rest
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.calibrate import calibrate
from unlearn_cli.recipes.forgetting.run_state import Run
from unlearn_cli.recipes.scoring.gates import lookup_in
from unlearn_cli.recipes.scoring.measurements import measure_inputs
from unlearn_cli.recipes.scoring.scores import compared
from unlearn_cli.recipes.scoring.splits import Input
from unlearn_cli.report import Scores, Trajectory

# In the names of metrics that look at paraphrased and wrong answers, which are otherwise not measured on the way.
OTHER_ANSWERS = ("truth", "perturbed", "paraphrased", "choice", "normalized", "quality", "utility", "memorization")
REST_ROWS = 128  # of the retain rows, to see what an assistant says where it knows nothing
Moments = dict[str, dict[str, Measured]]


def at_rest(run: Run, loaded: LoadedModel, inputs: Mapping[str, Input]) -> Composition | None:
    """The composition, with what the assistant says of rows to keep if the method wants that measured."""
    if run.composition is None or run.config.parameters.get("rest") != "measured" or "retain" not in inputs:
        return run.composition
    rows = inputs["retain"].rows
    return with_rest(loaded, run.composition, [rows[i] for i in spread(len(rows), REST_ROWS)])


def _scores_now(
    run: Run, loaded: LoadedModel, inputs: Mapping[str, Input], moments: Moments, label: str, *, generate: bool = False
) -> Scores:
    """Scores of the model as it stands, beside those before; without generated answers unless they are asked for."""
    update = {"bootstrap_samples": 1} | ({} if generate else {"generate_limit": -1})
    config = run.config.model_copy(update=update)
    names = tuple(n for n in METRICS.names() if generate or not METRICS.get(n).generates)
    asked = f"{config.stop_when or ''} {config.calibrate or ''}"
    if not any(word in asked for word in OTHER_ANSWERS):
        inputs = {name: replace(data, others=()) for name, data in inputs.items()}
    if not any(f"{name}." in asked for name in GENERAL):
        inputs = {name: data for name, data in inputs.items() if name not in GENERAL}
    quiet = Reporter(quiet=True)  # one line for the scores is enough
    with used(loaded, at_rest(run, loaded, inputs)):
        loaded.model.eval()
        now = measure_inputs(loaded, inputs, "", config, None, label, quiet)
    before = {name: moments["before"][name] for name in now}
    return compared({"before": before, "after": now}, config, names)


def calibrated(run: Run, loaded: LoadedModel, inputs: Mapping[str, Input], moments: Moments, constraint: Condition) -> None:
    """Scale the adapter to the strongest unlearning that keeps the constraint."""
    generate = any(METRICS.get(metric).generates for _, metric, _ in constraint.names())

    def keeps(scale: float) -> bool:
        with adapter.scaled(loaded.model, scale):
            scores = _scores_now(run, loaded, inputs, moments, f"scale {scale:g}", generate=generate)
        try:
            held = constraint.holds(lookup_in(scores))
        except Missing as error:
            raise UnlearnError(f"--calibrate '{constraint.text}': {error}") from None
        run.reporter.say(f"scale {scale:.4g}: '{constraint.text}' {'holds' if held else 'does not hold'}")
        return held

    run.calibration = calibrate(constraint.text, keeps)
    adapter.scale_adapter(loaded.model, run.calibration.scale)


def measure_on_the_way(
    run: Run, loaded: LoadedModel, inputs: Mapping[str, Input], moments: Moments, step: int, stop_when: Condition | None
) -> str | None:
    """Measure without generating and note the scores; returns why to stop, where `--stop-when` holds."""
    with adapter.scaled(loaded.model, -run.negated) if run.negated else nullcontext():
        scores = _scores_now(run, loaded, inputs, moments, f"step {step}")
    plain = {split: {name: both.after.value for name, both in named.items()} for split, named in scores.items()}
    run.trajectory.append(Trajectory(step=step, scores=plain))
    run.folder.append({"step": step, "trajectory": run.trajectory[-1].model_dump()})
    shown = ", ".join(
        f"{split}.probability {named['probability']:.3f}" for split, named in plain.items() if "probability" in named
    )
    run.reporter.say(f"step {step}: {shown}")
    if stop_when is None:
        return None
    try:
        holds = stop_when.holds(lookup_in(scores))
    except Missing as error:
        raise UnlearnError(f"--stop-when '{stop_when.text}': {error}") from None
    return f"--stop-when '{stop_when.text}' held at step {step}" if holds else None
