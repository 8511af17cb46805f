"""LoRA: attach, inspect, save and read back. The artifact loads with plain PEFT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open

from unlearn_cli.atomic import writing
from unlearn_cli.config import LoraOptions
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.load import ADAPTER, REFERENCE_ADAPTER, LoadedModel
from unlearn_cli.models.placement import adapting
from unlearn_cli.models.reach import with_lora
from unlearn_cli.registry import unknown

WEIGHTS = "adapter_model.safetensors"
TIED = ("lm_head", "embed_tokens", "wte", "embed_in", "embed_out", "shared")


def check(loaded: LoadedModel, options: LoraOptions, *, arrived: bool, targets: bool = True) -> None:
    """Refuse settings with which this model cannot be trained.

    Args:
        loaded: the model.
        options: `full` and the targets.
        arrived: the model was loaded with an adapter, which will be trained.
        targets: the adapter goes on `lora_target_modules`. False: the method names the modules.

    Raises:
        UnlearnError: targets that do not exist or are tied to the embeddings; --full on a quantized model or an adapter;
            --lora-from where no new adapter goes on modules.
    """
    check_full(options, loaded.dtype, loaded.quantization, arrived=arrived)
    named = options.lora_target_modules
    others = {
        "--full trains every weight": options.full,
        "the model was loaded with an adapter, which is trained": arrived,
        "the method says which modules are trained": not targets,
        "--lora-target-parameters are in every block": options.lora_target_parameters,
    }
    if options.lora_from and any(others.values()):
        reason = next(text for text, holds in others.items() if holds)
        raise UnlearnError(f"--lora-from says which blocks get a new adapter, but {reason}", "leave --lora-from out")
    if options.full or arrived or not targets:
        return
    parameters = [name for name, _ in loaded.model.named_parameters()]
    for target in options.lora_target_parameters:
        if not any(name == target or name.endswith(f".{target}") for name in parameters):
            raise unknown("parameter in --lora-target-parameters:", target, {name.rpartition(".")[2] for name in parameters})
    if named == ("all-linear",):
        return
    # As PEFT reads them: a module's own name, or the end of its path.
    matrices = [name for name, module in loaded.model.named_modules() if _has_matrix(module)]
    for target in named:
        if not any(name == target or name.endswith(f".{target}") for name in matrices):
            known = {name.rpartition(".")[2] for name in matrices} - set(TIED)
            raise unknown("module in --lora-target-modules:", target, {"all-linear", *known})
    forced = [name for name in named if name.split(".")[-1] in TIED]
    if forced and getattr(loaded.config, "tie_word_embeddings", False):
        raise UnlearnError(
            f"--lora-target-modules {','.join(forced)}: this model ties its embeddings, and merging would corrupt it",
            "leave the embeddings and the head out",
        )


def check_full(options: LoraOptions, dtype: torch.dtype, quantization: str | None, *, arrived: bool) -> None:
    """Refuse --full if the weights cannot be trained.

    Raises:
        UnlearnError: a quantized model, one with an adapter, or weights that are not float32.
    """
    if options.full and (quantization or arrived):
        raise UnlearnError(
            "--full trains every weight, which a quantized model or an adapter does not allow", "leave --full out"
        )
    if options.full and dtype != torch.float32:
        name = str(dtype).removeprefix("torch.")
        raise UnlearnError(
            f"--full adds steps to {name} weights that {name} rounds away",
            "--dtype float32 trains all of them; or leave --full out",
        )


def _has_matrix(module: Any) -> bool:
    weight = module._parameters.get("weight")
    return weight is not None and weight.dim() > 1


def attach(
    loaded: LoadedModel,
    options: LoraOptions,
    *,
    seed: int,
    modules: list[str] | None = None,
) -> None:
    """Give the model a trainable LoRA adapter, or all its weights with `options.full`.

    Args:
        loaded: its model is replaced by one with an adapter.
        options: rank, scale, targets.
        seed: of the adapter's random half.
        modules: names of the modules that get an adapter, instead of the targets in `options`.

    A model that was loaded with an adapter keeps it: this adapter is trained, and a frozen copy of it is the reference.

    Raises:
        UnlearnError: targets that PEFT cannot give an adapter.
    """
    if options.full:
        loaded.model.requires_grad_(True)
        return
    if isinstance(loaded.model, PeftModel):
        return
    torch.manual_seed(seed)  # lora_A is drawn at random
    loaded.replace_model(with_lora(loaded.model, options, ADAPTER, modules))


def detach(loaded: LoadedModel, *, merge: bool) -> None:
    """Remove the adapter, with `merge` after adding it to the weights. The remaining weights are frozen."""
    model = loaded.model.merge_and_unload() if merge else loaded.model.unload()
    loaded.replace_model(model.requires_grad_(False))


def set_training(model: Any) -> None:
    """Set training mode for the adapter only.

    The base stays in evaluation mode, as for the reference: in training mode it may use dropout or add noise.
    """
    model.eval()
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True  # or it would keep its activations
        if isinstance(module, BaseTunerLayer) and isinstance(module, torch.nn.Module):
            module.train()
            module.get_base_layer().eval()


def is_training(model: Any) -> bool:
    """Whether the adapter is still in training mode."""
    layer = next((module for module in model.modules() if isinstance(module, BaseTunerLayer)), None)
    return isinstance(layer, torch.nn.Module) and layer.training


def enable_checkpointing(loaded: LoadedModel) -> None:
    """Recompute activations in the backward pass: half the memory, half as much compute again."""
    # A pass that stops as soon as it has what it needs would leave weights that wait elsewhere on the device.
    recompute(causal_lm(loaded.model), **({"early_stop": False} if loaded.offloaded else {}))


def recompute(causal: Any, **how: bool) -> None:
    """As `enable_checkpointing`, for a transformers model. `how`: arguments of `torch.utils.checkpoint`."""
    causal.gradient_checkpointing_enable({"use_reentrant": False, **how})
    # It makes the embeddings require a gradient, which the other kind of checkpointing needs; here it would send the
    # backward pass through blocks without an adapter.
    causal.disable_input_require_grads()


@contextmanager
def reference_weights(model: Any) -> Iterator[None]:
    """A context in which the model is the reference: its adapter is off, or replaced by the one that it was loaded with."""
    if REFERENCE_ADAPTER in getattr(model, "peft_config", {}):
        model.set_adapter(REFERENCE_ADAPTER)
        try:
            yield
        finally:
            model.set_adapter(ADAPTER)
    elif not isinstance(model, PeftModel):
        with model.disable_adapter():
            yield
    else:
        # PEFT's own `disable_adapter` first looks at the state of every layer, which takes milliseconds in each step.
        layers: Any = model.base_model
        layers.disable_adapter_layers()
        try:
            yield
        finally:
            layers.enable_adapter_layers()


def is_on_head(loaded: LoadedModel) -> bool:
    """Whether an adapter is on the vocabulary head."""
    return isinstance(causal_lm(loaded.model).get_output_embeddings(), BaseTunerLayer)


def trainable_parameters(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """Names and tensors that are trained."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


@contextmanager
def scaled(model: Any, factor: float) -> Iterator[None]:
    """A context in which the adapter's part of each weight is multiplied by `factor`. No weight is changed.

    Raises:
        UnlearnError: the model was loaded with an adapter.
    """
    _check_scalable(model)
    layers = [m for m in model.modules() if isinstance(getattr(m, "scaling", None), dict) and ADAPTER in m.scaling]
    known = [layer.scaling[ADAPTER] for layer in layers]
    for layer, scale in zip(layers, known, strict=True):
        layer.scaling[ADAPTER] = scale * factor
    try:
        yield
    finally:
        for layer, scale in zip(layers, known, strict=True):
            layer.scaling[ADAPTER] = scale


def _check_scalable(model: Any) -> None:
    if REFERENCE_ADAPTER in getattr(model, "peft_config", {}):
        # Such an adapter also contains what the model knew before, and scaling would reduce that, too.
        raise UnlearnError(
            "scaling what was learned needs a model without an adapter", "start from the base, or merge first"
        )


def scale_adapter(model: Any, factor: float) -> None:
    """Multiply the trained adapter's part of each weight by `factor`, in place.

    Raises:
        UnlearnError: the model was loaded with an adapter.
    """
    _check_scalable(model)
    with torch.no_grad():
        for name, parameter in trainable_parameters(model):
            if ".lora_B." in name:
                parameter.mul_(factor)


def save(loaded: LoadedModel, folder: Path) -> None:
    """Write the adapter (or, after full fine-tuning, the model) and the tokenizer into `folder`.

    The base goes into `adapter_config.json` as an absolute path, or as a Hub id with its commit: a relative path would
    be taken for a Hub id from another working directory.

    Raises:
        StorageError: the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _save(loaded, folder)


def _save(loaded: LoadedModel, folder: Path) -> None:
    model = loaded.model
    if isinstance(model, PeftModel):
        config: Any = model.peft_config[ADAPTER]
        config.base_model_name_or_path = loaded.source.location
        config.revision = loaded.source.revision
        # The order of a set differs from process to process, and so would the hash of the file.
        if isinstance(config.target_modules, set):
            config.target_modules = sorted(config.target_modules)
        model.save_pretrained(str(folder), selected_adapters=[ADAPTER])
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's is a stub; ours follows
    else:
        attention = model.config._attn_implementation
        model.set_attn_implementation("sdpa")
        model.save_pretrained(folder)
        model.set_attn_implementation(attention)
    loaded.tokenizer.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)


def lora_b_nonzero(folder: Path) -> tuple[int, int]:
    """The number of a saved adapter's `lora_B` matrices that are not all zero, and the number of all."""
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        names = [name for name in file.keys() if ".lora_B." in name]  # noqa: SIM118 - not a dict
        return sum(bool(file.get_tensor(name).any()) for name in names), len(names)


@contextmanager
def reloaded(loaded: LoadedModel, folder: Path) -> Iterator[Any]:
    """The model with the adapter read back from `folder` in place of the trained one; one base in memory."""
    name = "reloaded"
    with adapting(loaded.model):
        loaded.model.load_adapter(str(folder), name)
    loaded.model.set_adapter(name)
    try:
        yield loaded.model
    finally:
        loaded.model.set_adapter(ADAPTER)
        loaded.model.delete_adapter(name)


def reload_difference_of_weights(loaded: LoadedModel, folder: Path) -> float:
    """Largest difference between a fully trained model's tensors and those in its saved files."""
    state = loaded.model.state_dict()
    worst = 0.0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                worst = max(worst, float((file.get_tensor(name) - state[name].cpu()).abs().max()))
    return worst
