"""`unlearn report RUN`: the record, its claim by rule, and verdicts on people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import BASELINE, MODEL, QUICK, unlearn, write_rows
from unlearn_cli.demo.facts import splits
from unlearn_cli.recipes.record import BROWSERS

needs_browser = pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium is installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A short run that does not forget the rows of two people; attacked, and evaluated beside a baseline with samples."""
    folder, parts = tmp_path_factory.mktemp("record"), splits()
    rows = {name: write_rows(folder / f"{name}.jsonl", parts[name][:count]) for name, count in
            (("forget", 16), ("retain", 8), ("holdout", 4))}  # fmt: skip
    data = [word for name, path in rows.items() for word in (f"--{name}", path)]
    short = ("--generate-limit", 2, "--max-new-tokens", 8, "--bootstrap-samples", 20)
    for words in (
        ("forget", "--model", MODEL, *data, *QUICK, "-o", folder / "run"),
        ("evaluate", folder / "run", "--baseline", BASELINE, "--samples", 3, "--generate-limit", 0),
        ("relearn-attack", folder / "run", "--attack", "prompts", "--eval-limit", 4, *short),
    ):
        result = unlearn(*words)
        assert result.exit_code in (0, 4), result.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def page(run) -> tuple[str, dict]:
    """The page, and what --json says."""
    path = run.parent / "record.html"
    result = unlearn("report", run, "--html", path, "--request-id", "2026-114", "--subject-id", "person", "--json")
    assert result.exit_code == 0, result.stderr
    return path.read_text(encoding="utf-8"), json.loads(result.stdout)


def test_what_is_not_forgotten_gets_no_claim(page):
    text, summary = page
    assert summary["claim"] == "no claim" and "No claim is made" in text
    failing = [one["text"] for one in summary["conditions"] if one["level"] == 1 and not one["holds"]]
    assert failing and all(one in text for one in failing)


def test_each_person_has_a_verdict_with_bounds(page):
    people = page[1]["people"]
    assert {person["name"] for person in people} == {row["person"] for row in splits()["forget"][:16]}
    for person in people:
        assert person["verdict"].startswith("not forgotten") and person["rows"] > 1
        assert 0 < person["exact"] <= 1 and 0 < person["sampled"] <= person["sampled_any"] <= 1 and person["draws"] == 3


def test_the_page_has_no_text_of_a_row_no_script_and_no_link(page):
    text = page[0]
    for row in splits()["forget"][:16]:
        assert row["answer"] not in text and row["question"] not in text and row["id"] in text or row["id"] not in text
    assert "<script" not in text and "http" not in text and "2026-114" in text
    for said in ("prompts", "relearn", "SHA-256", "unlearn reproduce", "model.safetensors", "at 0.1 %", "tokens trained on"):
        assert said in text


def test_the_record_is_in_the_lineage(run, page):
    assert unlearn("verify", run, "--quiet").exit_code == 0
    path = run.parent / "record.html"
    path.write_text(page[0].replace("No claim is made", "All is gone"), encoding="utf-8")
    result = unlearn("verify", run)
    path.write_text(page[0], encoding="utf-8")
    changed = [line for line in result.stdout.splitlines() if line.startswith("changed")]
    assert result.exit_code == 3 and len(changed) == 1 and "record/record.html" in changed[0]


@pytest.mark.parametrize("form", ["json", "csv"])
def test_people_can_be_in_a_file(run, tmp_path, form):
    ids = [row["id"] for row in splits()["forget"][:16]]
    path = tmp_path / f"people.{form}"
    if form == "json":
        path.write_text(json.dumps(dict.fromkeys(ids, "114")))
    else:
        path.write_text("id,subject\n" + "".join(f"{name},114\n" for name in ids))
    result = unlearn("report", run, "--subject-id", path, "--json")
    assert result.exit_code == 0, result.stderr
    assert [(p["name"], p["rows"]) for p in json.loads(result.stdout)["people"]] == [("114", 16)]


@needs_browser
def test_it_is_printed(run, tmp_path):
    result = unlearn("report", run, "--pdf", tmp_path / "record.pdf")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "record.pdf").read_bytes().startswith(b"%PDF")


def test_what_cannot_be_recorded_is_said_with_the_next_step(run, tmp_path, monkeypatch):
    (tmp_path / "people.json").write_text('{"nobody": "114"}')
    for words, said in (
        (("report", run), "no output is given"),
        (("report", tmp_path, "--json"), "not a run folder"),
        (("report", run, "--json", "--subject-id", "nothing"), "has no column nothing"),
        (("report", run, "--json", "--subject-id", tmp_path / "people.json"), "rows have no person"),
        (("report", run, "--html", tmp_path), "a file is needed"),
    ):
        result = unlearn(*words)
        assert result.exit_code == 2 and said in result.stderr, result.stderr
    monkeypatch.setenv("PATH", str(tmp_path))
    result = unlearn("report", run, "--pdf", tmp_path / "record.pdf")
    assert result.exit_code == 2 and "needs a browser" in result.stderr
