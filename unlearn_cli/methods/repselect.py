"""RepSelect: ascent along a gradient without the components that many rows share.

    1. an adapter relearns the forget rows for one pass and stays on
    2. G = gradient of the mean log-probability of the forget answers by the MLP matrices W, over all forget rows
    3. G <- collapse on the U side and the V side: a component with singular value S is scaled by S_min / S
    4. W <- W - rate |W| G / |G|, repeated while KL(p_before || p) on retain answers is within the budget

Sondej, Yang and Mahdi, "RepSelect" (2026), the simple variant. The largest components of G are those that many rows
have in common. If all singular values are equal, G stays as it is. Retain rows are measured and never trained on.
Deviations: the length of a step is a share of the weights' length; the authors' step is a rate times the raw gradient.
AdamW trains the relearning adapter. Training ends at a divergence of 0.01 nats a token, as published, but measured on
retain answers; the authors measure it on neutral text. At most an eighth of a matrix's components collapse, as in the
authors' models (512 of 4096). All MLP matrices change: the artifact is a whole model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from unlearn_cli.contract import Defaults, Sizes, parameter, procedure
from unlearn_cli.retain_terms.kl import kl


def soft_collapse(gradient: Tensor, components: Tensor, singular: Tensor) -> Tensor:
    """`gradient` [n, m] with each of `components` [m, k] scaled by the smallest singular value / its own [k]."""
    share = 1 - singular.min() / singular.clamp_min(1e-30)
    return gradient - (gradient @ components) * share @ components.T


def collapsed(gradient: Tensor, count: int) -> Tensor:
    """`gradient` with both sides collapsed along its `count` largest components."""
    u, s, v = torch.linalg.svd(gradient.float(), full_matrices=False)
    u, s, v = u[:, :count], s[:count], v[:count].T
    once = soft_collapse(gradient.float(), v, s)
    return soft_collapse(once.T, u, s).T.to(gradient)


def steps(bench: Any, *, components: int, rate: float, budget: float, rounds: int) -> int:
    return bench.unlearn_steps() + rounds


def kept(sizes: Sizes, **parameters: Any) -> int:
    """The direction, and the gradient before it or the weights to come back to."""
    return 2 * sizes.mlps


@procedure(
    family="against relearning",
    paper="2606.17168",
    published={"components": 512, "budget": 0.01, "learning_rate": 0.01},
    defaults=Defaults(retain_term="none", epochs=1, retain_ratio=2),
    artifact="model",
    base="task-vector",
    steps=steps,
    holds=kept,
)
def repselect(
    bench: Any,
    *,
    components: Annotated[int, parameter("largest components that are collapsed", ge=1)] = 512,
    rate: Annotated[float, parameter("length of a step, as a share of the weights' length", gt=0)] = 0.002,
    budget: Annotated[float, parameter("KL from the model before, on retain answers, at which training ends", gt=0)] = 0.01,
    rounds: Annotated[int, parameter("steps at most", ge=1)] = 100,
) -> Iterator[Any]:
    yield from bench.unlearn()
    for name, parameter_ in bench.model.named_parameters():
        parameter_.requires_grad_("lora_" not in name and parameter_.requires_grad)
    weights = bench.weights("mlp")
    for rows in bench.batches(bench.forget):
        (bench.outputs(rows).mean_logps.sum() / len(bench.forget)).backward()
    ascent = {}
    for name, w in weights.items():
        ascent[name.replace(".base_layer", "")] = collapsed(w.grad, min(components, min(w.shape) // 8))
        w.grad = None
    length = torch.stack([g.norm() for g in ascent.values()]).norm()
    bench.drop_adapter(merge=False)
    weights = bench.weights("mlp")
    whole = torch.stack([w.detach().norm() for w in weights.values()]).norm()
    forget, retain = bench.forget_batch(0), [row for step in range(2) for row in bench.retain_batch(step)]
    with torch.no_grad():
        before, saved = bench.outputs(retain, logits=True), {name: torch.empty_like(w) for name, w in weights.items()}
        for _ in range(rounds):
            for name, w in weights.items():
                saved[name].copy_(w)
                w.sub_(ascent[name] * (rate * whole / length))
            divergence = float(kl(bench.outputs(retain, logits=True), before).mean())
            if divergence > budget:
                for name, w in weights.items():
                    w.copy_(saved[name])
                return
            likelihood = float(bench.outputs(forget).mean_logps.mean())
            yield bench.record(forget_loss=likelihood, retain_loss=divergence, norm=float(length), rate=rate)
