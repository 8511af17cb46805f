"""Circuit breakers: relu of the cosine with the reference, with a weight that falls."""

from __future__ import annotations

import pytest

from tests.fixture_f import ATTENDED, states
from unlearn_cli.contract import METHODS

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
