"""Rehearsal: forget each row in weights that an attacker has already changed by relearning other forget rows.

    1. theta = the base method's result
    2. repeat, each time for `length` steps: half of the forget rows, drawn at random, are the attacker's; the others judge
         d <- d - Adam(grad L_attack(theta + d)),   d = 0 at first,   L_attack = -(1/n) sum_t log p on the attacker's rows
         theta <- theta - AdamW(grad L),   L = mean log p(theta + d) on judging rows that are likelier than `level`
                                               + retain_weight KL(p_before || p_theta) on retain and neutral rows,
                                                 question included

In every fourth step (`unattacked_every`) all forget rows are judging rows, at theta itself. This is needed because the
divergence on retain rows makes forget rows likelier again, which the attacked weights do not show. Neutral rows are the
model's own answers to everyday prompts, and plain paragraphs. They keep its general ability and its prose, which the
retain rows alone do not.

Unlearning that only hides rows fails under such an attacker: relearning some rows brings all of them back. The gradient at
theta + d sees the rows that would come back, and removes them. Training against an attacker is the idea of Henderson et
al., "Self-Destructing Models" (2022), and of `tar`. The attacker of `tar` starts again in each step and changes only the
adapter. This one continues for `length` steps and changes every weight. Its rate is drawn between a quarter of `attack_rate`
and all of it. Both rates fall with the width of the model: beyond a hidden size of 288 in inverse proportion to it. The
attacker never trains on the judging rows. The method is of first order: d counts as a constant in the gradient by theta.
Each step costs three forward and backward passes. Every weight is trained, so the artifact is a whole model. Memory holds
eight more sets of weights: the original, two moments, and five for the attacker and its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, Any

import torch
from torch import Tensor

from unlearn_cli.contract import Defaults, Sizes, parameter, procedure
from unlearn_cli.data.batch import cycled
from unlearn_cli.data.tokenize import Row
from unlearn_cli.methods._distillation import divergence
from unlearn_cli.methods.layered import Base

RATE, ATTACK_RATE = 1e-4, 1e-3  # found by trial at hidden sizes 128 and 256
WIDEST = 288  # hidden size up to which a model takes these rates; at 576 half of them kept more of a pretrained model


def at_width(rate: float, hidden_size: int) -> float:
    """The rate for a model of this hidden size: beyond `WIDEST` in inverse proportion to it."""
    return rate * min(1.0, WIDEST / hidden_size)


def halves(rows: Sequence[Row], generator: torch.Generator) -> tuple[list[Row], list[Row]]:
    """The attacker's rows and the judging rows, drawn at random. A single row is both."""
    order = [rows[i] for i in torch.randperm(len(rows), generator=generator).tolist()]
    cut = len(order) // 2
    return order[:cut] or order, order[cut:]


def likely(logps: Tensor, level: float) -> Tensor:
    """Mean of the log-probabilities [B] of rows that are likelier than `level`; the others count as 0."""
    return (logps * (logps.detach() > math.log(level))).mean()


@contextmanager
def moved(weights: Sequence[Tensor], by: Sequence[Tensor]) -> Iterator[None]:
    """A context in which `by` is added to the weights; they are restored exactly."""
    before = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        torch._foreach_add_(list(weights), list(by))
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(weights), before)


class Attacker:
    """Relearns its rows by training a shift `d` of every weight."""

    def __init__(self, bench: Any, weights: Sequence[Tensor]) -> None:
        self.bench, self.weights = bench, weights
        self.shift = [torch.zeros_like(weight) for weight in weights]

    def begin(self, rows: Sequence[Row], rate: float) -> None:
        """Set the shift to 0, and start on other rows."""
        torch._foreach_zero_(self.shift)
        self.rows, self.optimizer = rows, torch.optim.Adam(self.shift, lr=rate, fused=True)

    def step(self, number: int) -> None:
        """One step of fine-tuning on the current weights plus the shift."""
        with moved(self.weights, self.shift):
            loss = -self.bench.outputs(cycled(self.rows, number, self.bench.batch)).mean_logps.mean()
            gradients = torch.autograd.grad(loss, self.weights)
        for shift, gradient in zip(self.shift, gradients, strict=True):
            shift.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def steps(bench: Any, *, rounds: int, **others: Any) -> int:
    return bench.unlearn_steps() + rounds


def kept(sizes: Sizes, **parameters: Any) -> int:
    """The original; the optimizer's two moments; the attacker's shift, its two moments and its gradient (or that of the
    weights, which comes after it); and the weights that come back after a shift."""
    return (1 + 2 + 4 + 1) * sizes.whole


@procedure(
    family="against relearning",
    paper="2211.14946",
    published={},
    because="the combination is ours; its values were found by trial on a small model",
    defaults=Defaults(),
    artifact="model",
    steps=steps,
    holds=kept,
    distills=("retain", "neutral"),
    longer="rounds",
    needs_level=True,
)
def rehearsal(
    bench: Any,
    *,
    base: Base = "npo",
    rounds: Annotated[int, parameter("steps after the base method", ge=1)] = 250,
    length: Annotated[int, parameter("steps of one attacker, before another begins", ge=1)] = 30,
    attack_rate: Annotated[
        float | None, parameter("largest learning rate of an attacker; none: 1e-3, less for a wide model", gt=0)
    ] = None,
    rate: Annotated[float | None, parameter("peak learning rate; none: 1e-4, less for a wide model", gt=0)] = None,
    retain_weight: Annotated[float, parameter("weight of the retain and neutral rows", ge=0)] = 13.0,
    unattacked_every: Annotated[int, parameter("every N-th step judges without the attacker's change", ge=2)] = 4,
    level: Annotated[
        float | None,
        parameter("probability at which a row counts as forgotten; none: that of unknown answers", gt=0, lt=1),
    ] = None,
) -> Iterator[Any]:
    with bench.without_adapter():
        original = bench.copy()
    yield from bench.unlearn()
    bench.drop_adapter(merge=True)
    weights = list(bench.weights().values())
    attacker, generator = Attacker(bench, weights), torch.Generator().manual_seed(bench.seed)
    judging: list[Row] = []
    lowest = bench.level if level is None else level
    peak = at_width(RATE, bench.hidden_size) if rate is None else rate
    attack_peak = at_width(ATTACK_RATE, bench.hidden_size) if attack_rate is None else attack_rate

    def loss(step: int) -> tuple[Tensor, float]:
        place = step % length
        if not place:
            rows, judging[:] = halves(bench.forget, generator)
            attacker.begin(rows, attack_peak * 4 ** -float(torch.rand((), generator=generator)))
        attacker.step(place)
        change: AbstractContextManager[None]
        if place % unattacked_every == unattacked_every - 1:  # the retain rows' divergence raises forget rows again
            judged, change = cycled(bench.forget, step // unattacked_every, bench.batch), nullcontext()
        else:
            judged, change = cycled(judging, place, bench.batch), moved(weights, attacker.shift)
        with change:
            forget_loss = likely(bench.outputs(judged).mean_logps, lowest)
            forget_loss.backward()
        protected = [*bench.retain_batch(step), *bench.neutral_batch(step)]
        retain_loss = retain_weight * divergence(bench, original, protected)
        return retain_loss + forget_loss.detach(), float(forget_loss.detach())

    yield from bench.train_whole(loss, steps=rounds, peak=peak)
