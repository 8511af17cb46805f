"""JensUn: Jensen-Shannon divergence to a phrase, a function of the wanted token's probability alone."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import fixture, one_token
from unlearn_cli.contract import METHODS, RETAIN_TERMS

jensun = METHODS.get("jensun")


@pytest.mark.parametrize(("p", "value"), [(0.25, 0.38039566584857787), (1 - 1e-15, 0.0), (1e-300, math.log(2))])
def test_worked_example(p: float, value: float) -> None:
    """log 2 + (p log p - (1 + p) log(1 + p)) / 2: 0.25 gives 0.38039567; 1 gives 0, 0 gives log 2."""
    assert jensun(one_token([1 - p, p] if p < 0.5 else [1e-15, p]), phrase=(1,)).item() == pytest.approx(value, abs=1e-9)


def test_fixture() -> None:
    """Tokens 2 and 4 in turn, beginning anew with each answer; with jensen-shannon on the retain answers 0.64826727."""
    forget = jensun(fixture("forget"), phrase=(2, 4), average="tokens").mean().item()
    assert forget == pytest.approx(0.4421226752055176, abs=1e-6)
    retain = RETAIN_TERMS.get("jensen-shannon")(fixture("retain"), fixture("retain", "reference"), average="tokens")
    assert forget + retain.mean().item() == pytest.approx(0.648267274600027, abs=1e-6)


def test_it_is_the_divergence() -> None:
    """Against the definition with both distributions written out."""
    p, target = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.0, 1.0, 0.0])
    middle = (p + target) / 2
    by_hand = 0.5 * (p * (p / middle).log()).sum() + 0.5 * (1.0 / middle[1]).log()
    assert jensun(one_token([0.6, 0.3, 0.1]), phrase=(1,)).item() == pytest.approx(by_hand.item(), abs=1e-6)
