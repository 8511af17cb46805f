"""Files of rows that the model wrote, and broken ones: refused where they are needed, else written again."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlearn_cli.data import written
from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import read_kept
from unlearn_cli.recipes.forgetting import about
from unlearn_cli.recipes.forgetting.alternatives import StoredAlternatives

BROKEN = [
    "", "{", "[]", "3", '{"key": "k"}', '{"key": "k", "rows": 3}', '{"key": "k", "rows": {"retain": [{"id": "0"}]}}',
    '{"key": "k", "rows": {"forget": []}}', '{"key": "k", "splits": 3}', '{"key": "k", "splits": ["../../rows", "retain"]}',
    '{"key": "k", "splits": ["forget"]}', '{"key": "k", "answers": [["Sol"]]}', '{"key": "k", "answers": {"a": "Sol"}}',
]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file(content: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(UnlearnError) as refused:
        written.read(path)
    assert "restore it" in (refused.value.hint or "")
    assert written.read_own(path, "k") is None
    assert about.stored_rows(path, "k", about.SPLITS) is None
    assert read_kept(path, StoredAlternatives) is None


def test_what_was_written_is_read(tmp_path: Path) -> None:
    rows = {"retain": (Example("like-0", (("user", "Who?"),), "Ann.", "qa"), Example("like-1", (), "Ann wrote.", "text"))}
    path = tmp_path / written.FILE
    assert written.read(path) == {}
    path.write_text(written.dumps("k", rows))
    assert written.read(path) == rows == written.read_own(path, "k")
    assert written.read_own(path, "other") is None


def test_rows_about_a_name_are_read_if_all_of_them_are_there(tmp_path: Path) -> None:
    path, row = tmp_path / about.KEY, '{"question": "Who?", "answer": "Ann."}\n'
    path.write_text('{"key": "k", "splits": ["forget"]}')
    assert about.stored_rows(path, "k", ("forget",)) is None
    (tmp_path / "forget.jsonl").write_text(row)
    assert about.stored_rows(path, "k", ("forget",)) == {"forget": [{"question": "Who?", "answer": "Ann."}]}
    (tmp_path / "forget.jsonl").write_text(row + '{"question": 3, "answer": "Ann."}\n')
    assert about.stored_rows(path, "k", ("forget",)) is None
