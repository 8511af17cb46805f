"""UNDO: unlearn, add noise to the weights, and distill the outputs.

    1. teacher = the base method's result
    2. student = (1 - alpha) teacher + alpha beta noise,   noise of each matrix uniform with Xavier's bound, 0 for vectors
    3. L = (1/n) sum_t KL(p_teacher(.|y_<t) || p_student(.|y_<t)) on retain and forget rows, question included

Lee et al., "Distillation Robustifies Unlearning" (2025). Noise damages knowledge that the teacher only hides, and
distillation does not restore it. Vectors (norms, biases) are scaled by 1 - alpha as well. The fans of a tensor of
experts [E, out, in] are those of one expert; the authors' code refuses such tensors. alpha = 0 distills the teacher
into itself; a larger alpha is more robust and costs more training. All weights are trained: the artifact is a whole
model, and the teacher is a second set of weights in memory. With retain rows alone (`both=false`) the student returns
to knowledge that the noise did not damage. The authors distill on far more text than a usual data set has: knowledge
that is in none of the rows is damaged and not repaired. `within=0.05` ends the distillation as the authors do: after
the first pass with a retain loss of at most 1.05 times the teacher's. 0 trains all epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch

from unlearn_cli.contract import TRAINED, Defaults, Sizes, parameter, procedure
from unlearn_cli.methods._distillation import divergence, steps
from unlearn_cli.methods.layered import Base

END_ROWS = 64  # retain rows whose loss decides when training ends


def shrunk(weight: torch.Tensor, alpha: float, beta: float, generator: torch.Generator) -> torch.Tensor:
    """A tensor of the student before distillation. Only matrices get noise: the last two dimensions of a tensor."""
    if weight.dim() < 2 or beta == 0:
        return (1 - alpha) * weight
    bound = (6 / (weight.shape[-2] + weight.shape[-1])) ** 0.5
    noise = (2 * torch.rand(weight.shape, generator=generator) - 1) * bound
    return (1 - alpha) * weight + alpha * beta * noise.to(weight)


def kept(sizes: Sizes, **parameters: Any) -> int:
    """A copy of the teacher, and the training of every weight."""
    return (1 + TRAINED) * sizes.whole


@procedure(
    family="against relearning",
    paper="2506.06278",
    published={"alpha": 0.25, "beta": 0.0, "both": False, "rate": 2e-5},
    because=(
        "the noise is that of the authors' other configurations; few passes over few rows need a larger rate and both "
        "kinds of rows"
    ),
    defaults=Defaults(epochs=6),
    artifact="model",
    steps=steps,
    holds=kept,
    distills=("forget", "retain"),
)
def undo(
    bench: Any,
    *,
    base: Base = "simnpo",
    alpha: Annotated[float, parameter("share of the teacher's weights that is removed", ge=0, le=1)] = 0.25,
    beta: Annotated[float, parameter("scale of the noise", ge=0)] = 0.1,
    epochs: Annotated[float, parameter("length of the distillation, in passes over the forget rows", gt=0)] = 6.0,
    both: Annotated[bool, parameter("distill on the forget rows as well")] = True,
    rate: Annotated[float, parameter("peak learning rate of the distillation", gt=0)] = 1e-3,
    within: Annotated[
        float, parameter("training ends once the retain loss exceeds the teacher's by at most this share", ge=0)
    ] = 0.0,
) -> Iterator[Any]:
    yield from bench.unlearn()
    bench.drop_adapter(merge=True)
    teacher, weights = bench.copy(), bench.weights()
    generator = torch.Generator().manual_seed(bench.seed)
    with torch.no_grad():
        for tensor in weights.values():
            tensor.copy_(shrunk(tensor, alpha, beta, generator))

    def distillation(step: int) -> tuple[torch.Tensor, float]:
        rows = (*bench.retain_batch(step), *(bench.forget_batch(step) if both else ()))
        return divergence(bench, teacher, rows), 0.0

    def finished(step: int) -> bool:
        if not within or (step + 1) % bench.steps_in(1):
            return False
        return bench.answer_loss(bench.retain[:END_ROWS]) <= (1 + within) * teacher_loss

    teacher_loss = bench.answer_loss(bench.retain[:END_ROWS], teacher) if within else 0.0
    yield from bench.train_whole(distillation, steps=bench.steps_in(epochs), peak=rate, finished=finished)
