"""TAR: tamper-resistant weights, by rehearsing the attack.

    each step: copy theta, let an adversary take K steps of descent on forget rows,
    g = grad L_retain(theta) + sum_k w_k grad L_tamper(theta_k),   L_tamper = -(1/n) sum_t entropy of p(.|x, y_<t)
    on other forget rows, at the attacked weights (first order); restore theta

Tamirisa et al., "Tamper-Resistant Safeguards for Open-Weight LLMs" (2024), on the adapter of the base method's result,
where the authors start from randomly mapped representations. w_k = 4 exp(0.0625 (4k - 64)) for every fourth of their 64
steps; here every one of K steps counts, with the same weights spread over them. L_tamper is bounded by -log V, where
nothing can be guessed. Costs K passes more for each step. The w_k are divided by their sum. L_retain is the mean
negative log-likelihood of the retain answers; the authors' second part, the distance of hidden states from the base, is
left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor

from unlearn_cli.contract import Defaults, parameter, procedure
from unlearn_cli.methods.layered import Base
from unlearn_cli.outputs import Outputs


def step_weights(inner: int) -> list[float]:
    """w_1 to w_K: 4 at the last step, and as small at the first as the authors' after 4 of 64."""
    return [4 * math.exp(0.0625 * 64 * ((k + 1) / inner - 1)) for k in range(inner)]


def negative_entropy(policy: Outputs) -> Tensor:
    """[B] mean of sum_v p log p over the answer tokens of each row."""
    logps = policy.logits.log_softmax(-1)
    return policy.averaged((logps.exp() * logps).sum(-1))


def steps(bench: Any, *, rounds: int, **others: Any) -> int:
    return bench.unlearn_steps() + rounds


@procedure(paper="2408.00761", defaults=Defaults(epochs=6), artefact="adapter", steps=steps)
def tar(
    bench: Any,
    *,
    base: Base = "npo",
    rounds: Annotated[int, parameter("steps of the outer loop", ge=1)] = 40,
    inner: Annotated[int, parameter("steps of the adversary in each", ge=1)] = 4,
    attack_rate: Annotated[float, parameter("learning rate of the adversary", gt=0)] = 1e-3,
    rate: Annotated[float, parameter("learning rate of the outer loop", gt=0)] = 3e-4,
    retain_weight: Annotated[float, parameter("weight of the retain loss", ge=0)] = 20.0,
) -> Iterator[Any]:
    yield from bench.unlearn()
    weights = [p for p in bench.model.parameters() if p.requires_grad]
    outer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    schedule = step_weights(inner)
    for number in range(rounds):
        saved = [w.detach().clone() for w in weights]
        total = [torch.zeros_like(w) for w in weights]
        adversary = torch.optim.AdamW(weights, lr=attack_rate, weight_decay=0.0)
        tampered = 0.0
        for k in range(inner):
            (-bench.outputs(bench.forget_batch(number * 2 * inner + 2 * k)).mean_logps.mean()).backward()
            adversary.step()
            adversary.zero_grad(set_to_none=True)
            held_out = bench.outputs(bench.forget_batch(number * 2 * inner + 2 * k + 1), logits=True)
            loss = negative_entropy(held_out).mean() * schedule[k] / sum(schedule)
            tampered += float(loss.detach())
            for sum_, gradient in zip(total, torch.autograd.grad(loss, weights), strict=True):
                sum_.add_(gradient)
        with torch.no_grad():
            for weight, before in zip(weights, saved, strict=True):
                weight.copy_(before)
        retain = -bench.outputs(bench.retain_batch(number)).mean_logps.mean()
        (retain_weight * retain).backward()
        for weight, gradient in zip(weights, total, strict=True):
            weight.grad = gradient if weight.grad is None else weight.grad + gradient
        norm = torch.nn.utils.clip_grad_norm_(weights, 1.0)
        outer.step()
        outer.zero_grad(set_to_none=True)
        yield bench.record(forget_loss=tampered, retain_loss=float(retain.detach()), norm=float(norm), rate=rate)
