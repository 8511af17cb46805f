"""Each law finds the mistake that is planted for it, and no other law takes offense at that mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.laws.laws import LAWS
from unlearn_cli.outputs import Outputs


@dataclass(frozen=True)
class Planted:
    """A loss with a mistake in it."""

    breaks: str
    function: Callable[..., Tensor]
    needs: tuple[str, ...] = ("policy",)
    logits: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    logps: bool = True
    coupled: bool = False

    def __call__(self, *roles: Outputs) -> Tensor:
        return self.function(*roles)


def correct(policy: Outputs) -> Tensor:
    return policy.mean_logps


def a_column(policy: Outputs) -> Tensor:
    return policy.mean_logps[:, None]


def spread_of_a_single_token(policy: Outputs) -> Tensor:
    """The unbiased variance of one number is 0 / 0."""
    squares = (policy.token_logps - policy.mean_logps[:, None]).square() * policy.mask
    return policy.mean_logps + squares.sum(-1) / (policy.lengths - 1)


def probability_of_not_saying_it(policy: Outputs) -> Tensor:
    """log(1 - p) is -inf where float arithmetic rounds p to 1, as it does for a certain answer."""
    return -torch.log1p(-policy.mean_logps.exp())


def mean_over_padding(policy: Outputs) -> Tensor:
    return policy.token_logps.mean(-1)


def divergence_over_padding(policy: Outputs, reference: Outputs) -> Tensor:
    p, q = policy.logits.log_softmax(-1), reference.logits.log_softmax(-1)
    return (q.exp() * (q - p)).sum((-1, -2)) / policy.lengths


def places_taken_for_pairs(policy: Outputs) -> Tensor:
    """Every second row is taken for the rejected half of a pair."""
    sign = torch.where(torch.arange(len(policy.mask)) % 2 == 0, 1.0, -1.0)
    return sign * policy.mean_logps


def raw_logit_npo(policy: Outputs, reference: Outputs) -> Tensor:
    """MUSE's form: logits instead of log-probabilities, at every word."""
    terms = F.logsigmoid(0.1 * (reference.logits - policy.logits)).mean(-1)
    return -20 * (terms * policy.mask).sum(-1) / policy.lengths


def baseline_not_detached(policy: Outputs) -> Tensor:
    """A batch mean that is there for its gradient alone."""
    mean = policy.mean_logps.mean()
    return policy.mean_logps - 0.5 * (mean - mean.detach())


def normalized_over_the_batch(policy: Outputs) -> Tensor:
    return policy.sequence_logps / policy.mask.sum() * len(policy.mask)


def deaf_to_the_reference(policy: Outputs, reference: Outputs) -> Tensor:
    return F.softplus(0.1 * policy.sequence_logps)


def undeclared_logits(policy: Outputs) -> Tensor:
    logps = policy.logits.log_softmax(-1).gather(-1, policy.targets[..., None]).squeeze(-1)
    return (logps * policy.mask).sum(-1) / policy.lengths


def needless_logits(policy: Outputs) -> Tensor:
    return policy.mean_logps


def detached_policy(policy: Outputs) -> Tensor:
    return policy.mean_logps.detach()


def deaf_to_the_hidden_states(policy: Outputs) -> Tensor:
    return policy.mean_logps


def states_over_padding(policy: Outputs) -> Tensor:
    return policy.hidden[0].square().sum(-1).mean(-1)


def row_sums_over_a_column_of_lengths(policy: Outputs) -> Tensor:
    """[B] over [B, 1] is a matrix: every row is divided by everybody's length, as in one published RMU."""
    sums = (policy.hidden[0].square().mean(-1) * policy.mask).sum(-1)
    return (sums / policy.lengths[:, None]).mean(0)


BOTH = ("policy", "reference")
STATES = {"hidden": frozenset({"policy"}), "parameters": {"layer": SimpleNamespace(default=0.5, phrase=False)}}
PLANTED = [
    Planted("shape_and_range", a_column),
    Planted("shape_and_range", spread_of_a_single_token),
    Planted("shape_and_range", probability_of_not_saying_it),
    Planted("padding", mean_over_padding),
    Planted("padding", divergence_over_padding, BOTH, frozenset(BOTH)),
    Planted("row_order", places_taken_for_pairs),
    Planted("softmax_shift", raw_logit_npo, BOTH, frozenset(BOTH)),
    Planted("no_leak", baseline_not_detached),
    Planted("split_batch", normalized_over_the_batch),
    Planted("declared", deaf_to_the_reference, BOTH),
    Planted("declared", undeclared_logits),
    Planted("declared", needless_logits, logits=frozenset({"policy"})),
    Planted("declared", detached_policy),
    Planted("declared", deaf_to_the_hidden_states, **STATES),
    Planted("padding", states_over_padding, logps=False, **STATES),
    Planted("split_batch", row_sums_over_a_column_of_lengths, logps=False, **STATES),
]


def broken(objective: Planted) -> list[str]:
    caught = []
    for name, law in LAWS.items():
        try:
            law(objective)
        except AssertionError:
            caught.append(name)
    return caught


@pytest.mark.parametrize("objective", PLANTED, ids=lambda planted: planted.function.__name__)
def test_exactly_the_law_it_breaks_finds_it(objective: Planted) -> None:
    assert broken(objective) == [objective.breaks]


def test_a_correct_loss_breaks_none() -> None:
    assert broken(Planted("", correct)) == []


def test_every_law_has_a_planted_mistake() -> None:
    assert {planted.breaks for planted in PLANTED} == set(LAWS)
