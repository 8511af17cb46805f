"""Adapter, rows, reference and optimiser: what stands between a loaded model and the first step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np
import torch

from unlearn_cli.data.example import Split
from unlearn_cli.data.refusals import with_refusals
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.measured import Measured
from unlearn_cli.models import adapter
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.reference import StoredReference, compute
from unlearn_cli.recipes import inputs as splits
from unlearn_cli.recipes import plan
from unlearn_cli.recipes.inputs import Input
from unlearn_cli.recipes.progress import Run
from unlearn_cli.report import fingerprint
from unlearn_cli.training.loop import Rows, Trainer
from unlearn_cli.training.optimizer import make_optimizer, rate_at
from unlearn_cli.training.pairing import Pairing

REFUSALS_PER_ROW = 4


def make_trainer(
    run: Run,
    loaded: LoadedModel,
    encoder: Encoder,
    texts: Mapping[str, Split],
    inputs: Mapping[str, Input],
    before: Mapping[str, Measured],
    before_key: str,
) -> tuple[Trainer, list[tuple[str, torch.nn.Parameter]]]:
    """Adapter, rows, reference and optimiser: everything a step needs."""
    config, objective = run.config, run.settled.objective
    alternatives: list = []
    if "alternative" in objective.groups:
        examples = with_refusals(texts["forget"].examples, seed=config.seed, count=REFUSALS_PER_ROW)
        alternatives = splits.alternatives(examples, encoder)
    rows = Rows(inputs["forget"].rows, alternatives, inputs["retain"].rows if "retain" in objective.groups else ())
    batch = config.batch_size * config.gradient_accumulation_steps
    pairing = Pairing(config.seed, len(rows.forget), len(rows.retain), batch, batch * config.retain_ratio)
    steps = config.max_steps or pairing.steps(config.epochs)
    with run.phase("reference"):
        stored = _reference(run, loaded, rows, inputs["forget"], before.get("forget"), before_key)
    adapter.attach(loaded, config, seed=config.seed)
    run.checkpointing = plan.wants_checkpointing(config, loaded, rows, objective.groups)
    if run.checkpointing:
        adapter.enable_checkpointing(loaded)
    names = adapter.trainable_parameters(loaded.model)
    trained = [tensor for _, tensor in names]
    schedule = {"peak": config.learning_rate, "shape": config.lr_scheduler_type, "warmup_ratio": config.warmup_ratio}
    trainer = Trainer(
        model=loaded.model,
        layout=loaded.layout,
        device=loaded.device,
        objective=objective,
        rows=rows,
        pairing=pairing,
        stored=stored,
        reference_weights=adapter.reference_weights,
        optimizer=make_optimizer(
            trained, config.optim, device=loaded.device, full=config.full, weight_decay=config.weight_decay
        ),
        rate=lambda step: rate_at(step, steps, **schedule),
        steps=steps,
        accumulation=config.gradient_accumulation_steps,
        max_grad_norm=config.max_grad_norm,
        parameters=trained,
    )
    return trainer, names


def _reference(
    run: Run, loaded: LoadedModel, rows: Rows, forget: Input, before: Measured | None, before_key: str
) -> StoredReference:
    """Reference log-probabilities; those of rows that were measured before are not computed again."""
    groups = run.settled.objective.stored_groups
    needed, known = {}, {}
    if "forget" in groups:
        needed |= {("forget", i): row for i, row in enumerate(rows.forget)}
        if before is not None:
            parts = np.split(before.token_logps, before.offsets[1:-1])
            known = {("forget", i): part for i, part in zip(forget.measured, parts, strict=True)}
    if "alternative" in groups:
        needed |= {(f"alternative {i}", n): row for i, some in enumerate(rows.alternatives) for n, row in enumerate(some)}
    if not needed:
        return StoredReference({})
    key = fingerprint(before_key, [(str(k), row.input_ids.tolist(), row.answer_start) for k, row in needed.items()])
    missing = len(needed) - len(known)
    with run.reporter.progress("reference", missing) if missing else nullcontext() as bar:
        return compute(
            loaded,
            needed,
            known,
            run.folder.reference,
            key,
            token_budget=run.config.token_budget,
            advance=bar.advance if bar else lambda count: None,
        )
