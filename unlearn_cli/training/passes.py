"""The forward passes of training: rows of one step to the Outputs of policy and reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unlearn_cli.data.batch import Batch, pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.depth import blocks, depth_index, replaced
from unlearn_cli.models.forward import HiddenStates, Layout, forward
from unlearn_cli.models.reference import Key, StoredReference, StoredStates
from unlearn_cli.outputs import Outputs
from unlearn_cli.training.objective import Objective

EpochRow = tuple[int, int]  # (pass over the forget rows, row)


@dataclass(frozen=True)
class Rows:
    """All rows that training draws from."""

    forget: Sequence[Row]
    alternatives: Sequence[Sequence[Row]]  # of each forget row; empty if the method needs none
    retain: Sequence[Row]
    retain_alternatives: Sequence[Sequence[Row]] = ()  # of each retain row; empty if the retain term needs none
    contexts: Mapping[str, Sequence[Row]] = field(default_factory=dict)  # of each forget row, by group: it behind a sentence


@dataclass(frozen=True)
class PassOutputs:
    """One forward pass with gradient over a micro-batch; Outputs by group of rows."""

    policy: dict[str, Outputs]
    reference: dict[str, Outputs]
    tokens: int
    computed: int  # tokens and padding
    retain_tokens: int  # of the tokens, those of retain rows, without what rows share


@dataclass(frozen=True)
class Passes:
    """A model, how it runs, and its rows."""

    model: Any
    layout: Layout
    device: torch.device
    objective: Objective
    rows: Rows
    stored: StoredReference
    reference_weights: Callable[[Any], AbstractContextManager]
    states: StoredStates | None = None  # reference of the objective's `state_groups`; None: run in every step

    def run(self, forget: Sequence[EpochRow], retain: Sequence[int]) -> PassOutputs:
        """Policy and reference on some forget rows and some retain rows, in one batch."""
        chosen, keys = self.choose(forget, retain)
        trained = {group: chosen[group] for group in self.objective.groups if group in chosen}
        batch = self._pack(trained)
        policy = self._forward(batch, trained)
        # The answers behind a sentence are those of the forget rows.
        policy_of = policy | {group: policy["forget"] for group in self.objective.context_groups if group in chosen}
        reference = self._live_reference(chosen)
        if self.states is not None:
            for group in self.objective.state_groups:
                if group in chosen:
                    reference[group] = self.states.outputs(keys[group], policy_of[group])
        for group in self.objective.stored_groups:
            if group in chosen:
                reference[group] = self.stored.outputs(keys[group], policy_of[group])
        lengths = batch.row_offsets.diff()
        of_retain = [slice(*rows) for group, rows in batch.groups.items() if group.startswith("retain")]
        return PassOutputs(
            policy,
            reference,
            tokens=batch.tokens,
            computed=batch.tokens if self.layout.packed else int(lengths.max()) * len(lengths),
            retain_tokens=sum(int(lengths[rows].sum()) for rows in of_retain),
        )

    def _pack(self, groups: Mapping[str, Sequence[Row]]) -> Batch:
        """Rows as one batch, with one copy of the template and of each question if the model's layout allows that."""
        return pack(groups, share=self.layout.shares_in_steps).to(self.device)

    def choose(self, forget: Sequence[EpochRow], retain: Sequence[int]) -> tuple[dict[str, list[Row]], dict[str, list[Key]]]:
        """The rows of each group that the objective needs, and the keys of their stored reference."""
        rows, groups = self.rows, self.objective.groups
        chosen = {"forget": [rows.forget[row] for _, row in forget], "retain": [rows.retain[row] for row in retain]}
        keys: dict[str, list[Key]] = {
            "forget": [("forget", row) for _, row in forget],
            "retain": [("retain", row) for row in retain],
        }
        if "alternative" in groups:
            # Each pass over the forget rows takes the next alternative of each.
            numbers = [(row, epoch % len(rows.alternatives[row])) for epoch, row in forget]
            chosen["alternative"] = [rows.alternatives[row][n] for row, n in numbers]
            keys["alternative"] = [(f"alternative {row}", n) for row, n in numbers]
        if "retain_alternative" in groups:
            chosen["retain_alternative"] = [rows.retain_alternatives[row][0] for row in retain]
        for group in self.objective.context_groups:
            chosen[group] = [rows.contexts[group][row] for _, row in forget]
            keys[group] = [(group, row) for _, row in forget]
        return {group: chosen[group] for group in (*groups, *self.objective.context_groups) if chosen.get(group)}, keys

    def _live_reference(self, chosen: Mapping[str, Sequence[Row]]) -> dict[str, Outputs]:
        """The reference of the groups that need more than stored log-probabilities."""
        stored = self.objective.state_groups if self.states else ()
        groups = {g: chosen[g] for g in self.objective.live_groups if g in chosen and g not in stored}
        if not groups:
            return {}
        with torch.no_grad(), self.reference_weights(self.model):
            return self._forward(self._pack(groups), groups)

    def _forward(self, batch: Batch, groups: Mapping[str, Sequence[Row]]) -> dict[str, Outputs]:
        objective = self.objective
        return forward(
            self.model,
            batch,
            self.layout,
            logits=objective.logit_groups & set(groups),
            states=HiddenStates({g: n for g, n in objective.hidden_layers.items() if g in groups}, objective.mlp_groups),
            head=objective.head,
        )

    def replace_hidden(self, function: Callable[[Tensor], Tensor], depth: float) -> AbstractContextManager:
        """A context in which `function` is applied to the hidden states after the block at `depth`."""
        return replaced(self.model, depth_index(depth, len(blocks(self.model))), function)
