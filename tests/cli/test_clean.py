"""`unlearn clean` and `--no-text`: no row and no answer is left as text, and the evidence stays valid."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import QUICK, data_arguments, read_report, unlearn


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    assert unlearn("forget", *data_arguments(folder), *QUICK, "-o", folder / "run").exit_code in (0, 4)
    return folder / "run"


def texts_in(folder: Path) -> set[str]:
    """Files of a run folder that hold a question or an answer of the rows beside it."""
    rows = [json.loads(line) for name in ("forget", "retain") for line in (folder.parent / f"{name}.jsonl").open()]
    texts = [row[key].encode() for row in rows for key in ("question", "answer")]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)) for path in files if any(text in path.read_bytes() for text in texts)}


def test_the_report_names_every_file_that_holds_text(run: Path) -> None:
    assert texts_in(run) == set(read_report(run)["texts"]) != set()


def test_clean_removes_texts_and_keeps_the_evidence(run: Path, tmp_path: Path) -> None:
    for name in ("forget", "retain"):
        shutil.copy(run.parent / f"{name}.jsonl", tmp_path)
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "checkpoints").mkdir(exist_ok=True)
    listed = unlearn("clean", copy, "--dry-run")
    assert listed.exit_code == 0 and "would be removed: measured/after-forget.jsonl" in listed.stderr
    assert texts_in(copy)
    result = unlearn("clean", copy)
    assert result.exit_code == 0 and result.stdout.strip() == str(copy), result.stderr
    assert not texts_in(copy) and not (copy / "checkpoints").exists()
    before, after = read_report(run), read_report(copy)
    assert after["scores"] == before["scores"] and after["texts"] == []
    assert unlearn("compare", run, copy).exit_code == 0
    again = unlearn("evaluate", copy, "--json")
    assert again.exit_code == 0, again.stderr
    scores = json.loads(again.stdout)["scores"]["forget"]
    assert scores["nll"]["before"]["value"] == before["scores"]["forget"]["nll"]["before"]["value"]
    assert scores["rouge_l"]["after"]["value"] == pytest.approx(before["scores"]["forget"]["rouge_l"]["after"]["value"])
    assert not (scores["rouge_l"]["before"] or {}).get("value")  # its text is gone: no number stands for it
    assert unlearn("clean", copy).exit_code == 0 and not texts_in(copy)
    assert "nothing to remove" in unlearn("clean", copy).stderr


def test_no_text_never_writes_any(run: Path, tmp_path: Path) -> None:
    flags = [*data_arguments(tmp_path), *QUICK]
    result = unlearn("forget", *flags, "--no-text", "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    assert not texts_in(tmp_path / "run") and read_report(tmp_path / "run")["texts"] == []
    assert read_report(tmp_path / "run")["scores"] == read_report(run)["scores"]
    assert "plain text" not in result.stderr
    again = unlearn("evaluate", tmp_path / "run")
    assert again.exit_code == 0 and not texts_in(tmp_path / "run"), again.stderr


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    result = unlearn("clean", tmp_path)
    assert result.exit_code == 2 and "report.json" in result.stderr
