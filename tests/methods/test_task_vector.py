"""Task vectors train towards the forget answers; the turn is tested with the adapter."""

from __future__ import annotations

import pytest

from tests.fixture_f import fixture
from unlearn_cli.contract import METHODS

task_vector = METHODS.get("task-vector")


def test_it_trains_towards_the_forget_answers() -> None:
    policy = fixture("forget")
    assert task_vector(policy).tolist() == (-policy.mean_logps).tolist()


@pytest.mark.parametrize(("alpha", "expected"), [(5.0, 0.0), (0.0, 1.0), (-1.0, 1.2)])
def test_the_formula(alpha: float, expected: float) -> None:
    """theta_0 = 1, theta_trained = 1.2: 1 - 5 * 0.2 = 0; alpha 0 is before, -1 the trained one."""
    assert 1.0 - alpha * (1.2 - 1.0) == pytest.approx(expected, abs=1e-9)
    assert task_vector.applied == "negated_adapter"
