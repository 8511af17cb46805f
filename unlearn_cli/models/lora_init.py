"""Initial adapters from the weights: `fila` (directions that matter most to the forget rows) and `pissa` (largest ones).

The adapter starts as the largest part B0 A0 of each matrix. The base keeps the residual, so the model is unchanged:

    rho_i = sqrt(sum_j I_ij),  I = F_forget / (F_retain + 1e-5), F the squared gradient of the answers' loss
    U S V = SVD(diag(rho) W),  A0 = sqrt(S/s) V^T,  B0 = diag(1/(rho + 1e-5)) U sqrt(S/s),  W <- W - s B0 A0

fila: Cha et al., "Towards Robust and Parameter-Efficient Knowledge Unlearning for LLMs" (2024, arXiv 2408.06621).
pissa is the same with rho = 1 (Meng et al., 2024, arXiv 2404.02948). The published code saves an adapter that doubles
the low-rank part on any base but its own residual. Here the artifact is written as a plain adapter of twice the rank,
[B, -B0] [A; A0], on the untouched base. F depends on the batch size, because it squares a batch's mean gradient, as
published; where F_retain is far below 1e-5 the retain rows have no say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from unlearn_cli.atomic import write_atomically
from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.forward import forward
from unlearn_cli.models.load import ADAPTER, REFERENCE_ADAPTER, LoadedModel

EPSILON = 1e-5
EXACT = 1024  # matrices up to this size get an exact decomposition; larger ones a randomized one with room to spare
SPARE = 32


def factors(weight: Tensor, rho: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    """A0 [rank, in] and B0 [out, rank] of a matrix [out, in] whose rows weigh `rho` [out]."""
    weighted = rho[:, None] * weight
    if min(weight.shape) <= EXACT:
        u, s, vh = torch.linalg.svd(weighted, full_matrices=False)
        v = vh.T
    else:
        # The seed is fixed for this alone: the run's own stream of random numbers goes on as if nothing had been drawn.
        with torch.random.fork_rng([weight.device] if weight.is_cuda else []):
            torch.manual_seed(0)
            u, s, v = torch.svd_lowrank(weighted, q=min(rank + SPARE, *weight.shape), niter=4)
    root = (s[:rank] / scale).sqrt()
    a, b = (v[:, :rank] * root).T, (u[:, :rank] * root) / (rho + EPSILON)[:, None]
    missing = rank - len(a)  # a rank above the matrix's own: the rest is zero
    return F.pad(a, (0, 0, 0, missing)), F.pad(b, (0, missing))


def fisher(loaded: LoadedModel, layers: dict[str, Any], rows: Sequence[Row], batch: int) -> dict[str, Tensor]:
    """Squared gradients of each layer's weight, averaged over batches by their answer tokens."""
    weights = {name: layer.weight for name, layer in layers.items()}
    total = {name: torch.zeros_like(w, dtype=torch.float32) for name, w in weights.items()}
    tokens = 0
    for weight in weights.values():
        weight.requires_grad_(True)
    for start in range(0, len(rows), batch):
        packed = pack({"rows": rows[start : start + batch]}).to(loaded.device)
        outputs = forward(loaded.model, packed, loaded.layout)["rows"]
        count = int(outputs.mask.sum())
        tokens += count
        # Not `backward`: that would leave a gradient in the adapter, which the first step would take for its own.
        # An expert that no token went through has none.
        loss = -outputs.token_logps.sum() / count
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                total[name].addcmul_(gradient, gradient, value=count)
    for weight in weights.values():
        weight.requires_grad_(False)
    return {name: value / tokens for name, value in total.items()}


def _matrix(layer: Any) -> Tensor:
    """A layer's weight as [out, in]; GPT-2's Conv1D stores [in, out]."""
    return layer.weight.T if type(layer).__name__ == "Conv1D" else layer.weight


def _adapted(model: PeftModel) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if ADAPTER in getattr(module, "lora_A", {})}


def check(loaded: LoadedModel, kind: str, *, arrived: bool) -> None:
    """Refuse models whose base weights cannot be changed and restored exactly.

    Raises:
        UnlearnError: a quantized or half-precision base, or a model that arrived with an adapter.
    """
    if arrived:
        raise UnlearnError(f"--lora-init {kind} needs a model without an adapter", "start from the base, or merge first")
    if loaded.quantization or loaded.dtype != torch.float32:
        raise UnlearnError(
            f"--lora-init {kind} changes the base, which a quantized or half-precision model would round",
            "--dtype float32, without quantization",
        )


def initialize(
    loaded: LoadedModel,
    kind: Literal["fila", "pissa"],
    forget: Sequence[Row],
    retain: Sequence[Row],
    *,
    batch: int,
    path: Path,
) -> None:
    """Move the largest part of every adapted matrix into its adapter; a frozen copy of that adapter is the reference.

    Args:
        loaded: a model with a new adapter; `check` must have accepted it.
        kind: "fila" or "pissa".
        forget: forget rows, for the gradients in F_forget.
        retain: retain rows, for the gradients in F_retain.
        batch: number of rows behind each gradient.
        path: file of the factors, so that a resumed run has the same ones.

    Raises:
        UnlearnError: an adapter with dropout or on the embeddings.
    """
    model, modules = loaded.model, _adapted(loaded.model)
    config = model.peft_config[ADAPTER]
    if config.lora_dropout:
        raise UnlearnError(
            f"--lora-init {kind} puts the largest part of the weights into the adapter, and dropout would drop it",
            "--lora-dropout 0",
        )
    if any(ADAPTER in getattr(module, "lora_embedding_A", {}) for module in model.modules()):
        raise UnlearnError(f"--lora-init {kind} is for linear layers", "leave the embeddings out of --lora-target-modules")
    starts = load_file(path) if path.is_file() else _factors(loaded, kind, modules, forget, retain, batch)
    if not path.is_file():
        factors = {name: tensor.contiguous() for name, tensor in starts.items()}
        write_atomically(path, lambda part: save_file(factors, part))
    model.add_adapter(REFERENCE_ADAPTER, replace(config))
    with torch.no_grad():
        for name, module in modules.items():
            a, b = (starts[f"{name}.{side}"].to(loaded.device) for side in "AB")
            for adapter in (ADAPTER, REFERENCE_ADAPTER):
                module.lora_A[adapter].weight.copy_(a)
                module.lora_B[adapter].weight.copy_(b)
            _matrix(module.base_layer).sub_(module.scaling[ADAPTER] * b @ a)
    model.set_adapter(ADAPTER)


def _factors(
    loaded: LoadedModel, kind: str, modules: dict[str, Any], forget: Sequence[Row], retain: Sequence[Row], batch: int
) -> dict[str, Tensor]:
    layers = {name: module.base_layer for name, module in modules.items()}
    if kind == "fila":
        forget_fisher = fisher(loaded, layers, forget, batch)
        retain_fisher = (
            fisher(loaded, layers, retain, batch) if retain else {n: torch.zeros_like(f) for n, f in forget_fisher.items()}
        )
    starts = {}
    for name, module in modules.items():
        weight = _matrix(module.base_layer).float()
        rho = torch.ones(len(weight), device=weight.device)
        if kind == "fila":
            ratio = forget_fisher[name] / (retain_fisher[name] + EPSILON)
            rho = (ratio.T if type(layers[name]).__name__ == "Conv1D" else ratio).sum(1).sqrt()
            if not rho.any():  # no forget token reached this matrix: an adapter of zeros would never learn
                rho = torch.ones_like(rho)
        a, b = factors(weight, rho, module.r[ADAPTER], module.scaling[ADAPTER])
        starts[f"{name}.A"], starts[f"{name}.B"] = a.cpu(), b.cpu()
    return starts


@torch.no_grad()
def finish(loaded: LoadedModel) -> None:
    """Restore the base, and write the change by training as a plain adapter of twice the rank."""
    model, learned = loaded.model, {}
    config = model.peft_config[ADAPTER]
    for name, module in _adapted(model).items():
        (a, b), (a0, b0) = (
            (module.lora_A[adapter].weight, module.lora_B[adapter].weight) for adapter in (ADAPTER, REFERENCE_ADAPTER)
        )
        _matrix(module.base_layer).add_(module.scaling[ADAPTER] * b0 @ a0)
        learned[name] = (torch.cat([a, a0]), torch.cat([b, -b0], dim=1))
    wider = replace(config, r=2 * config.r, lora_alpha=2 * config.lora_alpha)
    loaded.replace_model(get_peft_model(model.unload(), wider, adapter_name=ADAPTER))
    for name, module in _adapted(loaded.model).items():
        module.lora_A[ADAPTER].weight.copy_(learned[name][0])
        module.lora_B[ADAPTER].weight.copy_(learned[name][1])
