"""The retain half of circuit breakers: a length, with a weight that grows."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import states
from unlearn_cli.contract import RETAIN_TERMS

rerouting = RETAIN_TERMS.get("rerouting")


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 0.0), (0.5, 0.25), (1.0, 0.5)])
def test_the_weight_grows_to_half(progress: float, weight: float) -> None:
    """With --retain-weight 10 that is 0, 2.5 and 5, as in the published schedule."""
    policy, reference = states()
    lengths = (policy.hidden[0] - reference.hidden[0]).norm(dim=-1).mean(-1)
    torch.testing.assert_close(rerouting(policy, reference, progress), weight * lengths)


def test_fixture() -> None:
    """The mean length over all positions is 1.94600685."""
    assert 2 * rerouting(*states(), 1.0).mean().item() == pytest.approx(1.9460068464288784, abs=1e-6)
