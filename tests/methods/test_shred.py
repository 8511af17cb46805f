"""SHRED: which tokens are demoted, and to what."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import answers, one_token
from unlearn_cli.contract import METHODS
from unlearn_cli.methods.shred import least_likely

shred = METHODS.get("shred")


def test_worked_example() -> None:
    """p = (0.8, 0.15, 0.05), y first, beta = ln 16: q = (0.05, 0.15, 0.05) / 0.25, and KL(q || p) = 0.6 ln 4."""
    outputs = one_token([0.8, 0.15, 0.05])
    assert shred(outputs, outputs, beta=math.log(16)).item() == pytest.approx(0.6 * math.log(4))


def test_the_top_tokens_alone_make_the_target() -> None:
    """K = 1 leaves the second token: q = (0, 1, 0), and the loss is -ln 0.15."""
    outputs = one_token([0.8, 0.15, 0.05])
    assert shred(outputs, outputs, beta=math.log(16), top=1).item() == pytest.approx(-math.log(0.15))


def test_beta_0_is_self_distillation() -> None:
    outputs = one_token([0.8, 0.15, 0.05])
    assert shred(outputs, outputs, beta=0.0).item() == pytest.approx(0.0, abs=1e-12)


def test_the_least_likely_tokens_of_each_row() -> None:
    """Half of 3 tokens are 2, half of 1 is 1; what lies past a row's end never counts."""
    rows = answers([-0.1, -3.0, -2.0], [-5.0])
    assert least_likely(rows, 0.5).tolist() == [[False, True, True], [True, False, False]]
    assert least_likely(rows, 0.01).tolist() == [[False, True, False], [True, False, False]]
    assert torch.equal(least_likely(rows, 1.0), rows.mask)
