"""What is said about rows before any work."""

from __future__ import annotations

from pathlib import Path

from tests.data.writing import write
from unlearn_cli.data.example import Origin, Split
from unlearn_cli.data.load import load_split
from unlearn_cli.data.row_notes import notes

ROWS = [
    {"question": "Where?", "answer": "Tartu"},
    {"question": "where? ", "answer": " tartu"},
    {"question": "Where?", "answer": "Narva"},
    {"question": "Who?", "answer": "Ines"},
    {"question": "What?", "answer": "bees", "task": "qa", "note": "x"},
]


def test_repeated_and_contradicting_forget_rows_and_unread_columns(tmp_path: Path) -> None:
    split = load_split("forget", str(write(tmp_path / "f.jsonl", ROWS)))
    assert notes({"forget": split}) == [
        "forget data: not read: task (1 of 5 rows), note (1 of 5 rows)",
        "2 forget rows are the same as another one: f.jsonl:1, f.jsonl:2",
        "1 forget question has several answers: f.jsonl:1, f.jsonl:3",
    ]


def test_clean_rows_and_repeated_retain_rows_are_no_note(tmp_path: Path) -> None:
    retain = load_split("retain", str(write(tmp_path / "r.jsonl", ROWS[:2])))
    forget = load_split("forget", str(write(tmp_path / "f.jsonl", ROWS[3:4])))
    assert notes({"forget": forget, "retain": retain}) == []


def test_one_question_with_an_answer_to_forget_and_another_to_keep(tmp_path: Path) -> None:
    """Among the retain rows that training sees too; a row that is in both splits has a note of its own."""
    forget = load_split("forget", str(write(tmp_path / "f.jsonl", ROWS[2:4])))
    retain = load_split("retain", str(write(tmp_path / "r.jsonl", [*ROWS[:2], ROWS[3]])))
    for name in ("retain", "retain_trained"):
        same, opposed = notes({"forget": forget, name: retain})
        assert same.startswith("1 row is in both forget and retain")
        assert opposed == (
            "1 question is in the forget and in the retain rows, with different answers, so forgetting and retaining work "
            "against each other: f.jsonl:1, r.jsonl:1"
        )


def test_two_documents_are_no_contradiction(tmp_path: Path) -> None:
    split = load_split("forget", str(write(tmp_path / "f.jsonl", [{"text": "one"}, {"text": "two"}])))
    assert notes({"forget": split}) == []


def test_the_way_to_read_reasoning_is_named(tmp_path: Path) -> None:
    thought = {"role": "assistant", "content": "A", "reasoning_content": "hm"}
    rows = [{"messages": [{"role": "user", "content": "Q"}, thought]}]
    (note,) = notes({"forget": load_split("forget", str(write(tmp_path / "f.jsonl", rows)))})
    assert note == "forget data: not read: messages.reasoning_content (1 of 1 rows) (--reasoning score reads it)"


def test_a_data_set_without_a_pinned_commit_is_named_once() -> None:
    """A benchmark's splits come from one repository: one note, with what reads the same rows again."""
    at = {"files": (), "format": "qa", "rows": 1, "rows_in_source": 1, "sha256": ""}
    loose = Origin("hf:org/rows/part:test", revision="abc", pinned=False, **at)
    fixed = Origin("hf:org/others@abc:test", revision="abc", pinned=True, **at)
    splits = {"retain": Split("retain", (), loose), "holdout": Split("holdout", (), loose), "x": Split("x", (), fixed)}
    (note,) = notes(splits)
    assert note.startswith("org/rows: no commit is pinned") and "@abc" in note
