"""The rows that a run trains on, and what is computed from them before training: a direction, the reference."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from unlearn_cli.data.alternatives import with_refusals
from unlearn_cli.data.contexts import encoded_behind
from unlearn_cli.data.example import Example, Split
from unlearn_cli.data.shipped_texts import unknowable
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import fingerprint
from unlearn_cli.measured import Measured
from unlearn_cli.models import adapter, ranks
from unlearn_cli.models.direction import refusal_direction
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.reference import Key, ReferenceFile, StoredReference, StoredStates, answer_states, compute
from unlearn_cli.recipes.forgetting.alternatives import alternative_examples
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.scoring import splits
from unlearn_cli.training.pairing import Pairing
from unlearn_cli.training.passes import Rows

# Hidden states of the reference are stored under two conditions. Each row is drawn at least DRAWS times, so that one pass
# over all rows costs less than a reference pass in every step. And they need at most STATES_BYTES.
DRAWS = 3
STATES_BYTES = 2**29


def make_rows(run: ResolvedRun, loaded: LoadedModel) -> Rows:
    """The rows that the objective needs, with the scored tokens that its terms need."""
    objective, seed, inputs = run.objective, run.config.seed, run.inputs
    retain = splits.training_retain(inputs) or inputs["forget"]  # an objective that needs retain rows has some
    rows: dict[str, Any] = {"forget": inputs["forget"].rows, "retain": (), "alternative": (), "retain_alternative": ()}
    if objective.retain_groups or run.settings.procedure:
        rows["retain"] = retain.rows
    if "alternative" in objective.groups:
        rows["alternative"] = splits.alternatives(ranks.on_model(lambda: alternative_examples(run, loaded)), run.encoder)
    if "retain_alternative" in objective.groups:
        refusals = with_refusals(retain.split.examples, seed=seed)
        rows["retain_alternative"] = splits.alternatives(refusals, run.encoder)
    for group, positions in objective.positions.items():
        _check_prompts(positions, (retain if group.startswith("retain") else inputs["forget"]).split)
        rows[group] = [
            [r.counted(positions) for r in row] if isinstance(row, list) else row.counted(positions) for row in rows[group]
        ]
    contexts = {group: _behind_sentence(run, group) for group in objective.context_groups}
    return Rows(rows["forget"], rows["alternative"], rows["retain"], rows["retain_alternative"], contexts)


def _behind_sentence(run: ResolvedRun, group: str) -> list[Row]:
    """The forget rows with the sentence of a group in front of each question."""
    forget, sentence = run.inputs["forget"], run.objective.parameters[f"{group}_sentence"]
    rows = zip(forget.rows, forget.split.examples, strict=True)
    behind = [encoded_behind(run.encoder, row, example, sentence) for row, example in rows]
    limit = getattr(run.outline.config.get_text_config(), "max_position_embeddings", None)
    longest = max(len(row.input_ids) for row in behind)
    if limit and longest > limit:
        over = longest - limit
        raise UnlearnError(
            f"the {group} sentence and the longest row are {longest} tokens, and the model takes {limit}",
            f"--max-length {run.encoder.max_length - over}, or a shorter sentence by -p {group}_sentence=...",
        )
    return behind


def _check_prompts(positions: str, split: Split) -> None:
    documents = [example.where for example in split.examples if example.style == "text"]
    if positions == "prompt" and documents:
        raise UnlearnError(
            f"positions=prompt uses the tokens of prompts, and raw documents have none ({documents[0]})",
            "-p positions=all --retain-parameter positions=all",
        )


def direction_of(run: ResolvedRun, loaded: LoadedModel, rows: Rows) -> torch.Tensor:
    """The direction in the residual stream from the ends of forget questions to the ends of unanswerable questions."""
    questions = [Example(str(n), (("user", text),), "-", "qa") for n, text in enumerate(unknowable())]
    towards = [row.prompt_ids for row in run.encoder.encode(questions)]
    forget = [row.prompt_ids for row in rows.forget]
    return refusal_direction(loaded, towards, forget, run.objective.layers[0])


def reference_key(before_key: str, rows: Mapping[Any, Row]) -> str:
    """A fingerprint of the model before training and of the rows whose log-probabilities are stored."""
    return fingerprint(before_key, [(str(k), row.input_ids.tolist(), row.answer_start) for k, row in rows.items()])


def _keyed(rows: Rows, group: str) -> dict[Key, Row]:
    """The rows of a group, by the key under which their reference is stored."""
    if group in rows.contexts:
        return {(group, i): row for i, row in enumerate(rows.contexts[group])}
    if group == "alternative":
        of_rows = enumerate(rows.alternatives)
        return {(f"alternative {i}", n): row for i, answers in of_rows for n, row in enumerate(answers)}
    return {(group, i): row for i, row in enumerate(rows.forget if group == "forget" else rows.retain)}


def stored_reference(run: ResolvedRun, loaded: LoadedModel, rows: Rows, before: Measured | None) -> StoredReference:
    """Reference log-probabilities. Those of rows that were measured already are not computed again."""
    groups = run.objective.stored_groups
    needed = {key: row for group in groups for key, row in _keyed(rows, group).items()}
    known: dict[Key, np.ndarray] = {}
    if "forget" in groups and before is not None and run.objective.positions["forget"] == "answer":
        parts = np.split(before.token_logps, before.offsets[1:-1])
        known = {("forget", i): part for i, part in zip(run.inputs["forget"].measured, parts, strict=True)}
    if not needed:
        return StoredReference({})
    key = reference_key(run.model_key, needed)
    missing = len(needed) - len(known)
    with run.reporter.progress("reference", missing) if missing else nullcontext() as bar:
        return compute(
            loaded,
            needed,
            known,
            ReferenceFile(run.folder.reference, key),
            token_budget=run.config.token_budget,
            advance=bar.advance if bar else lambda count: None,
        )


def stored_states(run: ResolvedRun, loaded: LoadedModel, rows: Rows, pairing: Pairing, steps: int) -> StoredStates | None:
    """Hidden states of the reference; None if storing them is not possible or costs too much, see `DRAWS`.

    It is not possible for a procedure, which draws its own rows, and for a composed model, which has no head of its own.
    The reference then runs in every step.
    """
    objective, settings = run.objective, run.settings
    if settings.procedure or run.composition or not objective.state_groups or not loaded.layout.own_head:
        return None
    if adapter.is_on_head(loaded):
        return None
    needed: dict[Key, Row] = {}
    for group in objective.state_groups:
        of_group = _keyed(rows, group)
        draws = steps * (pairing.retain_batch if group == "retain" else pairing.batch)
        if draws < DRAWS * len(of_group):
            return None
        needed |= of_group
    width = loaded.config.hidden_size * loaded.dtype.itemsize
    if sum(row.answer_length for row in needed.values()) * width > STATES_BYTES:
        return None
    with run.reporter.progress("reference", len(needed)) as bar:
        return answer_states(loaded, needed, token_budget=run.config.token_budget, advance=bar.advance)
