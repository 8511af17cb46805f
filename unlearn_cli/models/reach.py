"""Which weights LoRA adapts, and their share of the model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer, ParamWrapper

from unlearn_cli.config import LoraOptions
from unlearn_cli.models.boundary import boundary
from unlearn_cli.models.depth import causal_lm, lower_blocks
from unlearn_cli.models.placement import adapting

SHOWN = 4
# PEFT refuses these there: the kernels of these families read the weights and pass the adapter by.
_BYPASSED = ("out_proj", "conv1d")
_WITH_BYPASS = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}


@dataclass(frozen=True)
class Reach:
    """The part of the model that LoRA adapts. Only matrices of the language model count, without embeddings and head."""

    share: float  # of their weights, 0 to 1
    left: tuple[str, ...]  # ends of names of those without an adapter in any block, largest first
    experts: tuple[str, ...]  # of those, the ones that --lora-target-parameters takes
    other_senses: bool  # the model has parts for images or sound, which get no adapter

    def summary(self) -> str:
        """One line for people."""
        line = f"LoRA reaches {self.share:.0%} of the weights outside embeddings and head"
        if self.left:
            more = f" and {len(self.left) - SHOWN} more" if len(self.left) > SHOWN else ""
            line += f"; no adapter on {', '.join(self.left[:SHOWN])}{more}"
        if self.experts:
            line += f" (--lora-target-parameters {','.join(self.experts)} adapts the experts)"
        return line + ("; the parts for images or sound get none" if self.other_senses else "")

    @property
    def notable(self) -> bool:
        """Whether the user should be told."""
        return self.share < 0.9 or self.other_senses


def with_lora(model: Any, options: LoraOptions, name: str, modules: list[str] | None = None) -> PeftModel:
    """The model with a new LoRA adapter, whose B matrices are 0. Arguments as for `adapter.attach`.

    Raises:
        UnlearnError: targets that PEFT cannot give an adapter.
    """
    targets = options.lora_target_modules if modules is None else tuple(modules)
    everywhere = targets == ("all-linear",)
    flags = "--lora-target-modules" + (" and --lora-target-parameters" if options.lora_target_parameters else "")
    hint = "--lora-target-modules " + (",".join(_leaves(model)) if everywhere else "all-linear")
    if options.lora_target_parameters:
        hint = "--lora-target-parameters names tensors of no linear layer, such as experts, and takes no --lora-dropout"
    patterns = [excluded(model, bypassed=everywhere), lower_blocks(model, options.lora_from)] if modules is None else []
    with boundary(flags, hint):
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=options.lora_r,
            lora_alpha=options.lora_alpha,
            lora_dropout=options.lora_dropout,
            target_modules="all-linear" if everywhere else list(targets),
            target_parameters=list(options.lora_target_parameters) or None if modules is None else None,
            exclude_modules="|".join(filter(None, patterns)) or None,
        )
        with adapting(model):
            return get_peft_model(model, config, adapter_name=name)


def _leaves(model: Any) -> list[str]:
    """Last names of the linear layers that PEFT may adapt."""
    head = model.get_output_embeddings()
    linear = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head}
    return sorted(linear - set(_BYPASSED))


def excluded(model: Any, *, bypassed: bool) -> str | None:
    """A pattern of the module names that get no adapter: parts for images or sound, and modules that PEFT refuses."""
    patterns = [f"{re.escape(prefix)}\\..*" for prefix in _other_senses(model)]
    if bypassed and getattr(model.config, "model_type", None) in _WITH_BYPASS:
        patterns.append(f".*\\.(?:{'|'.join(_BYPASSED)})")
    return "|".join(patterns) or None


def _other_senses(causal: Any) -> list[str]:
    """Names of the modules outside the decoder, for a model that takes images or sound; empty for others."""
    if causal.config.get_text_config() is causal.config:
        return []
    decoder, head = causal.get_decoder(), causal.get_output_embeddings()
    name = next((n for n, module in causal.named_modules() if module is decoder), "")
    parent = name.rpartition(".")[0]
    beside = causal.get_submodule(parent).named_children() if name else ()
    return [f"{parent}.{n}".lstrip(".") for n, child in beside if child is not decoder and child is not head]


def reach(model: PeftModel) -> Reach:
    """The reach of the adapter on `model`, which may be on the meta device."""
    causal = causal_lm(model)
    layers = [module for module in causal.modules() if isinstance(module, LoraLayer)]
    adapted = {id(_weight(layer)) for layer in layers}
    head = causal.get_output_embeddings()
    tables = [module for module in causal.modules() if isinstance(module, torch.nn.Embedding)]
    skipped = {id(p) for module in [*tables, *([head] if head is not None else [])] for p in module.parameters()}
    senses = _other_senses(causal)
    sizes: dict[str, int] = {}
    stacked, reached, total = set(), set(), 0
    for name, weight in causal.named_parameters():
        if (
            weight.dim() < 2
            or ".lora_" in name
            or name.endswith("bias")
            or id(weight) in skipped
            or any(name.startswith(f"{p}.") for p in senses)
        ):
            continue
        size = prod(getattr(getattr(weight, "quant_state", None), "shape", weight.shape))  # 4-bit weights are packed
        total += size
        end = re.sub(r"^.*\.\d+\.", "", name.replace(".base_layer", "")).removesuffix(".weight")
        if id(weight) in adapted:
            reached.add(end)
        else:
            sizes[end] = sizes.get(end, 0) + size
            if weight.dim() == 3 and not name.endswith(".weight"):
                stacked.add(end)
    left = tuple(sorted((end for end in sizes if end not in reached), key=lambda end: -sizes[end]))
    share = 1 - sum(sizes.values()) / total if total else 0.0
    return Reach(share, left, tuple(sorted(stacked)), bool(senses))


def _weight(layer: LoraLayer) -> Any:
    return layer.get_param() if isinstance(layer, ParamWrapper) else getattr(layer.get_base_layer(), "weight", None)
