"""IDK+AP: refusals on the forget questions; its retain term is tested in tests/retain_terms."""

from __future__ import annotations

import pytest

from tests.fixture_f import fixture
from unlearn_cli.contract import METHODS

idk_ap = METHODS.get("idk-ap")


def test_fixture() -> None:
    """The token mean of the refusals: (5.351336 + 12.497551) / 5 = 3.56977751."""
    assert idk_ap(fixture("alternative"), average="tokens").mean().item() == pytest.approx(3.5697775111193755, abs=1e-6)


def test_it_brings_the_term_along() -> None:
    assert idk_ap.defaults.retain_term == "answer-preservation"
