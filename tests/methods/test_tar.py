"""TAR: weights of the rehearsed attack and the loss at the attacked weights."""

from __future__ import annotations

import math

import pytest

from tests.fixture_f import everywhere, one_token
from unlearn_cli.methods.tar import negative_entropy, step_weights


def test_weights_of_the_authors_schedule() -> None:
    """Every fourth of 64 steps, 4 exp(0.0625 (i - 63)) from i = 3: 0.09407098 to 4, 17.752040 in all; ours over 16 steps."""
    made = step_weights(16)
    published = [4 * math.exp(0.0625 * (i - 63)) for i in range(3, 64, 4)]
    assert made == pytest.approx(published, abs=1e-9)
    assert (made[0], made[-1], sum(made)) == pytest.approx((0.09407098342403643, 4.0, 17.752040441050227), abs=1e-9)


def test_fixture() -> None:
    """Over all positions of the forget logits: -1.24014521."""
    assert negative_entropy(everywhere("forget")).mean().item() == pytest.approx(-1.240145205895059, abs=1e-6)


def test_bounds() -> None:
    assert negative_entropy(one_token([0.25] * 4)).item() == pytest.approx(-math.log(4))
    assert negative_entropy(one_token([1.0 - 3e-16, 1e-16, 1e-16, 1e-16])).item() == pytest.approx(0.0, abs=1e-12)
