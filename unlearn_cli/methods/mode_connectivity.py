"""Mode connectivity: unlearn, then raise the forget loss along the straight line back to the original weights.

    L = L_retain(theta) - weight min(ceiling, CE_forget((1 - t) theta_0 + t theta)),   t uniform in [0, 1) for each step

Siddiqui et al., "From Dormant to Deleted: Tamper-Resistant Unlearning Through Weight-Space Regularization" (2025): if the
loss has a barrier between the two models, fine-tuning cannot go back easily. The gradient of the second term by theta is
t times that on the line. CE is in nats a token. L_retain is the divergence from the unlearned model on the retain rows;
the authors train on labels. The artifact is a whole model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import Parameter

from unlearn_cli.contract import TRAINED, Defaults, Sizes, parameter, procedure
from unlearn_cli.methods._distillation import divergence, steps
from unlearn_cli.methods.layered import Base


@contextmanager
def between(weights: Mapping[str, Parameter], start: Mapping[str, Tensor], t: float) -> Iterator[None]:
    """A context in which `weights` are (1 - t) start + t weights. Gradients of it become gradients by the weights."""
    here = {name: tensor.detach().clone() for name, tensor in weights.items()}
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.lerp_(start[name].to(tensor), 1 - t)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in weights.items():
                tensor.copy_(here[name])
                if tensor.grad is not None:
                    tensor.grad.mul_(t)


def kept(sizes: Sizes, **parameters: Any) -> int:
    """The original, the model before, the weights off the line, and the training of every weight."""
    return (3 + TRAINED) * sizes.whole


@procedure(
    paper="2505.22310",
    family="against relearning",
    published={"weight": 0.001, "ceiling": 50.0},
    because="0.001 is for vision models, whose loss grows to 50; the loss of a language model's answers stays smaller",
    defaults=Defaults(epochs=6, retain_ratio=2),
    artifact="model",
    steps=steps,
    holds=kept,
    distills=("retain",),
)
def mode_connectivity(
    bench: Any,
    *,
    base: Base = "simnpo",
    weight: Annotated[float, parameter("weight of the forget loss along the line", ge=0)] = 0.1,
    ceiling: Annotated[float, parameter("forget loss, in nats a token, above which it is not raised further", gt=0)] = 50.0,
    epochs: Annotated[float, parameter("length of the second training, in passes over the forget rows", gt=0)] = 12.0,
    rate: Annotated[float, parameter("peak learning rate of that training", gt=0)] = 1e-3,
) -> Iterator[Any]:
    start = bench.base_values()
    yield from bench.unlearn()
    bench.drop_adapter(merge=True)
    before, weights = bench.copy(), bench.weights()
    generator = torch.Generator().manual_seed(bench.seed)

    def loss(step: int) -> tuple[Tensor, float]:
        t = float(torch.rand((), generator=generator))
        with between(weights, start, t):
            on_line = -bench.outputs(bench.forget_batch(step)).mean_logps.mean()
            forget_loss = -weight * on_line.clamp_max(ceiling)
            forget_loss.backward()
        return divergence(bench, before, bench.retain_batch(step)) + forget_loss.detach(), float(forget_loss.detach())

    yield from bench.train_whole(loss, steps=bench.steps_in(epochs), peak=rate)
