"""TAR: weights of the rehearsed attack and the loss at the attacked weights."""

from __future__ import annotations

import math

import pytest

from tests.fixture_f import everywhere, one_token
from unlearn_cli.methods.tar import negative_entropy, step_weights


def test_weights_of_the_authors_schedule() -> None:
    """Every fourth of 64 steps, 4 exp(0.0625 (i - 63)) from i = 3: 0.09407098 to 4, 17.752040 in all; ours over 16 steps."""
    weights = [17.752040441050227 * share for share in step_weights(16)]
    published = [4 * math.exp(0.0625 * (i - 63)) for i in range(3, 64, 4)]
    assert weights == pytest.approx(published, abs=1e-9)
    assert (weights[0], weights[-1]) == pytest.approx((0.09407098342403643, 4.0), abs=1e-9)


@pytest.mark.parametrize("inner", [2, 4, 64])
def test_first_and_last_weight_keep_their_ratio(inner: int) -> None:
    """4 / 0.09407098 = 42.52 whatever the number of steps."""
    shares = step_weights(inner)
    assert (shares[-1] / shares[0], sum(shares)) == pytest.approx((42.521082, 1.0), abs=1e-5)
    assert step_weights(1) == [1.0]


def test_fixture() -> None:
    """Over all positions of the forget logits: -1.24014521."""
    assert negative_entropy(everywhere("forget")).mean().item() == pytest.approx(-1.240145205895059, abs=1e-6)


def test_bounds() -> None:
    assert negative_entropy(one_token([0.25] * 4)).item() == pytest.approx(-math.log(4))
    assert negative_entropy(one_token([1.0 - 3e-16, 1e-16, 1e-16, 1e-16])).item() == pytest.approx(0.0, abs=1e-12)
