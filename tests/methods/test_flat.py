"""FLAT: f-divergences between the probabilities of template and forget answers."""

from __future__ import annotations

import math

import pytest
import torch

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS
from unlearn_cli.methods.flat import DIVERGENCES

flat = METHODS.get("flat")
PUBLISHED = {"kl": 0.3193588187912243, "tv": -0.014108990669660215, "pearson": -0.028019577771532952,
             "js": -0.013550712323449066, "jeffrey": -0.028017466486620877}  # fmt: skip
EXAMPLE = {"kl": 0.30483741803595965, "tv": 0.08962415160049458, "pearson": 0.5025, "js": 0.2923474640980829,
           "jeffrey": 0.5480625}  # fmt: skip


@pytest.mark.parametrize("name", DIVERGENCES)
def test_worked_example(name: str) -> None:
    """g = 0.6, f = 0.9, through the method: one token each, of that probability."""
    loss = flat(answers([math.log(0.9)]), answers([math.log(0.6)]), divergence=name)
    assert loss.item() == pytest.approx(EXAMPLE[name], abs=1e-9)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_published_means_over_padding(name: str) -> None:
    """On the fixture the published means divide by all 2 x 4 positions: f = 0.03232627, g = 0.06060710."""
    f = fixture("forget").token_logps.exp()[fixture("forget").mask].sum() / 8
    g = fixture("alternative").token_logps.exp()[fixture("alternative").mask].sum() / 8
    assert (f.item(), g.item()) == pytest.approx((0.032326270962754006, 0.060607095682876304), abs=1e-9)
    assert DIVERGENCES[name](g, f).item() == pytest.approx(PUBLISHED[name], abs=1e-6)


def test_ours_counts_answer_tokens_alone() -> None:
    """The token mean of p over the 5 answer tokens is 0.05172203."""
    policy = fixture("forget")
    assert policy.averaged(policy.token_logps.exp(), "tokens").mean().item() == pytest.approx(0.05172203354040642, abs=1e-9)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_refusal_goes_up_and_the_answer_down(name: str) -> None:
    """The published reverse KL, squared Hellinger and Neyman have +1.649 by g at 0.5: those are not offered."""
    g, f = torch.tensor(0.5, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    DIVERGENCES[name](g, f).backward()
    assert g.grad < 0 < f.grad
