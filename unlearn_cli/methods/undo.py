"""UNDO: unlearn, noise, distil on outputs.

    1. teacher = the base method's result
    2. student = (1 - alpha) teacher + alpha beta noise,   noise of each matrix uniform with Xavier's bound, 0 for vectors
    3. L = (1/n) sum_t KL(p_teacher(.|y_<t) || p_student(.|y_<t)) on retain and forget rows, question included

Lee et al., "Distillation Robustifies Unlearning" (2025). What the teacher only hides is damaged in the student and
never distilled back. Vectors (norms, biases) shrink as matrices do. The fans of a tensor of experts [E, out, in] are
those of one expert; the authors' code refuses such tensors. alpha = 0 distils the teacher into itself; a larger
alpha is more robust and costs more training. All weights are trained: the artifact is a whole model, and the teacher is
a second set of weights in memory. With retain rows alone (`both=false`)
the student drifts back to what the noise has not reached. The authors distil on far more text than an ordinary data set
holds: what stands in none of the rows is damaged and not repaired. `within=0.05` ends the distillation as the authors do,
once the retain loss is 5 % above the teacher's or less, looked at after each pass; 0 takes all epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch

from unlearn_cli.contract import Defaults, parameter, procedure
from unlearn_cli.methods._distillation import divergence, steps
from unlearn_cli.methods.layered import Base

LOOKED_AT = 64  # retain rows by which the end is judged


def shrunk(weight: torch.Tensor, alpha: float, beta: float, generator: torch.Generator) -> torch.Tensor:
    """The student's start for one tensor; noise goes to matrices, the last two dimensions of a tensor, only."""
    if weight.dim() < 2 or beta == 0:
        return (1 - alpha) * weight
    bound = (6 / (weight.shape[-2] + weight.shape[-1])) ** 0.5
    noise = (2 * torch.rand(weight.shape, generator=generator) - 1) * bound
    return (1 - alpha) * weight + alpha * beta * noise.to(weight)


@procedure(
    family="against relearning",
    paper="2506.06278",
    published={"alpha": 0.25, "beta": 0.0, "both": False, "rate": 2e-5},
    because=(
        "the noise is that of the authors' other configurations, and a few passes over few rows ask for a larger "
        "rate and for both kinds of rows"
    ),
    defaults=Defaults(epochs=6),
    artifact="model",
    steps=steps,
)
def undo(
    bench: Any,
    *,
    base: Base = "simnpo",
    alpha: Annotated[float, parameter("how much of the teacher's weights is lost", ge=0, le=1)] = 0.25,
    beta: Annotated[float, parameter("length of the noise", ge=0)] = 0.1,
    epochs: Annotated[float, parameter("of distillation, in passes over the forget rows", gt=0)] = 6.0,
    both: Annotated[bool, parameter("distil what the teacher says of the forget rows as well")] = True,
    rate: Annotated[float, parameter("peak learning rate of the distillation", gt=0)] = 1e-3,
    within: Annotated[float, parameter("ends once the retain loss is at most so much above the teacher's", ge=0)] = 0.0,
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
        if not within or (step + 1) % bench.passes(1):
            return False
        return bench.answer_loss(bench.retain[:LOOKED_AT]) <= (1 + within) * goal

    goal = bench.answer_loss(bench.retain[:LOOKED_AT], teacher) if within else 0.0
    yield from bench.train_whole(distillation, steps=bench.passes(epochs), peak=rate, finished=finished)
