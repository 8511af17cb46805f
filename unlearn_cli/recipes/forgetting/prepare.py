"""Adapter, rows, reference and optimiser: what stands between a loaded model and the first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from unlearn_cli.contract import ROBUST
from unlearn_cli.data.alternatives import with_refusals
from unlearn_cli.data.example import Example, Split
from unlearn_cli.data.shipped_texts import unknowable
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.measured import Measured
from unlearn_cli.models import adapter, lora_init
from unlearn_cli.models.compose import Composed, Composition
from unlearn_cli.models.depth import down_projection, linears, shallow
from unlearn_cli.models.direction import refusal_direction
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.reference import StoredReference, compute
from unlearn_cli.recipes.forgetting import dry_run
from unlearn_cli.recipes.forgetting.alternatives import alternative_examples
from unlearn_cli.recipes.forgetting.run_state import Run
from unlearn_cli.recipes.scoring import splits
from unlearn_cli.recipes.scoring.splits import Input
from unlearn_cli.report import fingerprint
from unlearn_cli.training.loop import Rows, Trainer
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.optimizer import make_optimizer, rate_at
from unlearn_cli.training.pairing import Pairing
from unlearn_cli.training.workbench import ProcedureTrainer, Workbench


def make_trainer(
    run: Run,
    loaded: LoadedModel,
    encoder: Encoder,
    texts: Mapping[str, Split],
    inputs: Mapping[str, Input],
    before: Mapping[str, Measured],
    before_key: str,
) -> tuple[Trainer | ProcedureTrainer, list[tuple[str, torch.nn.Parameter]]]:
    """Adapter, rows, reference and optimiser: everything a step needs; for a procedure its workbench."""
    config, objective = run.config, run.settled.objective
    rows = make_rows(run, loaded, encoder, texts, inputs, before_key)
    if "direction" in objective.method.needs:
        objective = run.settled.objective = replace(objective, direction=_direction(loaded, encoder, rows, objective.layers))
    batch = config.batch_size * config.gradient_accumulation_steps
    pairing = Pairing(config.seed, len(rows.forget), len(rows.retain), batch, batch * config.retain_ratio)
    steps = config.max_steps or pairing.steps(config.epochs)
    with run.phase("reference"):
        stored = _reference(run, loaded, rows, inputs["forget"], before.get("forget"), before_key)
    arrived = hasattr(loaded.model, "peft_config")
    composition = run.composition = Composition.of(
        objective.method.applied, config.parameters, loaded.config.num_hidden_layers
    )
    adapter.attach(loaded, config, seed=config.seed, modules=placed(loaded, objective, composition))
    if config.lora_init != "default" and not config.full:
        lora_init.initialise(
            loaded, config.lora_init, rows.forget, _as_many(inputs.get("retain"), len(rows.forget)), batch=batch,
            path=run.folder.reference / "lora_init.safetensors", arrived=arrived,
        )  # fmt: skip
    run.checkpointing = dry_run.wants_checkpointing(config, loaded, rows, objective.groups)
    if run.checkpointing:
        adapter.enable_checkpointing(loaded)
    names = adapter.trainable_parameters(loaded.model)
    trained = [tensor for _, tensor in names]
    schedule = partial(rate_at, shape=config.lr_scheduler_type, warmup_ratio=config.warmup_ratio)
    through = composition if objective.method.applied == "logit_offset" else None  # trained through the combined logits
    trainer = Trainer(
        model=Composed(loaded.model, through) if through else loaded.model,
        layout=replace(loaded.layout, own_head=False) if through else loaded.layout,
        device=loaded.device,
        objective=objective,
        rows=rows,
        pairing=pairing,
        stored=stored,
        reference_weights=adapter.reference_weights,
        optimizer=make_optimizer(
            trained, config.optim, device=loaded.device, full=config.full, weight_decay=config.weight_decay
        ),
        rate=lambda step: schedule(step, steps, peak=config.learning_rate),
        steps=steps,
        accumulation=config.gradient_accumulation_steps,
        max_grad_norm=config.max_grad_norm,
        parameters=trained,
        view=_view(loaded, composition) if not through else nullcontext,
        rule=partial(ROBUST.get(config.robust).function, **config.robust_parameters),
    )
    procedure = run.settled.procedure
    if procedure is None:
        return trainer, names
    bench = Workbench(loaded, trainer, config.epochs, config.learning_rate, schedule)
    total = procedure.steps(bench, **config.parameters)
    return ProcedureTrainer(bench, partial(procedure.function, **config.parameters), total), names


def _as_many(data: Input | None, count: int) -> Sequence[Row]:
    """As many rows, evenly spread."""
    return [data.rows[i] for i in spread(len(data.rows), count)] if data else []


def placed(loaded: LoadedModel, objective: Objective, composition: Composition | None) -> list[str] | None:
    """Modules that the method wants its adapter on, if not where the options say."""
    method = objective.method
    if method.trains == "down_projection":
        return [down_projection(loaded.model, objective.layers[0])]
    if method.trains == "assistant":
        return linears(loaded.model, composition.blocks)
    return None


def _view(loaded: LoadedModel, composition: Composition | None) -> Callable[[], AbstractContextManager]:
    """Under which the model is the assistant alone, where that is what is trained."""
    if composition is None or composition.blocks is None:
        return nullcontext
    return lambda: shallow(loaded.model, composition.blocks)


def make_rows(
    run: Run,
    loaded: LoadedModel,
    encoder: Encoder,
    texts: Mapping[str, Split],
    inputs: Mapping[str, Input],
    model_key: str,
) -> Rows:
    """The rows that the objective asks for; where the question counts as well, they are scored from the start."""
    objective, seed = run.settled.objective, run.config.seed
    made: dict[str, Any] = {"forget": inputs["forget"].rows, "retain": (), "alternative": (), "retain_alternative": ()}
    if objective.retain_groups or run.settled.procedure:
        made["retain"] = inputs["retain"].rows
    if "alternative" in objective.groups:
        examples = alternative_examples(run, loaded, encoder, texts, model_key)
        made["alternative"] = splits.alternatives(examples, encoder)
    if "retain_alternative" in objective.groups:
        made["retain_alternative"] = splits.alternatives(with_refusals(texts["retain"].examples, seed=seed), encoder)
    for group, positions in objective.positions.items():
        _check_prompts(positions, texts["retain" if group.startswith("retain") else "forget"])
        made[group] = [
            [r.counted(positions) for r in row] if isinstance(row, list) else row.counted(positions) for row in made[group]
        ]
    return Rows(made["forget"], made["alternative"], made["retain"], made["retain_alternative"])


def _check_prompts(positions: str, split: Split) -> None:
    documents = [example.where for example in split.examples if example.style == "text"]
    if positions == "prompt" and documents:
        raise UnlearnError(
            f"only the prompts' tokens count, and raw documents have no prompt ({documents[0]})",
            "-p positions=all --retain-parameter positions=all",
        )


def _direction(loaded: LoadedModel, encoder: Encoder, rows: Rows, layers: tuple[int, ...]) -> torch.Tensor:
    """From where forget answers begin to where the model is asked what it cannot know."""
    asked = [Example(str(n), (("user", text),), "-", "qa") for n, text in enumerate(unknowable())]
    towards = [row.prompt_ids for row in encoder.encode(asked)]
    forget = [row.prompt_ids for row in rows.forget]
    return refusal_direction(loaded, towards, forget, layers[0])


def reference_key(before_key: str, rows: Mapping[Any, Row]) -> str:
    """Fingerprint of the model before training and of the rows that its log-probabilities are stored of."""
    return fingerprint(before_key, [(str(k), row.input_ids.tolist(), row.answer_start) for k, row in rows.items()])


def _reference(
    run: Run, loaded: LoadedModel, rows: Rows, forget: Input, before: Measured | None, before_key: str
) -> StoredReference:
    """Reference log-probabilities; those of rows that were measured before are not computed again."""
    groups = run.settled.objective.stored_groups
    needed, known = {}, {}
    if "forget" in groups:
        needed |= {("forget", i): row for i, row in enumerate(rows.forget)}
        if before is not None and run.settled.objective.positions["forget"] == "answer":
            parts = np.split(before.token_logps, before.offsets[1:-1])
            known = {("forget", i): part for i, part in zip(forget.measured, parts, strict=True)}
    if "alternative" in groups:
        needed |= {(f"alternative {i}", n): row for i, some in enumerate(rows.alternatives) for n, row in enumerate(some)}
    if not needed:
        return StoredReference({})
    key = reference_key(before_key, needed)
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
