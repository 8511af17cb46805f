"""Which metrics a comparison shows, and what it refuses to rank by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.comparing import attack_report, write_run
from tests.recipes.comparison.test_comparability import attacked
from unlearn_cli.config import CompareConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.comparison.comparability import Comparability
from unlearn_cli.recipes.comparison.grouping import Row
from unlearn_cli.recipes.comparison.runs import RELEARNING, Entry, read_entries
from unlearn_cli.recipes.comparison.selection import front_metrics, shown_metrics
from unlearn_cli.report import Score

SAME, OTHER = Comparability(), Comparability(attack_difference="a and b were attacked differently")


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """One run with a usual score, an unusual one, and one without a value."""
    values = {"retain.nll": [0.1], "forget.probability": [0.2], "forget.min_k_auc": Score(value=None, n=0, reason="none")}
    return read_entries([write_run(tmp_path / "a", values)])


def shown(entries: list[Entry], how: Comparability = SAME, **settings: Any) -> list[str]:
    return shown_metrics(CompareConfig(**settings), entries, how)


def test_usual_metrics_that_a_run_has_or_those_that_are_named(entries) -> None:
    assert shown(entries) == ["forget.probability"]
    named = ("retain.nll", "forget.min_k_auc", "retain.nll")
    assert shown(entries, metrics=named) == ["retain.nll", "forget.min_k_auc"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ("forget.prob",)}, "unknown metric 'forget.prob'"),
        ({"sort": "forget.min_k_auc"}, "no run has a value of forget.min_k_auc"),
        ({"front": ("forget.probability", "forget.min_k_auc")}, "no run has a value of forget.min_k_auc"),
        ({"front": ("forget.probability",)}, "--front takes two metrics"),
    ],
)
def test_what_nothing_can_be_ranked_by_is_refused(entries, settings, message) -> None:
    with pytest.raises(UnlearnError, match=message) as refused:
        shown(entries, **settings)
    assert refused.value.hint


def test_attacks_that_differ_are_shown_only_if_that_is_allowed(tmp_path: Path) -> None:
    entries = [attacked(tmp_path / "a", attack_report())]
    assert shown(entries) == ["forget.probability", RELEARNING] and shown(entries, OTHER) == ["forget.probability"]
    with pytest.raises(UnlearnError, match="a and b were attacked differently"):
        shown(entries, OTHER, metrics=(RELEARNING,))
    assert shown(entries, OTHER, metrics=(RELEARNING,), allow_different=True) == [RELEARNING]


def test_a_front_needs_both_metrics_in_one_row(entries) -> None:
    rows = [Row("a", tuple(entries))]
    assert front_metrics(CompareConfig(), rows) == (), "the run has no retain probability"
    given = ("forget.probability", "retain.nll")
    assert front_metrics(CompareConfig(front=given), rows) == given
