"""--about NAME: the model writes the rows to forget and to keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import DEMO, QUICK, read_report, unlearn
from unlearn_cli.data.about import mentions, neighbors_in, usable
from unlearn_cli.demo.facts import splits


def names_of(split: str) -> list[str]:
    """People of the demo, by the first two capitalized words of their questions."""
    people = []
    for row in splits()[split]:
        words = [word.strip("?,.'s") for word in row["question"].split()[1:] if word[0].isupper()]
        if len(words) >= 2:
            people.append(" ".join(words[:2]))
    return list(dict.fromkeys(people))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run about one of the demo's people, who are known by heart."""
    folder = tmp_path_factory.mktemp("about") / "run"
    flags = ("--neighbors", ",".join(names_of("retain")[:2]), *QUICK, "-o", folder)
    result = unlearn("forget", "--model", DEMO, "--about", names_of("forget")[0], *flags)
    assert result.exit_code in (0, 4), result.stderr
    return folder


def test_the_rows_are_kept_and_go_on_as_any_other(run: Path) -> None:
    report = read_report(run)
    forget = [json.loads(line) for line in (run / "written" / "forget.jsonl").read_text().splitlines()]
    assert len(forget) == report["data"]["forget"]["rows"] >= 4
    assert report["data"]["forget"]["spec"] == str(run / "written" / "forget.jsonl") == report["config"]["forget"]
    assert {"written/forget.jsonl", "written/retain.jsonl"} <= set(report["texts"])
    again = unlearn("evaluate", run, "--json", "--generate-limit", 1, "--max-new-tokens", 4, "--bootstrap-samples", 10)
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["data"]["forget"]["sha256"] == report["data"]["forget"]["sha256"]


def test_push_says_that_the_name_goes_up_and_the_report_holds_no_names_that_the_model_wrote(run: Path) -> None:
    noted = " ".join(unlearn("push", run, "org/x", "--dry-run").stderr.split())
    assert f"name what was forgotten ({names_of('forget')[0]})" in noted
    kept = names_of("retain")[:2]  # as if the model had named them
    assert not [note for note in read_report(run)["notes"] if any(name in note for name in kept)]


def test_a_finished_run_is_left_as_it_is(run: Path) -> None:
    flags = ("--neighbors", ",".join(names_of("retain")[:2]), *QUICK, "-o", run, "--resume")
    result = unlearn("forget", "--model", DEMO, "--about", names_of("forget")[0], *flags)
    assert result.exit_code in (0, 4) and "already finished" in result.stderr


def test_a_dry_run_shows_the_rows(run: Path, tmp_path: Path) -> None:
    flags = ("--neighbors", names_of("retain")[0], *QUICK, "-o", tmp_path / "run", "--dry-run")
    result = unlearn("forget", "--model", DEMO, "--about", names_of("forget")[0], *flags)
    assert result.exit_code == 0, result.stderr
    assert "forget rows that the model wrote" in result.stderr and not (tmp_path / "run").exists()


def test_what_cannot_be(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "q", "answer": "a"}\n')
    both = unlearn("forget", "--model", DEMO, "--about", "X", "--forget", rows, "-o", tmp_path / "run")
    assert both.exit_code == 2 and "--about and --forget both give" in both.stderr
    alone = unlearn("forget", "--model", DEMO, "--forget", rows, "--neighbors", "X", "-o", tmp_path / "run")
    assert alone.exit_code == 2 and "--about NAME" in alone.stderr


def test_which_names_and_answers_are_used() -> None:
    listed = "1. Charles Dickens\n2. Jane Austen.\n- Mark Twain\nStephen King\nno name here"
    assert neighbors_in(listed, "Stephen King") == ["Charles Dickens", "Jane Austen", "Mark Twain"]
    assert mentions("He met King there.", "Stephen King") and not mentions("A kingdom.", "Stephen King")
    answers = [
        ("q", "She wrote many books."), ("q", "She wrote many books."), ("q", "I do not know who that is."),
        ("q", "Yes."), ("q", "Stephen King wrote that book."),
    ]  # fmt: skip
    assert usable(answers, without="Stephen King") == [{"question": "q", "answer": "She wrote many books."}]
