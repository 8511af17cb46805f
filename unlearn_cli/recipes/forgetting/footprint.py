"""The memory that a run needs, from its settings and rows; and what follows: checkpointing, and the passes of a step."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unlearn_cli.contract import RETAIN_TERMS, ROBUST
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models import memory
from unlearn_cli.models.compose import Composition
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.generate import BATCH
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.settings import Settings
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.passes import Rows
from unlearn_cli.training.planned import Planned
from unlearn_cli.training.workbench import neutral_rows

log = logging.getLogger(__name__)

RowsByGroup = Mapping[str, Sequence[Row]]
CHARACTERS = 4  # of a token, about
AMPLY = 20  # times the rough figure; estimates came to at most twice of it
MEASURED_TOKENS = 64  # of a row, in a pass that measures: how they are divided into rows matters little


def estimate(settings: Settings, model: LoadedModel, rows: RowsByGroup, *, process: int = 0) -> memory.Estimate:
    """The memory of a run at its peak.

    Args:
        settings: method, retain term or procedure, and sizes of a step.
        model: its config, dtype and quantization count; it needs no weights.
        rows: of each split, all that training may draw.
        process: bytes that the process holds before the model is loaded.
    """
    config, procedure = settings.config, settings.procedure
    skeleton = _skeleton(settings, model)
    weights = memory.weights(skeleton, config, model.dtype, model.quantization)
    trained, copies = 4 * weights.trainable, 0.0
    if procedure is not None:
        forget_tokens = sum(len(row.input_ids) for row in rows["forget"])
        copies = procedure.holds(memory.sizes(skeleton, weights.trainable, forget_tokens), **config.parameters)
    elif config.robust != "none":
        copies = ROBUST.get(config.robust).holds(trained, **config.robust_parameters)
    try:
        planned = _planned(settings, skeleton, model)
        step = planned.step(settings.objective, _longest_pass(settings, rows))
        if procedure and procedure.distills:
            step = max(step, _distilling(settings, model, rows))
        measuring = _measuring(settings, planned, model, rows)
    except Exception as error:  # operations whose shapes follow from values, as where experts choose their tokens
        log.debug("the memory of a step is a rough figure: %s", error)
        step = measuring = _roughly(settings, weights, model, rows)
    sets = (3 if config.full else 4) + settings.has_target
    return memory.Estimate(
        process=process,
        base=weights.bytes,
        adapter=sets * trained,
        copies=int(copies),
        step=step + weights.largest,
        measuring=weights.largest + measuring + (0 if config.full else trained),
        parameters=weights.parameters,
        trainable=weights.trainable,
        room=memory.CPU_ROOM if model.device.type == "cpu" else memory.ROOM,
    )


def _roughly(settings: Settings, weights: memory.Weights, model: LoadedModel, rows: RowsByGroup) -> int:
    """A step that cannot be run without numbers: what linear layers read, residual streams, and copies of the logits."""
    longest, text = _longest_pass(settings, rows), model.config
    chosen = [*longest.forget, *(row for some in longest.alternatives for row in some), *longest.retain]
    per_token = 4 * (2 * weights.read + 8 * text.num_hidden_layers * text.hidden_size)
    scored = sum(row.answer_length for row in chosen)
    return per_token * sum(len(row.input_ids) for row in chosen) + 8 * 4 * scored * text.vocab_size


def _skeleton(settings: Settings, model: LoadedModel) -> Any:
    """A model of its own without numbers; its config is a copy, because attention and more are set there."""
    config = copy.deepcopy(causal_lm(model.model).config)
    return memory.skeleton(config, trust_remote_code=settings.config.trust_remote_code)


def _planned(settings: Settings, skeleton: Any, model: LoadedModel) -> Planned:
    """The model as the method, or the base method of a procedure, trains it."""
    config, objective = settings.config, settings.objective
    composition = Composition.of(objective.method.applied, config.parameters, model.config.num_hidden_layers)
    planned = Planned.of(
        skeleton,
        config,
        model.dtype,
        checkpointing=config.activation_checkpointing == "on",
        modules=lambda causal: objective.adapted_modules(causal, composition),
    )
    blocks = composition.blocks if composition and objective.method.applied != "logit_offset" else None
    return replace(planned, count=blocks) if blocks else planned


def _distilling(settings: Settings, model: LoadedModel, rows: RowsByGroup) -> int:
    """A pass that trains every weight towards a copy, on a whole step's rows, with the logits of all their tokens."""
    config, procedure = settings.config, settings.procedure
    assert procedure is not None
    full, again = config.model_copy(update={"full": True}), config.activation_checkpointing == "on"
    planned = Planned.of(_skeleton(settings, model), full, model.dtype, checkpointing=again)
    step = config.batch_size * config.gradient_accumulation_steps
    counts = {"forget": step, "retain": step * config.retain_ratio}
    chosen = [
        row.whole
        for name, count in counts.items()
        if name in procedure.distills
        for row in _longest(rows.get(name, ()), count)
    ]
    if "neutral" in procedure.distills:  # they are not written yet
        chosen += [row.whole for row in _blank(neutral_rows(counts["retain"]) * 2 * MEASURED_TOKENS)]
    kl = RETAIN_TERMS.get("kl")
    none = replace(settings.objective.method, needs=(), logits=frozenset(), hidden=frozenset())
    objective = Objective(none, kl, {}, kl.resolve({}), 0.0, 1.0)
    return planned.step(objective, Rows([], [], chosen))


def _measuring(settings: Settings, planned: Planned, model: LoadedModel, rows: RowsByGroup) -> int:
    """Scoring a pack of rows, or writing answers: the prompts' pass, and then a cache of keys and values in each block."""
    config, text = settings.config, model.config
    scoring = planned.scoring(_blank(config.token_budget))
    known = [row for members in rows.values() for row in members]
    count = min(BATCH, config.generate_limit or len(known), len(known))
    longest = max((len(row.prompt_ids) for row in known), default=0)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = 2 * heads * (getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)
    blocks = text.num_hidden_layers + 1  # a block's cache is copied when it grows
    cache = count * (longest + config.max_new_tokens) * width * blocks * model.dtype.itemsize
    prompts = planned.scoring(_blank(count * longest)) if count else 0
    return max(scoring, prompts, cache)


def _blank(tokens: int) -> list[Row]:
    """Rows of so many tokens in all, the second half of each an answer."""
    lengths = [min(MEASURED_TOKENS, tokens - start) for start in range(0, tokens - 1, MEASURED_TOKENS)]
    return [Row("", np.zeros(n, dtype=np.int64), max(1, n // 2), max(1, n // 2), "", ends=False) for n in lengths if n > 1]


def _longest_pass(settings: Settings, rows: RowsByGroup) -> Rows:
    """The longest rows that one pass could meet, with the tokens scored that the terms ask for."""
    config, groups, positions = settings.config, settings.objective.groups, settings.objective.positions
    batch = config.batch_size

    def chosen(split: str, group: str, count: int) -> list[Row]:
        return [row.counted(positions.get(group, "answer")) for row in _longest(rows.get(split, ()), count)]

    forget = chosen("forget", "forget", batch)
    retain = chosen("retain", "retain", batch * config.retain_ratio) if settings.objective.retain_groups else []
    alternatives = [[row] for row in chosen("forget", "alternative", batch)] if "alternative" in groups else []
    refusals = [[row] for row in chosen("retain", "retain_alternative", len(retain))] if retain else []
    parameters = settings.objective.parameters
    contexts = {
        name: [_behind(row, len(parameters[f"{name}_sentence"]) // CHARACTERS) for row in forget]
        for name in settings.objective.context_groups
    }
    return Rows(forget, alternatives, retain, refusals, contexts)


def _behind(row: Row, tokens: int) -> Row:
    """The row behind so many more tokens."""
    ids = np.concatenate([np.zeros(tokens, dtype=np.int64), row.input_ids])
    return replace(row, input_ids=ids, answer_start=row.answer_start + tokens, prompt_end=row.prompt_end + tokens)


def _longest(rows: Sequence[Row], count: int) -> list[Row]:
    return sorted(rows, key=lambda row: -len(row.input_ids))[:count]


def wants_checkpointing(settings: Settings, loaded: LoadedModel, rows: Rows) -> bool:
    """Whether activations are recomputed: by the setting, or because a pass that stores them does not fit into memory."""
    config = settings.config
    if config.activation_checkpointing != "auto":
        return config.activation_checkpointing == "on"
    # A weight that waits elsewhere is kept for the backward pass otherwise, so that all of them would come together.
    return loaded.offloaded or not _fits(settings, loaded, rows, 1 if config.auto_batch_size else config.batch_size)


def passes_of_a_step(settings: Settings, loaded: LoadedModel, rows: Rows) -> int:
    """Number of passes of a step: the setting, or the smallest number that fits by the memory estimate."""
    config = settings.config
    passes = config.gradient_accumulation_steps
    if not config.auto_batch_size:
        return passes
    step, passes = config.batch_size * passes, 1
    while passes < step and not _fits(settings, loaded, rows, -(-step // passes)):
        passes *= 2
    return min(passes, step)


def _fits(settings: Settings, loaded: LoadedModel, rows: Rows, batch_size: int) -> bool:
    """Whether a pass of so many forget rows fits into free memory, by the estimate. The base is loaded already."""
    step = settings.config.batch_size * settings.config.gradient_accumulation_steps
    sized = settings.filled("", batch_size=batch_size, gradient_accumulation_steps=-(-step // batch_size))
    free = memory.available(loaded.device, spread=len(loaded.placement) > 1)
    split_rows = {"forget": rows.forget, "retain": rows.retain}
    return _fits_amply(sized, loaded, split_rows, free) or estimate(sized, loaded, split_rows).training <= free


def _fits_amply(settings: Settings, loaded: LoadedModel, rows: RowsByGroup, free: int) -> bool:
    """Whether many times a rough figure is free. Then `estimate`, which takes a quarter of a second, is not needed."""
    if settings.procedure is not None or settings.config.robust != "none":
        return False  # they keep copies of weights
    weights = memory.weights(_skeleton(settings, loaded), settings.config, loaded.dtype, loaded.quantization)
    return AMPLY * (_roughly(settings, weights, loaded, rows) + 4 * weights.trainable) <= free
