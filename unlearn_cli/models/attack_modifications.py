"""Changes that attacks make to a model and undo: a further adapter, changed weights, trained weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn import Parameter

from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.compose import Composed
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.load import ADAPTER, LoadedModel
from unlearn_cli.models.placement import adapting
from unlearn_cli.models.reach import excluded

FRESH = "attack"


def _inner(loaded: LoadedModel) -> Any:
    return loaded.model.model if isinstance(loaded.model, Composed) else loaded.model


def linear_names(model: Any) -> list[str]:
    """Last names of the modules that get an adapter: every linear layer but the head."""
    causal = causal_lm(model)
    head = causal.get_output_embeddings()
    names = set()
    for name, module in causal.named_modules():
        layer = getattr(module, "base_layer", module)
        linear = isinstance(layer, torch.nn.Linear) or type(layer).__name__ in ("Conv1D", "Linear4bit", "Linear8bitLt")
        parts = name.split(".")
        if linear and layer is not head and "base_layer" not in parts and not any(p.startswith("lora_") for p in parts):
            names.add(parts[-1])
    return sorted(names)


@contextmanager
def without_adapter(loaded: LoadedModel) -> Iterator[None]:
    """A context in which the model is its base, as before unlearning."""
    try:
        with loaded.model.disable_adapter():
            yield
    finally:
        loaded.model.requires_grad_(False)  # PEFT makes an adapter trainable when it is switched on again


@contextmanager
def fresh_adapter(loaded: LoadedModel, *, rank: int, seed: int, whole: bool) -> Iterator[tuple[Any, list[Parameter]]]:
    """A context with one more adapter, the only trainable one. Yields the model to train through and its trainable tensors.

    Args:
        loaded: a model, a model with an adapter, or a composition, whose base is then attacked.
        rank: of the new adapter; it is scaled by 2.
        seed: of the new adapter's random half.
        whole: the adapter that the model was loaded with stays on, frozen. If not, it is off.
    """
    inner = _inner(loaded)
    torch.manual_seed(seed)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=linear_names(inner),
        exclude_modules=excluded(causal_lm(inner), bypassed=True),
    )  # fmt: skip
    composed = isinstance(loaded.model, Composed)
    has_adapter = isinstance(inner, PeftModel)
    if has_adapter:
        with adapting(inner):
            inner.add_adapter(FRESH, config)
        inner.base_model.enable_adapter_layers()  # inside `changed_weights` they are off
        inner.base_model.set_adapter([ADAPTER, FRESH] if whole and not composed else [FRESH])
    else:
        with adapting(inner):
            inner = get_peft_model(inner, config, adapter_name=FRESH)
        loaded.replace_model(inner)
    for name, parameter in inner.named_parameters():
        parameter.requires_grad_(f".{FRESH}." in name)
    if composed:
        loaded.model.base_adapter = FRESH
    try:
        yield inner, [p for p in inner.parameters() if p.requires_grad]
    finally:
        if has_adapter:
            if composed:
                loaded.model.base_adapter = None
            inner.base_model.set_adapter([ADAPTER])
            inner.delete_adapter(FRESH)
            inner.requires_grad_(False)
        else:
            loaded.replace_model(inner.unload().requires_grad_(False))


def set_for_training(loaded: LoadedModel) -> None:
    """Let gradients reach the base of a composition through the fresh adapter, after it was measured."""
    if isinstance(loaded.model, Composed):
        inner = loaded.model.model
        inner.base_model.set_adapter([FRESH])
        for name, parameter in inner.named_parameters():
            parameter.requires_grad_(f".{FRESH}." in name)


def set_for_use(loaded: LoadedModel) -> None:
    """Undo `set_for_training`."""
    if isinstance(loaded.model, Composed):
        loaded.model.model.base_model.set_adapter([ADAPTER])


Change = Callable[[Tensor], Tensor]


def _linears(loaded: LoadedModel) -> list[tuple[str, Any]]:
    names = set(linear_names(_inner(loaded)))
    return [
        (name, module)
        for name, module in causal_lm(loaded.model).named_modules()
        if name.split(".")[-1] in names and hasattr(getattr(module, "base_layer", module), "weight")
    ]


def effective_weight(module: Any, *, whole: bool) -> Tensor:
    """The matrix that a linear layer applies: its weight plus, if `whole`, what the loaded adapter adds."""
    weight = getattr(module, "base_layer", module).weight.data
    if whole and ADAPTER in getattr(module, "lora_A", {}):
        weight = weight + module.get_delta_weight(ADAPTER).to(weight)
    return weight


def compare_weights(loaded: LoadedModel, measure: Callable[[Tensor, Tensor], float]) -> float | None:
    """Mean of `measure(with adapter, without)` over the linear layers that a run's adapter changes, weighted by size."""
    layers = [module for _, module in _linears(loaded) if ADAPTER in getattr(module, "lora_A", {})]
    if not layers or isinstance(loaded.model, Composed) or loaded.quantization or loaded.offloaded:
        return None
    sizes = [module.base_layer.weight.numel() for module in layers]
    values = [measure(effective_weight(module, whole=True), module.base_layer.weight.data) for module in layers]
    return sum(size * value for size, value in zip(sizes, values, strict=True)) / sum(sizes)


def _check_at_hand(loaded: LoadedModel) -> None:
    """Refuse attacks on weights that wait on the disk."""
    if loaded.offloaded:
        raise UnlearnError(
            "this attack reads or changes weights, and some of them wait on the CPU or the disk here",
            "leave this attack out, or --device-map auto with room for all weights on the GPUs",
        )


def distance(loaded: LoadedModel, original: Mapping[str, Tensor] | None = None) -> float:
    """|theta - theta_0| / |theta_0| over all weights, in single precision.

    Args:
        loaded: a model with the run's adapter, whose base is the original; or a whole model.
        original: the original's weights by name; None: what the adapter adds is the difference.

    Raises:
        UnlearnError: the weights do not have the shapes of the original's.
    """
    _check_at_hand(loaded)
    named = dict(causal_lm(loaded.model).named_parameters())
    if original is None:
        layers = [m for _, m in _linears(loaded) if ADAPTER in getattr(m, "lora_A", {})]
        moved = sum(float(m.get_delta_weight(ADAPTER).float().square().sum()) for m in layers)
        whole = sum(float(p.float().square().sum()) for name, p in named.items() if "lora_" not in name)
    else:
        _check_shapes(named, original)
        moved = sum(float((p.float() - original[name].to(p).float()).square().sum()) for name, p in named.items())
        whole = sum(float(tensor.float().square().sum()) for tensor in original.values())
    return (moved / max(whole, 1e-30)) ** 0.5


def _check_shapes(named: Mapping[str, Tensor], original: Mapping[str, Tensor]) -> None:
    if {name: p.shape for name, p in named.items()} != {name: p.shape for name, p in original.items()}:
        raise UnlearnError(
            "the weights do not have the names and shapes of the original's, so there is no line between the two",
            "leave this attack out",
        )


@contextmanager
def interpolated(loaded: LoadedModel, original: Mapping[str, Tensor], share: float) -> Iterator[None]:
    """A context in which every weight is (1 - share) of its own value and `share` of the original's.

    Raises:
        UnlearnError: quantized weights, or weights without the names and shapes of the original's.
    """
    _check_at_hand(loaded)
    named = dict(causal_lm(loaded.model).named_parameters())
    if loaded.quantization:
        raise UnlearnError("this attack changes weights, which are quantized here", "leave out --load-in-4bit")
    _check_shapes(named, original)
    saved = {name: parameter.data.clone() for name, parameter in named.items()}
    try:
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.lerp_(original[name].to(parameter), share)
        yield
    finally:
        for name, parameter in named.items():
            parameter.data.copy_(saved[name])


@contextmanager
def changed_weights(loaded: LoadedModel, change: Change, *, whole: bool) -> Iterator[None]:
    """A context in which every linear layer applies `change(weight)`. An adapter that is on is merged first.

    Raises:
        UnlearnError: quantized weights, weights that wait elsewhere, or a composition, which has no one matrix.
    """
    _check_at_hand(loaded)
    if loaded.quantization:
        raise UnlearnError("this attack changes weights, which are quantized here", "leave out --load-in-4bit")
    if isinstance(loaded.model, Composed):
        raise UnlearnError(
            "this attack changes one set of weights, and the run combines two models (uld, offset, whp)",
            "leave this attack out",
        )
    peft = loaded.model if isinstance(loaded.model, PeftModel) else None
    originals: list[tuple[Tensor, Tensor]] = []  # a changed weight, and its values before
    try:
        for _, module in _linears(loaded):  # one by one: all replacements at once would be the model once more
            weight = getattr(module, "base_layer", module).weight.data
            originals.append((weight, weight.clone()))
            weight.copy_(change(effective_weight(module, whole=whole)))
        if peft is None:
            yield
        else:
            with peft.disable_adapter():
                yield
    finally:
        loaded.model.requires_grad_(False)
        for weight, before in reversed(originals):
            weight.copy_(before)


@contextmanager
def every_weight(loaded: LoadedModel, *, whole: bool) -> Iterator[tuple[Any, list[Parameter]]]:
    """A context in which all weights are trainable, with a run's adapter merged into them. Afterwards they are restored."""
    # `changed_weights` restores the linear layers; the rest is restored here.
    linear = {id(getattr(module, "base_layer", module).weight) for _, module in _linears(loaded)}
    rest = {n: p for n, p in causal_lm(loaded.model).named_parameters() if "lora_" not in n and id(p) not in linear}
    originals = {name: parameter.data.clone() for name, parameter in rest.items()}
    with changed_weights(loaded, lambda weight: weight, whole=whole):
        trained = [p for name, p in causal_lm(loaded.model).named_parameters() if "lora_" not in name]
        for parameter in loaded.model.parameters():
            parameter.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
        try:
            yield loaded.model, trained
        finally:
            for name, parameter in causal_lm(loaded.model).named_parameters():
                parameter.requires_grad_(False)
                if name in originals:
                    parameter.data.copy_(originals[name])
