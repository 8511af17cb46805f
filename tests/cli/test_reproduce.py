"""`unlearn reproduce`: the same floats on a CPU; what is not the same is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import BASELINE, MODEL, QUICK, data_arguments, read_report, unlearn
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes import reproduce as recipe
from unlearn_cli.recipes.auditing.likeness import environment_differences, likeness
from unlearn_cli.report import read_report as read


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on a copy of the demo's model, which a test may move."""
    folder = tmp_path_factory.mktemp("reproduce")
    shutil.copytree(MODEL, folder / "model")
    data = ["--model", folder / "model", *data_arguments(folder)[2:]]
    assert unlearn("forget", *data, *QUICK, "--learning-rate", "5e-3", "-o", folder / "run").exit_code == 0
    return folder / "run"


def test_a_run_comes_out_with_the_same_floats(run, tmp_path):
    result = unlearn("reproduce", run, "-o", tmp_path / "again", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["same_floats"] and all(summary["artifact"].values()) and len(summary["scores"]) > 10
    assert "inputs: the same files and rows" in result.stderr and "0 are outside" in result.stderr
    ours, theirs = (read_report(folder)["scores"] for folder in (run, tmp_path / "again"))
    assert ours == theirs
    assert json.loads((tmp_path / "again" / "reproduction.json").read_text())["reproduced"]


def test_what_was_filled_in_is_filled_in_again(run, monkeypatch):
    """Given epochs limit a run with a target, and epochs of the method do not: who set a value counts."""
    seen = {}

    def stop(resolved, command_line):
        seen.update(resolved.settings.sources)
        raise UnlearnError("seen", "enough")

    monkeypatch.setattr(recipe.forget, "write_run", stop)
    assert unlearn("reproduce", run).exit_code == 2
    sources = read(run).config_sources
    filled = [name for name, source in sources.items() if source.startswith("method")]
    assert "retain_ratio" in filled and [seen[name] for name in filled] == [sources[name] for name in filled]
    assert seen["max_steps"].endswith("report.json")


@pytest.mark.slow
def test_the_demos_run_comes_out_with_the_same_floats(tmp_path):
    assert unlearn("demo", "--keep", tmp_path / "demo", target=True).exit_code == 0
    result = unlearn("reproduce", tmp_path / "demo" / "run", "--json", target=True)
    assert result.exit_code == 0 and json.loads(result.stdout)["same_floats"], result.stderr


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model", lambda moved: shutil.copytree(BASELINE, moved), "base/model.safetensors"),
        ("forget", lambda moved: moved.write_text('{"question": "Who?", "answer": "Nobody."}\n'), "data/forget"),
    ],
)
def test_other_inputs_are_named_before_anything_is_run(run, tmp_path, name, change, said):
    change(tmp_path / "moved")
    moved = tmp_path / "moved"
    if name == "forget":
        moved = moved.rename(tmp_path / "forget.jsonl")
    result = unlearn("reproduce", run, "--place", f"{name}={moved}", "--json")
    assert result.exit_code == 3 and said in result.stderr and "not run again" in result.stderr
    assert said in {one["name"] for one in json.loads(result.stdout)["inputs"]}


def test_a_model_that_has_moved_is_the_same_model(run, tmp_path):
    shutil.copytree(run.parent / "model", tmp_path / "elsewhere")
    assert unlearn("reproduce", run, "--place", f"model={tmp_path / 'elsewhere'}", "--quiet").exit_code == 0


def test_scores_outside_of_their_interval_are_named(run, tmp_path):
    first = read(run)
    score = first.scores["forget"]["probability"].after
    wrong = score.model_copy(update={"value": score.ci[1] + 0.1})
    both = first.scores["forget"]["probability"].model_copy(update={"after": wrong})
    forget = {**first.scores["forget"], "probability": both}
    second = first.model_copy(update={"scores": {**first.scores, "forget": forget}})
    result = likeness(first, second)
    assert [pair.name for pair in result.outside] == ["forget.probability"] and not result.reproduced
    assert likeness(first, first).reproduced and likeness(first, first).same_floats


def test_differences_of_the_environment_come_by_how_much_they_matter():
    first = {"packages": {"torch": "2.8", "numpy": "2.0", "typer": "1"}, "memory": 1, "cpu_threads": 1}
    second = {"packages": {"torch": "2.9", "numpy": "2.1", "typer": "2"}, "memory": 1, "cpu_threads": 2}
    differences = environment_differences(first, second)
    assert [(one.name, one.matters) for one in differences] == [
        ("torch", "decides"), ("cpu_threads", "rounds"), ("numpy", "rounds"), ("typer", "none"),
    ]  # fmt: skip


def test_what_cannot_be_reproduced_is_said_with_the_next_step(run, tmp_path):
    for words, said in (
        (("reproduce", tmp_path), "not a run folder"),
        (("reproduce", run, "--place", "nothing=x"), "reads nothing of this name"),
        (("reproduce", run, "--place", f"model={tmp_path / 'none'}"), "not a folder"),
    ):
        result = unlearn(*words)
        assert result.exit_code == 2 and said in result.stderr and "hint" in result.stderr, result.stderr
