"""A run on a run: requests that come one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import DEMO, QUICK, read_report, unlearn, write_rows
from unlearn_cli.demo.facts import splits
from unlearn_cli.hashing import file_sha256

PARTS = splits()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three runs, each on the one before."""
    folder = tmp_path_factory.mktemp("requests")
    retain = write_rows(folder / "retain.jsonl", PARTS["retain"][:16])
    first, second, third = (write_rows(folder / f"{n}.jsonl", PARTS["forget"][4 * n : 4 * n + 4]) for n in range(3))
    base = ("forget", "--model", DEMO, "--forget", first, "--retain", retain, *QUICK, "-o", folder / "one")
    later = (*QUICK, "--lora-r", 16)
    commands = (
        base,
        ("forget", folder / "one", "--forget", second, *later),
        ("forget", folder / "one-2", "--forget", third, *later, "-o", folder / "three"),
    )
    for command in commands:
        result = unlearn(*command)
        assert result.exit_code == 0, result.stderr
    return {"one": folder / "one", "two": folder / "one-2", "three": folder / "three", "folder": folder}


def test_what_was_forgotten_before_is_measured_again(runs: dict[str, Path]) -> None:
    first, second = read_report(runs["one"]), read_report(runs["two"])
    (link,) = second["chain"]
    assert link["run"] == str(runs["one"]) and link["split"] == "forget_1" and link["kept"] is None
    assert link["report_sha256"] == file_sha256(runs["one"] / "report.json")
    assert link["forget_sha256"] == first["data"]["forget"]["sha256"] == second["data"]["forget_1"]["sha256"]
    then = first["scores"]["forget"]["probability"]["after"]["value"]
    assert link["probability"] == then and link["before"] == pytest.approx(then, abs=1e-4)
    assert second["scores"]["forget_1"]["probability"]["after"]["target"] == "min"


def test_the_settings_of_the_earlier_run_are_taken(runs: dict[str, Path]) -> None:
    config = read_report(runs["two"])["config"]
    assert config["retain"] == str(runs["folder"] / "retain.jsonl") and config["model"] == str(runs["one"])


def test_the_chain_is_as_long_as_the_requests(runs: dict[str, Path]) -> None:
    third = read_report(runs["three"])
    assert [link["split"] for link in third["chain"]] == ["forget_1", "forget_2"]
    assert {"forget", "forget_1", "forget_2", "retain"} <= set(third["data"])


def test_rows_that_come_back_end_the_run_as_missed(runs: dict[str, Path], tmp_path: Path) -> None:
    """Retain rows that are the earlier forget rows teach them again."""
    lesson = write_rows(tmp_path / "retain.jsonl", [*PARTS["forget"][:4], *PARTS["retain"][:4]])
    strong = unlearn(
        "forget", "--model", DEMO, "--forget", runs["folder"] / "0.jsonl", "--retain", runs["folder"] / "retain.jsonl",
        "--method", "grad-ascent", "--max-steps", 12, "--generate-limit", 1, "--bootstrap-samples", 50, "-o",
        tmp_path / "gone",
    )  # fmt: skip
    assert strong.exit_code in (0, 4), strong.stderr
    request = (
        "forget", tmp_path / "gone", "--forget", runs["folder"] / "1.jsonl", "--retain", lesson, "--forget-weight", 0.01,
        "--retain-weight", 5, "--retain-term", "nll", "--max-steps", 30, "--generate-limit", 1, "--bootstrap-samples", 50,
        "-o", tmp_path / "again",
    )  # fmt: skip
    refused = unlearn(*request)
    assert refused.exit_code == 2 and not (tmp_path / "again").exists()
    words = "4 rows are in both forget_1, which an earlier run forgot, and retain (first: 0.jsonl:1 = retain.jsonl:1)"
    assert words in " ".join(refused.stderr.split())
    again = unlearn(*request, "--allow-overlap")
    report = read_report(tmp_path / "again")
    assert report["chain"][0]["returned"] and report["status"] in ("not_reached", "no_effect"), again.stderr
    assert again.exit_code == 4 and "is known again" in again.stderr


def test_rows_that_are_gone(runs: dict[str, Path], tmp_path: Path) -> None:
    other = write_rows(tmp_path / "retain.jsonl", PARTS["retain"][:4])
    moved = runs["folder"] / "0.jsonl"
    kept = moved.read_text()
    try:
        write_rows(moved, PARTS["forget"][8:10])
        result = unlearn(
            "forget", runs["one"], "--forget", runs["folder"] / "1.jsonl", "--retain", other, "-o", tmp_path / "x"
        )
        assert result.exit_code == 2 and "are not those of" in result.stderr and "--model" in result.stderr
    finally:
        moved.write_text(kept)
    both = unlearn("forget", runs["one"], "--model", DEMO, "--forget", moved, "-o", tmp_path / "x")
    assert both.exit_code == 2 and "RUN and --model" in both.stderr
