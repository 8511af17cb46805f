"""Try one training step on a few short rows, before anything is measured. Afterwards the model is unchanged."""

from __future__ import annotations

import torch
from peft import PeftModel

from unlearn_cli.config import LoraOptions
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.adapter import attach, detach, set_training, trainable_parameters
from unlearn_cli.models.boundary import boundary
from unlearn_cli.models.forward import forward
from unlearn_cli.models.layout import probe_batch
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.reach import Reach, reach

USUAL = (
    "q_proj",
    "v_proj",
    "c_attn",
    "query_key_value",
    "qkv_proj",
    "in_proj",
)  # inputs of attention, which nearly all can adapt


def try_training(loaded: LoadedModel, options: LoraOptions, *, modules: list[str] | None = None) -> Reach | None:
    """Attach the adapter, run one forward and one backward pass in training mode, and remove the adapter.

    Args:
        loaded: the model, without an adapter or with the one that it was loaded with.
        options: rank, scale, targets, `full`.
        modules: as for `adapter.attach`.

    Returns:
        the reach of LoRA; None if all weights are trained, or the adapter that the model was loaded with.

    Raises:
        UnlearnError: the adapter cannot be attached, the pass fails, or its gradient is not finite or zero.
    """
    fresh = not (options.full or isinstance(loaded.model, PeftModel))
    with torch.random.fork_rng(devices=[loaded.device] if loaded.device.type == "cuda" else []):
        attach(loaded, options, seed=0, modules=modules)
    try:
        _one_step(loaded)
        return reach(loaded.model) if fresh else None
    finally:
        for _, tensor in trainable_parameters(loaded.model):
            tensor.grad = None
        if fresh:
            detach(loaded, merge=False)
        elif options.full:
            loaded.model.requires_grad_(False)
        loaded.model.eval()


def _one_step(loaded: LoadedModel) -> None:
    batch = probe_batch(loaded.config.vocab_size, loaded.device)
    set_training(loaded.model)
    leaves = {name.rpartition(".")[2] for name, _ in loaded.model.named_modules()}
    fewer = ",".join(name for name in USUAL if name in leaves) or "NAMES"
    hint = f"--lora-target-modules {fewer} adapts fewer modules; --device cpu has other kernels"
    with boundary("one step of training fails on this model", hint):
        loss = -forward(loaded.model, batch, loaded.layout)["probe"].mean_logps.mean()
        loss.backward()
    gradients = [tensor.grad for _, tensor in trainable_parameters(loaded.model) if tensor.grad is not None]
    if not all(gradient.isfinite().all() for gradient in gradients):
        raise UnlearnError("the gradient of one step of training is not finite", "try --dtype float32")
    if not any(gradient.any() for gradient in gradients):
        raise UnlearnError(
            "no gradient reaches the weights that are trained", "try other --lora-target-modules, or --device cpu"
        )
