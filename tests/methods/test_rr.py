"""Circuit breakers: relu of the cosine with the reference, with a weight that falls."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import ATTENDED, states
from unlearn_cli.contract import METHODS
from unlearn_cli.methods.rmu import random_direction
from unlearn_cli.outputs import Outputs

rr = METHODS.get("rr")


def test_fixture() -> None:
    """Over the 5 + 3 attended positions the token mean is 0.15863036."""
    losses = rr(*states(ATTENDED), 0.0, kick=0.0, average="tokens")
    assert losses.mean().item() == pytest.approx(0.15863036361393545, abs=1e-6)


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 10.0), (0.5, 7.5), (1.0, 5.0)])
def test_the_weight_falls_to_half(progress: float, weight: float) -> None:
    """With --forget-weight 10: 10 at the start, 7.5 halfway, 5 at the end, as in the published schedule."""
    policy, _ = states()
    assert 10 * rr(policy, policy, progress, kick=0.0).mean().item() == pytest.approx(weight, abs=1e-9)


def test_the_published_weights_are_the_defaults() -> None:
    """10 for the turning and 10 for the holding, over every block."""
    assert (rr.defaults.forget_weight, rr.defaults.retain_weight, rr.defaults.retain_term) == (10.0, 10.0, "rerouting")


def test_states_that_point_elsewhere_cost_nothing() -> None:
    policy, reference = states()
    object.__setattr__(reference, "hidden", (-policy.hidden[0],))
    assert rr(policy, reference, 0.0, kick=0.0).tolist() == [0.0, 0.0]


def test_at_the_reference_only_the_kick_has_a_gradient() -> None:
    """The cosine is at its largest there: the published loss stays where it is but for rounding."""
    for kick, moves in ((0.0, False), (0.01, True)):
        policy, _ = states()
        hidden = policy.hidden[0].clone().requires_grad_()
        object.__setattr__(policy, "hidden", (hidden,))
        reference, _ = states()
        rr(policy, reference, 0.0, kick=kick).sum().backward()
        assert (hidden.grad.abs().max().item() > 1e-4) == moves


def at(*layers: list[float]) -> Outputs:
    """One token with a state of each layer."""
    hidden = tuple(torch.tensor([[layer]], dtype=torch.float64) for layer in layers)
    return Outputs(None, torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool), hidden=hidden)  # type: ignore[arg-type]


def test_layers_count_by_their_mean() -> None:
    """Cosines of 1, 0 and -1, which counts as 0: a third."""
    policy = at([2.0, 0.0], [0.0, 1.0], [-1.0, 0.0])
    assert rr(policy, at(*[[1.0, 0.0]] * 3), 0.0, kick=0.0).item() == pytest.approx(1 / 3)


def test_the_kick_is_a_share_of_the_references_length() -> None:
    """h = (1, 0), h_ref = (0, 2), kick 0.5: h + u, whose cosine with (0, 1) is u_2 / |h + u|."""
    one, two = random_direction(2, 0).double().tolist()
    expected = two / ((1 + one) ** 2 + two**2) ** 0.5
    assert rr(at([1.0, 0.0]), at([0.0, 2.0]), 0.0, kick=0.5).item() == pytest.approx(expected)
