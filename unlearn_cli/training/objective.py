"""A method and a retain term together: which rows and passes they need, and their losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from unlearn_cli.contract import CONTEXTS, Method, RetainTerm, Term
from unlearn_cli.models.compose import Composition
from unlearn_cli.models.depth import blocks, down_projection, linears
from unlearn_cli.outputs import Outputs

GROUPS = ("forget", "alternative", "retain", "retain_alternative")
FORGET_GROUP = {
    "policy": "forget",
    "reference": "forget",
    "alternative": "alternative",
    "alternative_reference": "alternative",
    **{role: role for role in CONTEXTS},
}
RETAIN_GROUP = {"policy": "retain", "reference": "retain", "alternative": "retain_alternative"}
REFERENCES = ("reference", "alternative_reference", *CONTEXTS)

ByGroup = Mapping[str, Outputs]


@dataclass(frozen=True)
class Objective:
    """A method and a retain term, with their parameters and weights."""

    method: Method
    retain_term: RetainTerm
    parameters: Mapping[str, Any]
    retain_parameters: Mapping[str, Any]
    forget_weight: float
    retain_weight: float
    layers: tuple[int, ...] = ()  # block numbers (1 is the first) whose hidden states the method sees
    retain_layers: tuple[int, ...] = ()
    direction: Tensor | None = field(default=None, compare=False)  # [H], for methods that need it

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of rows that a step must run with gradient."""
        needed = {FORGET_GROUP.get(role) for role in self.method.needs}
        needed |= {RETAIN_GROUP.get(role) for role in self.retain_term.needs}
        return tuple(group for group in GROUPS if group in needed)

    @property
    def context_groups(self) -> tuple[str, ...]:
        """The groups that only the reference runs: the forget rows, each behind a sentence."""
        return tuple(role for role in CONTEXTS if role in self.method.needs)

    @property
    def forget_groups(self) -> tuple[str, ...]:
        """The groups that the method needs."""
        return tuple(group for group in self.groups if group in FORGET_GROUP.values())

    @property
    def retain_groups(self) -> tuple[str, ...]:
        """The groups that the retain term needs."""
        return tuple(group for group in self.groups if group in RETAIN_GROUP.values())

    @property
    def positions(self) -> dict[str, str]:
        """For each group the scored tokens of its rows: "answer", "all" or "prompt"."""
        both = ((self.parameters, self.forget_groups), (self.retain_parameters, self.retain_groups))
        return {group: parameters.get("positions", "answer") for parameters, groups in both for group in groups}

    @property
    def stored_groups(self) -> tuple[str, ...]:
        """Groups whose reference log-probabilities are computed before training."""
        method = self.method
        wanted = [r for r in REFERENCES if r in method.needs and r not in method.logits | method.hidden]
        return tuple(FORGET_GROUP[r] for r in wanted)

    @property
    def live_groups(self) -> tuple[str, ...]:
        """Groups whose reference is run in every step, because a term needs more than log-probabilities of tokens."""
        method = self.method
        live = [FORGET_GROUP[r] for r in REFERENCES if r in method.logits | method.hidden]
        return (*live, *(("retain",) if "reference" in self.retain_term.needs else ()))

    @property
    def state_groups(self) -> tuple[str, ...]:
        """Live groups whose reference follows from last hidden states, because no term reads their inner states."""
        return tuple(group for group in self.live_groups if group not in self.hidden_layers)

    @property
    def logit_groups(self) -> frozenset[str]:
        """Groups whose Outputs carry logits."""
        return self._groups_of("logits")

    @property
    def hidden_layers(self) -> dict[str, tuple[int, ...]]:
        """For each group whose Outputs carry hidden states, the numbers of the blocks."""
        groups = self._groups_of("hidden")
        return {g: self.layers if g in FORGET_GROUP.values() else self.retain_layers for g in GROUPS if g in groups}

    @property
    def mlp_groups(self) -> frozenset[str]:
        """Groups whose hidden states are the outputs of MLPs, not the residual stream."""
        both = ((self.method, self.forget_groups), (self.retain_term, self.retain_groups))
        return frozenset(group for term, groups in both if term.reads == "mlp" for group in groups)

    @property
    def coupled(self) -> bool:
        """Whether a row's loss depends on the other rows of its pass, so that the number of parts changes the result."""
        averages = (self.parameters.get("average"), self.retain_parameters.get("average"))
        return self.method.coupled or self.retain_term.coupled or "tokens" in averages

    @property
    def head(self) -> bool:
        """Whether a step needs the vocabulary head; otherwise the pass stops after the deepest layer that is read."""
        terms: tuple[Term, ...] = (self.method, self.retain_term)
        return any(term.needs and (term.logps or term.logits) for term in terms)

    def adapted_modules(self, model: Any, composition: Composition | None) -> list[str] | None:
        """Names of the modules that get the adapter, if the method chooses them; None: the options decide."""
        count = len(blocks(model)) if self.method.trains != "all" else 0
        if self.method.trains == "down_projection":
            return [down_projection(model, min(self.layers[0], count))]
        if self.method.trains == "assistant":
            return linears(model, composition.blocks if composition and composition.blocks else count)
        return None

    def _groups_of(self, kind: str) -> frozenset[str]:
        of_method = {FORGET_GROUP[role] for role in getattr(self.method, kind)}
        return frozenset(of_method | {RETAIN_GROUP[role] for role in getattr(self.retain_term, kind)})

    def forget_losses(self, policy: ByGroup, reference: ByGroup, progress: float) -> Tensor:
        """Losses [B] of the forget rows; both mappings are from group to Outputs."""
        roles = self._roles(FORGET_GROUP, policy, reference, progress)
        return self.method.function(*(roles[name] for name in self.method.needs), **self.parameters)

    def retain_losses(self, policy: ByGroup, reference: ByGroup, progress: float) -> Tensor:
        """Losses [B'] of the retain rows."""
        roles = self._roles(RETAIN_GROUP, policy, reference, progress)
        return self.retain_term.function(*(roles[name] for name in self.retain_term.needs), **self.retain_parameters)

    def _roles(self, groups: Mapping[str, str], policy: ByGroup, reference: ByGroup, progress: float) -> dict[str, Any]:
        """The values that a term may need, by the names of its arguments."""
        outputs: dict[str, Any] = {
            role: (reference if role in REFERENCES else policy).get(group) for role, group in groups.items()
        }
        return {**outputs, "progress": progress, "direction": self.direction}
