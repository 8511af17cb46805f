"""Composed models: the logits of a base and of an assistant are combined.

Both use the same weights. The base is the model with its adapter off. The assistant has the adapter on, and may have only
the first blocks. So a composed model has one set of weights, two key-value caches, and one rule for scoring and generation.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast

from unlearn_cli.contract import Applied
from unlearn_cli.data.batch import pack, packs
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.depth import causal_lm, shallow
from unlearn_cli.models.forward import logit_chunks
from unlearn_cli.models.source import BROKEN

# How a model is composed -> the parameters of the method that its rule reads.
RULES: dict[Applied, tuple[str, ...]] = {
    "logit_difference": ("alpha", "filter"), "logit_offset": ("weight",), "reinforced_difference": ("alpha",),
}  # fmt: skip
COMPOSED = tuple(RULES)
# Nats by which a token outside the filter is lowered: never chosen, and still a finite log-probability.
LOWERED = 30.0
TOKENS, CHUNK = 2048, 256  # of one pass, and positions whose logits are held at once
REST = "rest.safetensors"  # beside the assistant's adapter


def kept_tokens(logps: Tensor, share: float) -> Tensor:
    """[..., V] bool: the base's likely tokens: the best `share` of the vocabulary, or those with p >= share * best p."""
    if share <= 0:
        return torch.ones_like(logps, dtype=torch.bool)
    best = logps.amax(-1, keepdim=True)
    count = max(1, int(share * logps.shape[-1]))
    last = logps.topk(count, dim=-1).values[..., -1:]
    return logps >= torch.minimum(last, best + torch.log(torch.tensor(share, dtype=logps.dtype, device=logps.device)))


def logit_difference(base: Tensor, assistant: Tensor, alpha: float, share: float, rest: Tensor | None = None) -> Tensor:
    """log p_base - alpha (log p_assistant - rest) on the base's likely tokens; the others are far below.

    Ji et al. (2024, arXiv 2406.08607). Both are normalized, so that a constant added to either's logits changes nothing.

    Args:
        base: logits [..., V].
        assistant: logits [..., V].
        alpha: factor of the assistant's part.
        share: see `kept_tokens`.
        rest: [V] log-probabilities of an assistant that knows nothing about the row; None: the same for all tokens.
    """
    base_logps = base.log_softmax(-1)
    assistant_logps = assistant.log_softmax(-1)
    combined = base_logps - alpha * (assistant_logps if rest is None else assistant_logps - rest)
    passes = kept_tokens(base_logps, share)
    floor = combined.masked_fill(~passes, torch.inf).amin(-1, keepdim=True)
    return torch.where(passes, combined, floor - LOWERED + base_logps - base_logps.amax(-1, keepdim=True))


def logit_offset(base: Tensor, new: Tensor, old: Tensor, weight: float) -> Tensor:
    """Base logits plus the change of the assistant's logits by training. Huang et al. (2024, arXiv 2404.11045)."""
    return base + weight * (new - old)


def reinforced_difference(base: Tensor, reinforced: Tensor, alpha: float) -> Tensor:
    """Base logits minus the logits' rise by reinforcement. Eldan and Russinovich (2023, arXiv 2310.02238)."""
    return base - alpha * (reinforced - base).relu()


@dataclass(frozen=True)
class Composition:
    """The rule by which base and assistant are combined."""

    applied: Applied
    parameters: Mapping[str, Any]  # of the method; those of the rule are read
    blocks: int | None  # of the assistant; None: all
    rest: Tensor | None = field(default=None, compare=False)  # [V] what it says where it knows nothing

    @classmethod
    def of(cls, applied: Applied, parameters: Mapping[str, Any], count: int) -> Composition | None:
        """The composition that a method uses on a model of `count` blocks; None for an ordinary adapter."""
        if applied not in COMPOSED:
            return None
        depth = parameters.get("depth")
        rule = {name: parameters[name] for name in ("alpha", "filter", "weight") if name in parameters}
        return cls(applied, rule, None if depth is None else max(1, min(count, round(depth * count))))

    @classmethod
    def read(cls, described: Any, rest: Tensor | None) -> Composition:
        """The composition from `described`, which a stranger may have written.

        Raises:
            UnlearnError: it is none that a run writes.
        """
        try:
            whole = cls(**described, rest=rest)
            numbers = [float(whole.parameters[name]) for name in RULES[whole.applied]]
            known = all(map(math.isfinite, numbers)) and (whole.blocks is None or whole.blocks >= 1)
        except (KeyError, OverflowError, TypeError, ValueError):
            known = False
        if not known:
            raise UnlearnError("unlearn.json does not say how base and assistant are combined", BROKEN)
        return whole

    def described(self) -> dict[str, Any]:
        """Plain values for unlearn.json, from which `read` restores it."""
        return {"applied": self.applied, "parameters": dict(self.parameters), "blocks": self.blocks}


class PairedCache(DynamicCache):
    """The base's key-value cache. It contains the caches of the trained and of the original assistant."""

    def __init__(self, config: Any) -> None:
        super().__init__(config=config)
        self.assistant, self.old = DynamicCache(config=config), DynamicCache(config=config)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows of each."""
        super().batch_select_indices(indices)
        for cache in (self.assistant, self.old):
            if cache.get_seq_length():
                cache.batch_select_indices(indices)


class Composed(torch.nn.Module, GenerationMixin):
    """A causal language model with the usual `forward` and `generate`, made of an adapter and its base."""

    def __init__(self, model: Any, composition: Composition) -> None:
        super().__init__()
        self.model = model  # a PeftModel
        self.composition = composition
        self._adapters = list(getattr(model, "active_adapters", []))  # of the assistant
        self._base_only = False
        self.base_adapter: str | None = None  # an adapter that an attacker gave the base
        self._frozen = not any(p.requires_grad for p in model.parameters())
        self._takes_positions = "position_ids" in inspect.signature(causal_lm(model).forward).parameters

    def __getattr__(self, name: str) -> Any:
        """Attributes that generation reads (config, device, dtype, ...) are those of the model inside."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model":  # before it is set
                raise
            return getattr(self.model, name)

    def get_base_model(self) -> Any:
        """The transformers model inside."""
        return causal_lm(self.model)

    def new_cache(self) -> PairedCache:
        """An empty cache for both passes."""
        return PairedCache(self.config)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """A context in which the model is the base alone."""
        self._base_only = True
        try:
            yield
        finally:
            self._base_only = False

    def assistant(self) -> AbstractContextManager:
        """A context in which the inner model is the assistant."""
        return shallow(self.model, self.composition.blocks) if self.composition.blocks else nullcontext()

    @contextmanager
    def _base(self) -> Iterator[None]:
        """A context in which the inner model is the base."""
        if self.base_adapter is None:
            with self.model.disable_adapter():
                yield
            return
        self.model.base_model.set_adapter([self.base_adapter])
        try:
            yield
        finally:
            self.model.base_model.set_adapter(self._adapters)

    def _pass(self, arguments: Mapping[str, Any], cache: Any) -> Any:
        return causal_lm(self.model)(**{**arguments, "past_key_values": cache})

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        labels: Tensor | None = None,
        **arguments: Any,
    ) -> Any:
        """Combined logits, as a transformers output.

        Raises:
            UnlearnError: labels are given; the loss belongs to the caller.
        """
        if labels is not None:
            raise UnlearnError("a composed model gives logits and no loss", "leave labels out")
        arguments = {"input_ids": input_ids, "attention_mask": attention_mask, **arguments}
        arguments.pop("return_dict", None)
        if position_ids is not None and self._takes_positions:
            arguments["position_ids"] = position_ids
        if arguments.get("use_cache") and past_key_values is None:
            past_key_values = self.new_cache()
        if past_key_values is not None and not hasattr(past_key_values, "assistant"):
            pair = self.new_cache()  # the caller brought a cache for the base alone
            past_key_values.assistant, past_key_values.old = pair.assistant, pair.old
        with torch.no_grad(), self._base():
            base = self._pass(arguments, past_key_values).logits
        if self._frozen:
            self.model.requires_grad_(False)  # PEFT makes an adapter trainable when it is switched on again
        if self._base_only:
            return CausalLMOutputWithPast(logits=base, past_key_values=past_key_values)
        with self.assistant():
            new = self._pass(arguments, getattr(past_key_values, "assistant", None)).logits
            logits = self._combined(base, new, arguments, getattr(past_key_values, "old", None))
        return CausalLMOutputWithPast(logits=logits, past_key_values=past_key_values)

    def _combined(self, base: Tensor, new: Tensor, arguments: Mapping[str, Any], cache: Any) -> Tensor:
        rule = self.composition.parameters
        base, new = base.float(), new.float()
        if self.composition.applied == "logit_difference":
            rest = self.composition.rest
            rest = None if rest is None else rest.to(new.device)
            return logit_difference(base, new, rule["alpha"], rule["filter"], rest)
        if self.composition.applied == "reinforced_difference":
            return reinforced_difference(base, new, rule["alpha"])
        with torch.no_grad(), self.model.disable_adapter():
            old = self._pass(arguments, cache).logits.float()
        if self._frozen:
            self.model.requires_grad_(False)
        return logit_offset(base, new, old, rule["weight"])

    @property
    def prepare_inputs_for_generation(self) -> Any:
        """That of the model inside, which may have arguments of its own."""
        return causal_lm(self.model).prepare_inputs_for_generation

    def _supports_logits_to_keep(self) -> bool:
        return causal_lm(self.model)._supports_logits_to_keep()

    def _prepare_cache_for_generation(
        self, generation_config: GenerationConfig, model_kwargs: dict[str, Any], *arguments: Any, **named: Any
    ) -> bool:
        if generation_config.use_cache is False or model_kwargs.get("past_key_values") is not None:
            return super()._prepare_cache_for_generation(generation_config, model_kwargs, *arguments, **named)
        model_kwargs["past_key_values"] = self.new_cache()
        return False  # which `generate` does not read

    def generate(self, *inputs: Any, **arguments: Any) -> Any:
        """As transformers' `generate`, greedy or sampled.

        Raises:
            UnlearnError: beams, lookups and caches of another kind, which the assistant's cache does not follow.
        """
        settings = arguments.get("generation_config") or self.generation_config
        for name, plain in (("num_beams", 1), ("prompt_lookup_num_tokens", None), ("cache_implementation", None)):
            given = arguments.get(name, getattr(settings, name, None))
            if given not in (None, plain):
                raise UnlearnError(
                    f"a composed model generates greedily or by sampling, not with {name}={given}", "leave it out"
                )
        if arguments.get("assistant_model") is not None:
            raise UnlearnError("a composed model generates by itself", "leave assistant_model out")
        return super().generate(*inputs, **arguments)


@torch.no_grad()
def with_rest(loaded: Any, composition: Composition, rows: Sequence[Row]) -> Composition:
    """The composition with `rest`: the assistant's mean log-probabilities [V] on rows that it should know nothing about.

    After a final norm of fixed length the head cannot give all tokens the same logit. So an assistant without knowledge
    gives a fixed pattern, nearly the same at all positions, and not a uniform distribution. If the pattern is subtracted,
    too, these rows do not change.

    Args:
        loaded: the model with the trained adapter.
        composition: how it is applied.
        rows: retain rows.
    """
    total = torch.zeros(loaded.config.vocab_size, dtype=torch.float64)
    count = 0
    with shallow(loaded.model, composition.blocks) if composition.blocks else nullcontext():
        loaded.model.eval()
        for members in packs([len(row.input_ids) for row in rows], TOKENS):
            batch = pack({"rows": [rows[i] for i in members]}).to(loaded.device)
            for logits in logit_chunks(loaded.model, batch, loaded.layout, CHUNK):
                total += logits.log_softmax(-1).sum(0).cpu().double()  # not every device has float64
                count += len(logits)
    return replace(composition, rest=(total / count).float())


def compose(loaded: Any, composition: Composition) -> None:
    """Replace a model with an adapter by the composed model, in place."""
    loaded.replace_model(Composed(loaded.model, composition).eval(), replace(loaded.layout, own_head=False))


@contextmanager
def used(loaded: Any, composition: Composition | None) -> Iterator[None]:
    """A context in which a model in training is composed, as it will be after training."""
    model, layout = loaded.model, loaded.layout
    if composition is not None:
        compose(loaded, composition)
    try:
        yield
    finally:
        loaded.replace_model(model, layout)
