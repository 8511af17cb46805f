"""Names: the package's own, other distributions', and files."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from unlearn_cli import registry
from unlearn_cli.contract import METHODS
from unlearn_cli.errors import UnlearnError


@pytest.mark.parametrize("spelling", ["grad-diff", "grad_diff", " Grad-Diff "])
def test_either_spelling(spelling):
    assert METHODS.get(spelling).name == "grad-diff"


def test_an_unknown_name_answers_with_the_nearest():
    with pytest.raises(UnlearnError) as caught:
        METHODS.get("simpno")
    assert "did you mean 'simnpo'" in caught.value.hint


def test_another_distribution_can_add_a_method(monkeypatch):
    """An entry point is listed like the package's own, and loaded when it is asked for."""
    point = EntryPoint("their_own", "unlearn_cli.methods.npo:npo", METHODS.package)
    asked = []

    def installed(*, group):
        asked.append(group)
        return [point] if group == METHODS.package else []

    registry._installed.cache_clear()
    monkeypatch.setattr(registry, "entry_points", installed)
    try:
        assert "their-own" in METHODS.names()
        assert METHODS.get("their_own") is METHODS.get("npo")
    finally:
        registry._installed.cache_clear()
    assert METHODS.package in asked
