"""The report of a run, with its parts about the model, the training and the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peft import PeftModel

from unlearn_cli import launched
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.measured import Measured
from unlearn_cli.models import memory
from unlearn_cli.models.adapter import trainable_parameters
from unlearn_cli.models.compose import Composed
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.energy import SOURCES
from unlearn_cli.models.environment import environment
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.source import ModelSource, weights_sha256
from unlearn_cli.recipes.forgetting import earlier
from unlearn_cli.recipes.forgetting.artifact import Artifact
from unlearn_cli.recipes.forgetting.target import NotKnown, judge_target
from unlearn_cli.recipes.forgetting.train import TrainedRun
from unlearn_cli.recipes.scoring import outcome
from unlearn_cli.recipes.scoring.scores import compared, passes
from unlearn_cli.recipes.scoring.splits import RETAIN_TRAINED
from unlearn_cli.recipes.scoring.verdict import judge_run
from unlearn_cli.report import FAILED, RunReport, Scores, Status
from unlearn_cli.report_parts import EfficiencyReport, ModelReport, TargetReport, TrainingReport

RETRAINING_EPOCHS = 5  # Maini et al., "TOFU" (2024, arXiv 2401.06121), teach their models so


def run_report(run: TrainedRun, artifact: Artifact, after: Mapping[str, Measured], command_line: list[str]) -> RunReport:
    """The report of a run: settings, training, scores and status."""
    prepared, resolved = run.prepared, run.prepared.resolved
    moments = {"before": prepared.before, "after": after}
    with resolved.clock.phase("score"):
        scores = compared(moments, resolved.config)
    for words in outcome.notes(scores):
        resolved.reporter.note(words)
    status, message = run.status, run.message
    nothing_to_forget = isinstance(prepared.aim, NotKnown)
    if status not in FAILED and not nothing_to_forget:
        status, message = outcome.judge(moments, scores, status, message)
    target = None
    if prepared.judged_by and status not in ("no_effect", "diverged"):
        target, by_target, missed = _judge_target(run, moments, scores)
        if status not in FAILED:
            status, message = by_target, missed or message
    earlier_runs = earlier.chain(resolved.config, scores)
    for link in earlier_runs:
        (resolved.reporter.note if link.returned else resolved.reporter.say)(earlier.in_words(link))
    if status not in FAILED and any(link.returned for link in earlier_runs):
        status, message = "not_reached", "; ".join(earlier.in_words(link) for link in earlier_runs if link.returned)
    report = RunReport(
        command="forget",
        status=status,
        message=message,
        command_line=command_line,
        started=resolved.clock.started,
        config=resolved.config.model_dump(mode="json"),
        config_sources=dict(resolved.settings.sources),
        environment={
            **environment(artifact.model.placement),
            **({"processes": launched.count()} if launched.count() > 1 else {}),
            **({"fsdp": True} if launched.divided() else {}),
            **({"cpu_threads_from": prepared.threads.origin} if prepared.threads else {}),
        },
        model=model_report(artifact.model, resolved.encoder, prepared.reach.share if prepared.reach else None),
        data={name: data.report() for name, data in resolved.inputs.items()},
        training=training_report(run),
        target=target,
        scores=scores,
        passes=passes(moments),
        chain=earlier_runs,
        artifact=artifact.report,
        calibration=artifact.calibration,
        seconds={name: round(value, 3) for name, value in resolved.clock.seconds.items()},
        peak_memory=memory.peak(artifact.model.device),
        texts=resolved.folder.texts(),
        notes=resolved.reporter.notes,
    )
    verdict = judge_run(report, resolved.folder.path, known=not nothing_to_forget)
    return report.model_copy(update={"verdict": verdict})


def _judge_target(
    run: TrainedRun, moments: Mapping[str, Mapping[str, Measured]], scores: Scores
) -> tuple[TargetReport, Status, str | None]:
    """The report on the target, the status that follows from it, and a message if it was missed."""
    prepared = run.prepared
    assert prepared.judged_by is not None
    report, status, missed = judge_target(prepared.judged_by, prepared.resolved.config, moments, scores)
    state = prepared.trainer.state.get("target", {})
    spent = {"steps": run.history.steps, "best_step": state.get("best_step")}
    return report.model_copy(update=spent), status, missed


def model_report(loaded: LoadedModel, encoder: Encoder, share: float | None = None) -> ModelReport:
    """The report on the model that was trained or evaluated. `share` is the part of its weights that LoRA adapts."""
    source = loaded.source
    model = loaded.model.model if isinstance(loaded.model, Composed) else loaded.model
    base = ModelSource(source.location, source.revision)
    return ModelReport(
        model=source.location,
        revision=source.revision,
        adapter=source.adapter.location if source.adapter else None,
        architecture=type(causal_lm(model)).__name__,
        parameters=causal_lm(model).num_parameters()
        if not isinstance(model, PeftModel)
        else model.get_nb_trainable_parameters()[1],
        lora_share=share,
        trainable_parameters=sum(p.numel() for _, p in trainable_parameters(model)),
        dtype=str(loaded.dtype).removeprefix("torch."),
        quantization=loaded.quantization,
        layout="packed" if loaded.layout.packed else "padded",
        chat_template_sha256=encoder.template_sha256,
        weights_sha256=weights_sha256(base),
    )


def efficiency(report: RunReport, energy: float | None, device: str) -> EfficiencyReport:
    """The cost of a run, compared with training a new model on the retain rows.

    Args:
        report: the report of the run.
        energy: joules; None: not known.
        device: type of the device, such as `cuda`.
    """
    tokens = report.training.tokens if report.training else 0
    retain_tokens = sum(report.data[name].tokens for name in ("retain", RETAIN_TRAINED) if name in report.data)
    retraining = RETRAINING_EPOCHS * retain_tokens or None
    return EfficiencyReport(
        seconds=round(sum(report.seconds.values()), 3),
        energy_joules=energy,
        energy_source=SOURCES.get(device) if energy is not None else None,
        tokens=tokens,
        retraining_tokens=retraining,
        share_of_retraining=tokens / retraining if retraining else None,
    )


def training_report(run: TrainedRun) -> TrainingReport:
    """The report on training, from the lines of `metrics.jsonl`."""
    prepared, history = run.prepared, run.history
    trainer, objective = prepared.trainer, prepared.resolved.objective
    return TrainingReport(
        steps=history.steps,
        steps_planned=prepared.steps,
        epochs=round(history.epoch, 3),
        effective_batch=trainer.pairing.batch,
        retain_rows_per_step=prepared.pairing.retain_batch if trainer.passes.rows.retain else 0,
        tokens=history.tokens,
        retain_tokens=history.retain_tokens,
        tokens_per_second=history.tokens / history.seconds if history.seconds else 0.0,
        real_token_share=history.tokens / history.computed if history.computed else 1.0,
        seconds_per_step=history.seconds / history.steps if history.steps else 0.0,
        forget_loss=_ends(history.forget_losses),
        retain_loss=_ends(history.retain_losses),
        grad_norm_max=history.grad_norm_max,
        reference_seconds=round(prepared.resolved.clock.seconds.get("reference", 0.0), 3),
        activation_checkpointing=prepared.checkpointing,
        resumed_from_step=run.resumed_from,
        stopped_by=run.message if run.status == "stopped" else None,
        layers=list(objective.layers),
        retain_layers=list(objective.retain_layers),
        trajectory=history.trajectory,
    )


def _ends(losses: Sequence[float]) -> tuple[float, float] | None:
    """The means of the first and of the last tenth of the losses."""
    tenth = max(1, len(losses) // 10)
    return (fmean(losses[:tenth]), fmean(losses[-tenth:])) if losses else None
