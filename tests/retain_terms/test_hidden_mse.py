"""Squared distance of hidden states; its values on the fixture stand in tests/methods/test_rmu.py."""

from __future__ import annotations

import torch

from tests.fixture_f import states
from unlearn_cli.contract import RETAIN_TERMS
from unlearn_cli.outputs import Outputs

hidden_mse = RETAIN_TERMS.get("hidden-mse")


def test_at_the_reference_it_is_zero() -> None:
    policy, _ = states()
    assert hidden_mse(policy, policy).tolist() == [0.0, 0.0]


def test_layers_are_averaged() -> None:
    """Distances 1 and 3 at two layers of one token with one dimension: (1 + 9) / 2."""

    def at(*values: float) -> Outputs:
        hidden = tuple(torch.tensor([[[value]]]) for value in values)
        return Outputs(None, torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool), hidden=hidden)

    assert hidden_mse(at(1.0, 3.0), at(0.0, 0.0)).item() == 5.0
