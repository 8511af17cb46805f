"""LUNAR: hidden states moved along a direction."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.cli.running import DEMO
from unlearn_cli.config import ForgetConfig
from unlearn_cli.contract import METHODS
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.depth import depth_index
from unlearn_cli.outputs import Outputs
from unlearn_cli.recipes.forgetting.resolve import resolve_method, resolve_objective

lunar = METHODS.get("lunar")


def at(*values: float) -> Outputs:
    """One token with a hidden state."""
    hidden = torch.tensor([[values]], dtype=torch.float64).requires_grad_()
    return Outputs(None, torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool), hidden=(hidden,))


def test_worked_example() -> None:
    """The block gives 1.0, 0.3 of it the residual: the projection goes from 0.7 to 1.7, the block to 1 + 2 * 0.5."""
    direction = torch.tensor([0.5], dtype=torch.float64)
    assert lunar(at(0.3 + 1.7), at(1.0), direction).item() == pytest.approx(0.0, abs=1e-12)
    assert lunar(at(1.0), at(1.0), direction).item() == pytest.approx(1.0)


def test_coefficient_0_holds_the_reference() -> None:
    policy = at(1.0, 2.0)
    loss = lunar(policy, at(1.0, 2.0), torch.ones(2), coefficient=0.0)
    loss.sum().backward()
    assert loss.item() == 0
    assert not policy.hidden[0].grad.any()


def test_it_trains_one_matrix() -> None:
    assert lunar.trains == "down_projection"


def test_it_records_prompts_alone() -> None:
    """Of a row of 3 prompt tokens and 2 answer tokens the states at the 3 prompt tokens count; block 22 of 32 from 0."""
    row = Row("r", np.arange(5), answer_start=3, prompt_end=3, gold="", ends=True)
    counted = row.counted(lunar.parameters["positions"].default)
    predicted = range(counted.answer_start, len(counted.input_ids))
    assert [index - 1 for index in predicted] == [0, 1, 2]
    assert depth_index(lunar.parameters["layer"].default, 32) == 23


def test_its_retain_term_counts_what_it_counts() -> None:
    config = ForgetConfig(model=DEMO, forget="f", retain="r", method="lunar")
    for given, expected in (({}, "prompt"), ({"positions": "all"}, "all")):
        changed = config.model_copy(update={"retain_parameters": given})
        settings = resolve_method(changed, dict.fromkeys(ForgetConfig.model_fields, "default"))
        settings = resolve_objective(settings, SimpleNamespace(num_hidden_layers=4), None)
        assert settings.objective.positions == {"forget": "prompt", "retain": expected}
