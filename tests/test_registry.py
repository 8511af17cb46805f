"""Names: the package's own, other distributions', and files."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from unlearn_cli import registry
from unlearn_cli.contract import METHODS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.catalogue import KINDS


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
        assert METHODS.summary("their-own") == METHODS.summary("npo")
    finally:
        registry._installed.cache_clear()
    assert METHODS.package in asked


@pytest.mark.parametrize("kind", KINDS)
def test_summaries_are_read_without_importing(kind):
    """What `unlearn list` prints is the first line of what `unlearn show` prints."""
    code = (
        "import sys\nfrom unlearn_cli.recipes.catalogue import lines\n"
        f"assert lines({kind!r})\nheavy = {{'torch', 'numpy', 'scipy'}} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in KINDS[kind].names():
        assert KINDS[kind].summary(name) == KINDS[kind].get(name).documentation.splitlines()[0]
