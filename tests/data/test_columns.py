"""--columns where the splits have other columns; every hint is pasted until it works."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tests.data.writing import write
from unlearn_cli.config import ForgetConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.scoring.splits import load_splits

NAMES = (("question", "answer"), ("q", "a"), ("x", "y"))
GIVEN = (None, "question=q,answer=a", "question=x,answer=y", "question=qq,answer=a", "retain.question=q")


def loaded(columns: str | None, **paths: Path) -> dict[str, list[tuple[str, str]]]:
    """What is asked and answered in each split."""
    files = {name: str(path) for name, path in paths.items()}
    splits = load_splits(ForgetConfig(model="m", no_general=True, columns=[columns] if columns else [], **files))
    return {name: [(e.prompt, e.answer) for e in split.examples] for name, split in splits.items()}


@pytest.mark.parametrize(("forget", "retain", "given"), list(product(NAMES, NAMES, GIVEN)))
def test_each_hint_leads_on_when_it_is_pasted(tmp_path: Path, forget: tuple, retain: tuple, given: str | None) -> None:
    paths = {
        name: write(tmp_path / f"{name}.jsonl", [{question: f"Q {name}", answer: f"A {name}"}])
        for name, (question, answer) in {"forget": forget, "retain": retain}.items()
    }
    for _ in range(4):
        try:
            assert loaded(given, **paths) == {name: [(f"Q {name}", f"A {name}")] for name in paths}
            return
        except UnlearnError as error:
            given = error.hint.rpartition("--columns ")[2].partition(";")[0]
    pytest.fail(f"the hints go round in circles: {given}")


def test_a_column_of_one_split_alone_is_left_in_the_other(tmp_path: Path) -> None:
    forget = write(tmp_path / "f.jsonl", [{"q": "Q", "a": "A"}])
    retain = write(tmp_path / "r.jsonl", [{"question": "Q2", "answer": "A2"}])
    expected = {"forget": [("Q", "A")], "retain": [("Q2", "A2")]}
    assert loaded("question=q,answer=a", forget=forget, retain=retain) == expected


def test_a_column_of_no_split_is_an_error(tmp_path: Path) -> None:
    forget = write(tmp_path / "f.jsonl", [{"question": "Q", "answer": "A"}])
    with pytest.raises(UnlearnError, match="forget data: no column 'qu'; have: question, answer"):
        loaded("question=qu", forget=forget)
