"""Runs as a comparison reads them: names, protocols, recovery, and a baseline that is no run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.comparing import attack_report, write_run
from unlearn_cli.attack_report import write_attack
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.comparison.result import ComparisonResult
from unlearn_cli.recipes.comparison.runs import RELEARNING, Entry, check_another, read_entries


def run(folder: Path, *probabilities: float, **config: object) -> Entry:
    (entry,) = read_entries([write_run(folder, {"forget.probability": probabilities}, **config)])
    return entry


def test_names_are_the_shortest_ends_of_paths_that_differ(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / place, {"forget.probability": [0.1]}) for place in ("a/x", "b/x", "b/y")]
    assert [entry.name for entry in read_entries(paths[:2])] == ["a/x", "b/x"]
    assert [entry.name for entry in read_entries(paths[1:])] == ["x", "y"]
    assert [entry.name for entry in read_entries([paths[0], tmp_path / "sweep.json"])] == ["x"], "a manifest is no run"
    with pytest.raises(UnlearnError, match="is given twice"):
        read_entries([paths[0], paths[0] / "report.json"])
    with pytest.raises(UnlearnError, match="is not a run folder") as missing:
        read_entries([tmp_path / "b" / "xx", tmp_path / "b" / "z"])
    assert missing.value.hint.startswith(f"did you mean {tmp_path / 'b' / 'x'}? ")
    with pytest.raises(UnlearnError, match="nothing to compare"):
        read_entries([])


def test_a_baseline_that_is_a_run(tmp_path: Path) -> None:
    """The same folder, or the same values on the same rows; one row may have the same value by chance."""
    one, same, other = (
        run(tmp_path / name, *values) for name, values in (("a", (0.1, 0.2)), ("b", (0.1, 0.2)), ("c", (0.1, 0.3)))
    )
    short, shorter = run(tmp_path / "d", 0.1), run(tmp_path / "e", 0.1)
    check_another(other, [one])
    check_another(shorter, [short])
    check_another(shorter, [one])
    check_another(same, [run(tmp_path / "f", 0.1, 0.2, 0.3)])
    for baseline, runs in ((one, [one]), (same, [other, one]), (short, [short])):
        with pytest.raises(UnlearnError, match="every forget row has the same probability"):
            check_another(baseline, runs)


def test_a_limit_counts_by_its_effect(tmp_path: Path) -> None:
    """On 2 rows a limit of 1000 is none; a limit of 1 is one."""
    free, wide, narrow = (
        run(tmp_path / str(limit), 0.1, 0.2, generate_limit=limit).first.protocol("forget") for limit in (None, 1000, 1)
    )
    assert free == wide and (free["generate_limit"], narrow["generate_limit"]) == (2, 1)


@pytest.mark.parametrize(("largest", "interval"), [(0.3, (0.2, 0.4)), (0.5, None)])
def test_recovery_has_the_interval_of_its_own_attack(tmp_path: Path, largest: float, interval: object) -> None:
    """The run's line says 0.3; a report of another attack gives it none."""
    entry = run(tmp_path / "a", 0.1)
    assert entry.score(RELEARNING) is None
    report = json.loads((entry.folder / "report.json").read_text())
    report["attacks"] = {"relearn": {"verdict": "", "recovery": 0.3, "upper_bound": False}}
    (entry.folder / "report.json").write_text(json.dumps(report))
    attack = attack_report()
    attack.recovery["probability"].max = largest
    write_attack(attack, entry.folder / "attacks" / "relearn")
    (entry,) = read_entries([entry.folder])
    score = entry.score(RELEARNING)
    assert score is not None and (score.value, score.ci) == (0.3, interval)
    assert entry.score(RELEARNING, "before") is None


def test_a_result_names_its_runs_and_its_front() -> None:
    row = {"status": "completed", "values": {"forget.probability": {"value": 0.1}}}
    result = ComparisonResult(runs=[{"name": "a"} | row, {"name": "b"} | row], front={"runs": ["b"]})
    assert result.headline() == "a, b; best trade-offs: b"
    assert result.table()[0] == {"run": "a", "status": "completed", "forget.probability": 0.1}
    assert ComparisonResult(runs=[{"name": "a"} | row], front={"runs": []}).headline() == "a"


@pytest.mark.parametrize(("later", "value"), [({}, 0.3), ({"max_new_tokens": 8}, 0.1)])
def test_a_later_evaluation_comes_first_unless_it_measured_otherwise(tmp_path: Path, later: object, value: float) -> None:
    folder = run(tmp_path / "a", 0.1).folder
    write_run(folder / "evaluation", {"forget.probability": [0.3]}, command="evaluate", **later)
    assert read_entries([folder])[0].value("forget.probability") == value


def test_rows_of_either_report_are_rows(tmp_path: Path) -> None:
    """The run has values of its rows, its later evaluation has none; without both files no row has a value."""
    folder = run(tmp_path / "a", 0.1, 0.2).folder
    (write_run(folder / "evaluation", {"forget.probability": [0.1, 0.2]}, command="evaluate") / "rows.jsonl").unlink()
    (entry,) = read_entries([folder])
    assert entry.later is not None and entry.has_rows and entry.ids("forget") == {"forget-0", "forget-1"}
    (folder / "rows.jsonl").unlink()
    assert not read_entries([folder])[0].has_rows
