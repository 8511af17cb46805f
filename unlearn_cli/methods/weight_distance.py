"""Weight distance: unlearn, then train on the retain rows while the weights are pushed away from the original.

    L = L_retain(theta) - weight |theta - theta_0| / sqrt(n),   n weights, theta_0 before unlearning

Siddiqui et al., "From Dormant to Deleted: Tamper-Resistant Unlearning Through Weight-Space Regularization" (2025). The
gradient of the root mean square distance has the same length at every distance. L_retain is the divergence from the
unlearned model on the retain rows; the authors train on labels. The artifact is a whole model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from unlearn_cli.contract import TRAINED, Defaults, Sizes, parameter, procedure
from unlearn_cli.methods._distillation import divergence, steps
from unlearn_cli.methods.layered import Base


def distance(weights: Sequence[Tensor], original: Sequence[Tensor]) -> Tensor:
    """Root mean square difference over all weights. Its gradient at distance 0 is 0."""
    squares = torch.stack([(w - o).square().sum() for w, o in zip(weights, original, strict=True)]).sum()
    return (squares / sum(w.numel() for w in weights)).clamp_min(1e-20).sqrt()


def kept(sizes: Sizes, **parameters: Any) -> int:
    """The original, the model before, the differences to the original, and the training of every weight."""
    return (3 + TRAINED) * sizes.whole


@procedure(
    paper="2505.22310",
    family="against relearning",
    published={"weight": 1.0},
    defaults=Defaults(epochs=6, retain_ratio=2),
    artifact="model",
    steps=steps,
    holds=kept,
    distills=("retain",),
)
def weight_distance(
    bench: Any,
    *,
    base: Base = "simnpo",
    weight: Annotated[float, parameter("weight of the distance", ge=0)] = 1.0,
    epochs: Annotated[float, parameter("length of the second training, in passes over the forget rows", gt=0)] = 12.0,
    rate: Annotated[float, parameter("peak learning rate of that training", gt=0)] = 1e-3,
) -> Iterator[Any]:
    start = bench.base_values()
    yield from bench.unlearn()
    bench.drop_adapter(merge=True)
    before, named = bench.copy(), bench.weights()
    weights, original = list(named.values()), [start[name] for name in named]

    def loss(step: int) -> tuple[Tensor, float]:
        forget_loss = -weight * distance(weights, original)
        return divergence(bench, before, bench.retain_batch(step)) + forget_loss, float(forget_loss.detach())

    yield from bench.train_whole(loss, steps=bench.steps_in(epochs), peak=rate)
