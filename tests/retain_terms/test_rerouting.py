"""The retain half of circuit breakers: a length, with a weight that grows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.cli.running import DEMO
from tests.fixture_f import states
from unlearn_cli.config import ForgetConfig
from unlearn_cli.contract import RETAIN_TERMS
from unlearn_cli.outputs import Outputs
from unlearn_cli.recipes.forgetting.resolve import resolve_method, resolve_objective

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


def test_every_block_counts() -> None:
    """Published: all hidden states of the retain rows, not those that the method turns. Two layers, one 3 away: 1.5 / 2."""
    settings = resolve_method(
        ForgetConfig(model=DEMO, forget="f", retain="r", method="rr"), dict.fromkeys(ForgetConfig.model_fields, "default")
    )
    settings = resolve_objective(settings, SimpleNamespace(num_hidden_layers=4), None)
    assert settings.objective.layers == (1, 2) and settings.objective.retain_layers == (1, 2, 3, 4)
    here = torch.zeros(1, 1, 2, dtype=torch.float64)
    there = torch.tensor([[[3.0, 0.0]]], dtype=torch.float64)
    mask = torch.ones(1, 1, dtype=torch.bool)
    policy, reference = (Outputs(None, mask.long(), mask, hidden=hidden) for hidden in ((here, there), (here, here)))
    assert rerouting(policy, reference, 1.0).tolist() == [0.75]
