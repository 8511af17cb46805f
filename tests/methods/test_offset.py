"""Offset unlearning is npo through a sum of logits; the sum is tested in tests/models/test_compose.py."""

from __future__ import annotations

import torch

from tests.fixture_f import fixture
from unlearn_cli.contract import METHODS

offset = METHODS.get("offset")


def test_its_loss_is_npos() -> None:
    roles = fixture("forget"), fixture("forget", "reference")
    torch.testing.assert_close(offset(*roles, beta=0.1), METHODS.get("npo")(*roles, beta=0.1))


def test_what_it_declares() -> None:
    assert (offset.trains, offset.applied) == ("assistant", "logit_offset")
