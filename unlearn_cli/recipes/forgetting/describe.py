"""The report's parts about the model and the training."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from peft import PeftModel

from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.models.adapter import trainable_parameters
from unlearn_cli.models.compose import Composed
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.source import ModelSource, weights_sha256
from unlearn_cli.report import ModelReport, TrainingReport, Trajectory
from unlearn_cli.training.loop import Trainer
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.workbench import ProcedureTrainer


def model_report(loaded: LoadedModel, encoder: Encoder, share: float | None = None) -> ModelReport:
    """What was unlearned from, or evaluated; `share` of its weights was within LoRA's reach."""
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


def training_report(
    trainer: Trainer | ProcedureTrainer,
    objective: Objective,
    steps: Sequence[dict[str, Any]],
    trajectory: list[Trajectory],
    *,
    reference_seconds: float,
    checkpointing: bool,
    resumed_from: int | None,
    stopped_by: str | None,
) -> TrainingReport:
    """What training did, from the lines of `metrics.jsonl`."""
    seconds = sum(line["seconds"] for line in steps)
    tokens = sum(line["tokens"] for line in steps)
    computed = sum(line["computed"] for line in steps)
    return TrainingReport(
        steps=len(steps),
        steps_planned=trainer.steps,
        epochs=round(steps[-1]["epoch"], 3) if steps else 0.0,
        effective_batch=trainer.pairing.batch,
        retain_rows_per_step=trainer.pairing.retain_batch if trainer.rows.retain else 0,
        tokens=tokens,
        retain_tokens=sum(line.get("retain_tokens", 0) for line in steps),
        tokens_per_second=tokens / seconds if seconds else 0.0,
        real_token_share=tokens / computed if computed else 1.0,
        seconds_per_step=seconds / len(steps) if steps else 0.0,
        forget_loss=_ends([line["forget_loss"] for line in steps]),
        retain_loss=_ends([line["retain_loss"] for line in steps if line["retain_loss"] is not None]),
        grad_norm_max=max((line["grad_norm"] for line in steps), default=None),
        reference_seconds=round(reference_seconds, 3),
        activation_checkpointing=checkpointing,
        resumed_from_step=resumed_from,
        stopped_by=stopped_by,
        layers=list(objective.layers),
        retain_layers=list(objective.retain_layers),
        trajectory=trajectory,
    )


def _ends(losses: list[float]) -> tuple[float, float] | None:
    """Means of the first and the last tenth."""
    tenth = max(1, len(losses) // 10)
    return (fmean(losses[:tenth]), fmean(losses[-tenth:])) if losses else None
