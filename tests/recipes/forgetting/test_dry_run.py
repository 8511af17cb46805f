"""The table of rows that a dry run shows."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from rich.console import Console

from unlearn_cli.recipes.forgetting import dry_run

NAMES = ("forget", "retain", "retain_trained", "forget_knowledge_specific", "real_authors", "general", "general_text")


@dataclass
class Split:
    """What is shown of a split's report."""

    rows: int = 4_000
    sequences: int = 4_000
    tokens: int = 1_234_567
    answer_tokens: int = 1_234_567
    truncated_rows: int = 0
    measured_rows: int = 4_000
    format: str = "question-answer"


def shown(width: int, **changes: int) -> str:
    """The table of seven splits; `changes` are those of the last."""
    splits = {name: Split(**(changes if name == NAMES[-1] else {})) for name in NAMES}
    inputs = {name: SimpleNamespace(report=lambda one=one: one, rows=[0] * 40) for name, one in splits.items()}
    settings = SimpleNamespace(pairing=lambda forget, retain: SimpleNamespace(batch=8), has_target=False)
    console = Console(width=width)
    with console.capture() as said:
        console.print(dry_run._data(settings, inputs, 100))
    return said.get()


def test_seven_splits_have_a_line_each_at_eighty_columns() -> None:
    lines = shown(80).splitlines()
    assert [line.split()[0] for line in lines if "1,234,567" in line] == list(NAMES)
    assert lines[3].split() == ["rows", "tokens", "tokens", "format"], "what equals the rows is left out"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_heading_and_no_name_is_broken(width: int) -> None:
    """With every count: as a table where it fits, else in words."""
    said = shown(width, sequences=9_000, truncated_rows=3, measured_rows=100)
    words = said.replace(",", " ").split()
    assert {"sequences", "cut", "measured", "question-answer"} <= set(words) and {*NAMES} <= set(words)
    assert ("4,000 rows" in said) == (width < 100)
