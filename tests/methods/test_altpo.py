"""AltPO is DPO towards answers that the model itself gives."""

from __future__ import annotations

import pytest

from tests.fixture_f import fixture
from unlearn_cli.contract import METHODS

altpo = METHODS.get("altpo")


def test_fixture() -> None:
    """D_alternative = [1.215554, -6.512671], D_forget = [-3.869470, 1.650023]; beta 0.1."""
    roles = [fixture(group, model) for group in ("forget", "alternative") for model in ("policy", "reference")]
    assert altpo(*roles, beta=0.1).mean().item() == pytest.approx(16.532298410113246, abs=1e-6)


def test_its_alternatives_are_the_models_own() -> None:
    assert altpo.alternatives == "generated"
