"""Jensen-Shannon divergence from the reference."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import fixture, one_token
from unlearn_cli.contract import RETAIN_TERMS

jensen_shannon = RETAIN_TERMS.get("jensen-shannon")


def test_fixture() -> None:
    losses = jensen_shannon(fixture("retain"), fixture("retain", "reference"), average="tokens")
    assert losses.mean().item() == pytest.approx(0.20614459939450933, abs=1e-6)


def test_it_is_symmetric_and_zero_at_the_reference() -> None:
    policy, reference = fixture("retain"), fixture("retain", "reference")
    torch.testing.assert_close(jensen_shannon(policy, reference), jensen_shannon(reference, policy))
    assert jensen_shannon(policy, policy).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_it_is_at_most_log_2() -> None:
    apart = jensen_shannon(one_token([1 - 1e-15, 1e-15]), one_token([1e-15, 1 - 1e-15]))
    assert apart.item() == pytest.approx(math.log(2), abs=1e-6)
