"""`unlearn sweep --search`."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path

import pytest

from tests.cli.running import data_arguments, unlearn
from unlearn_cli.recipes.sweeping import workers

FEW = ("--batch-size", 4, "--generate-limit", 2, "--max-new-tokens", 4, "--bootstrap-samples", 20)
SPACE = ("--method", "npo", "--grid", "learning_rate=1e-4:2e-2:log", "-p", "beta=0.05:0.5", "--max-steps", 20)
SEARCH = (*FEW, *SPACE, "--search", 7)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    return data_arguments(tmp_path_factory.mktemp("search-data"))


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory) -> tuple[Path, dict, str]:
    """A search of seven settings, its result and what it said."""
    folder = tmp_path_factory.mktemp("searched") / "s"
    result = unlearn("sweep", *data, *SEARCH, "-o", folder, "--json", target=True)
    assert result.exit_code in (0, 4), result.stderr
    return folder, json.loads(result.stdout), result.stderr


def trials(folder: Path) -> dict[str, dict]:
    return {name: entry["trial"] for name, entry in json.loads((folder / "sweep.json").read_text()).items()}


def test_a_search_stays_in_its_ranges_and_names_the_best(searched):
    folder, result, said = searched
    tried = trials(folder)
    assert [trial["number"] for trial in tried.values()] == list(range(7)) and result["search"]["trials"] == 7
    assert all(1e-4 <= trial["parameters"]["learning_rate"] <= 2e-2 for trial in tried.values())
    assert all(0.05 <= trial["parameters"]["npo.beta"] <= 0.5 for trial in tried.values())
    assert len({trial["parameters"]["learning_rate"] for trial in tried.values()}) == 7
    best = result["search"]["best"]
    assert Path(result["runs"][0]["name"]).name == best and f": {best}, which " in said
    settings = json.loads((folder / best / "report.json").read_text())["config"]
    assert settings["learning_rate"] == tried[best]["parameters"]["learning_rate"]
    assert settings["parameters"] == {"beta": tried[best]["parameters"]["npo.beta"]}


def test_a_run_that_stands_badly_ends_early(searched):
    """The probes of the runs before decide. Such a run has no report, and is not in the comparison."""
    folder, result, _ = searched
    pruned = {name: trial["pruned"] for name, trial in trials(folder).items() if trial["pruned"]}
    assert pruned and sorted(pruned) == sorted(result["search"]["pruned"])
    assert len(result["runs"]) == 7 - len(pruned)
    for name, step in pruned.items():
        assert not (folder / name / "report.json").exists() and not (folder / name / "checkpoints").exists()
        lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        assert lines[-1]["step"] == step < 20


def test_the_same_command_runs_nothing_again(data, searched):
    folder, result, _ = searched
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*/report.json")}
    again = unlearn("sweep", *data, *SEARCH, "-o", folder, "--json", target=True)
    assert "7 of 7 settings were tried before" in again.stderr
    assert json.loads(again.stdout)["search"] == result["search"] and json.loads(again.stdout)["sweep"]["new_runs"] == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/report.json")} == written


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(data, searched, tmp_path):
    """What is left after a kill: the first four trials, and the fifth in the middle of its training."""
    folder, _, _ = searched
    tried = json.loads((folder / "sweep.json").read_text())
    (tmp_path / "s").mkdir()
    for name in list(tried)[:5]:
        shutil.copytree(folder / name, tmp_path / "s" / name)
    (tmp_path / "s" / "sweep.json").write_text(json.dumps(dict(list(tried.items())[:4])))
    shutil.rmtree(tmp_path / "s" / list(tried)[4])
    result = unlearn("sweep", *data, *SEARCH, "-o", tmp_path / "s", target=True)
    assert result.exit_code in (0, 4) and "4 of 7 settings were tried before" in result.stderr, result.stderr
    assert trials(tmp_path / "s") == trials(folder)


def test_more_settings_and_a_wider_range_go_on_from_the_trials_that_are_there(data, searched, tmp_path):
    folder = shutil.copytree(searched[0], tmp_path / "s")
    wider = (*FEW, *SPACE[:2], "--grid", "learning_rate=1e-5:2e-2:log", *SPACE[4:], "--search", 8)
    result = unlearn("sweep", *data, *wider, "-o", folder, target=True)
    assert "7 of 8 settings were tried before" in result.stderr and "run 8 of 8" in result.stderr
    other = unlearn("sweep", *data, *wider, "--retain-weight", 3, "-o", folder, target=True)
    assert other.exit_code == 2 and "retain_weight" in other.stderr and "--overwrite" in other.stderr


def test_a_dry_run_shows_the_space_and_the_next_setting(data, tmp_path):
    result = unlearn("sweep", *data, *SEARCH, "-o", tmp_path / "s", "--dry-run", "--json", target=True)
    assert result.exit_code == 0 and "learning_rate: 1e-4:2e-2:log" in result.stderr
    assert [run["state"] for run in json.loads(result.stdout)["runs"]] == ["new"] and not (tmp_path / "s").exists()


def test_a_budget_ends_a_search(data, tmp_path):
    budget = ("--budget-minutes", 0.0001)
    result = unlearn("sweep", *data, *SEARCH, "--max-steps", 2, "-o", tmp_path / "s", *budget)
    tried = len(trials(tmp_path / "s")) if (tmp_path / "s" / "sweep.json").exists() else 0
    assert tried < 7 and f"{7 - tried} runs left out" in result.stderr


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_search_over_names_tries_each_once(data, tmp_path, monkeypatch, jobs):
    """Two methods and one of them with two values: three settings, whatever N is; also on two devices at once."""
    monkeypatch.setattr(workers, "devices", lambda choice, jobs: ["cpu"] * jobs)
    flags = ("--methods", "npo,grad-diff", "-p", "npo.beta=0.1,0.5", "--max-steps", 2, "--search", 9, "--jobs", jobs)
    result = unlearn("sweep", *data, *FEW, *flags, "-o", tmp_path / "s", "--json")
    assert result.exit_code in (0, 4), result.stderr
    assert sorted(trials(tmp_path / "s")) == ["grad-diff", "npo-beta=0.1", "npo-beta=0.5"], result.stderr
    assert json.loads(result.stdout)["sweep"]["runs"] == 3


def test_a_score_of_ones_own_is_what_is_searched_for(data, tmp_path):
    flags = ("--methods", "npo,grad-diff", "--max-steps", 2, "--search", 2, "--score", "0 - retain.probability")
    result = json.loads(unlearn("sweep", *data, *FEW, *flags, "-o", tmp_path / "s", "--json").stdout)
    scores = [run["score"] for run in result["runs"]]
    assert scores == sorted(scores, reverse=True)
    assert math.isclose(result["search"]["value"], -scores[0])


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--grid", "learning_rate=1e-4:1e-2:log"], "is a range"),
        (
            ["--grid", "learning_rate=1e-2:1e-4", "--search", 3],
            "learning_rate=1e-2:1e-4: a range begins with its smaller end",
        ),
        (["--grid", "learning_rate=0:1e-4:log", "--search", 3], "learning_rate=0:1e-4:log: both ends"),
        (["--grid", "learning_rate=1e-3:1e-2,4", "--search", 3], "a range and other values"),
        (["--grid", "learning_rate=1:300", "--search", 3], "less than or equal to 100"),
        (["-p", "beta=-1:1", "--search", 3], "beta"),
        (["--search", 3], "varies nothing"),
        (["--search", 3, "--methods", "npo,simnpo", "--seeds", "0,1"], "--seed gives"),
        (["--search", 3, "--methods", "npo,simnpo", "--halving"], "--halving is for a grid"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(data, tmp_path, flags, says):
    result = unlearn("sweep", *data, *flags, "-o", tmp_path / "s")
    assert result.exit_code == 2 and says in result.stderr and "hint:" in result.stderr


def test_without_optuna_the_line_that_installs_it(data, tmp_path, monkeypatch):
    finder = importlib.util.find_spec
    monkeypatch.setattr(
        "unlearn_cli.recipes.checking.sweep.find_spec", lambda name: None if name == "optuna" else finder(name)
    )
    result = unlearn("sweep", *data, *SEARCH, "-o", tmp_path / "s")
    assert result.exit_code == 2 and "pip install 'unlearn-cli[search]'" in result.stderr
