"""When a run folder may be written to, and what is taken away there: never what no run has written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import QUICK, data_arguments, unlearn
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.storage.run_folder import RunFolder

REPORT = {"schema_version": "1.0", "command": "forget", "scores": {}}
MARKS = {
    "report.json": REPORT,
    "unlearn.json": {"kind": "adapter", "base_model": "m"},
    "plan.json": {"settings": {}, "model": "", "data": {}},
}


def filled(folder: Path, **files: object) -> RunFolder:
    """A folder with these files (`__` is the dot) and a folder `reference` with a file."""
    (folder / "reference").mkdir(parents=True)
    (folder / "reference" / "any.txt").write_text("any")
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content if isinstance(content, str) else json.dumps(content))
    return RunFolder(folder)


def names(folder: RunFolder) -> set[str]:
    return {path.name for path in folder.path.iterdir()}


@pytest.mark.parametrize("how", [{"overwrite": True, "resume": False}, {"overwrite": False, "resume": True}])
def test_a_project_with_common_names_is_no_run(tmp_path, how):
    """README.md, reference and evaluation are names of a run's files, and of anybody's."""
    project = filled(tmp_path / "proj", README__md="mine", report__json={"tests": 3}, unlearn__json=[], plan__json={})
    (project.path / ".git").mkdir()
    with pytest.raises(UnlearnError, match="holds files that no run has written: .git, README.md"):
        project.check(**how)


@pytest.mark.parametrize("how", [{"overwrite": True, "resume": False}, {"overwrite": False, "resume": True}])
def test_an_evaluation_is_no_run_even_beside_the_model(tmp_path, how):
    """`unlearn evaluate --model base -o base` leaves a report there; overwriting it would cost the model."""
    evaluated = REPORT | {"command": "evaluate"}
    model = filled(tmp_path / "base", report__json=evaluated, config__json="{}", model__safetensors="weights")
    with pytest.raises(UnlearnError, match="no run has written: config.json, model.safetensors"):
        model.check(**how)
    with pytest.raises(UnlearnError, match="is not empty"):
        model.check(overwrite=False, resume=False)


def test_of_a_finished_run_only_the_files_of_its_report_are_its(tmp_path):
    report = REPORT | {"artifact": {"files": {"adapter_model.safetensors": "sha"}}}
    run = filled(tmp_path / "run", report__json=report, adapter_model__safetensors="", vocab__txt="mine")
    with pytest.raises(UnlearnError, match="no run has written: vocab.txt$"):
        run.check(overwrite=True, resume=False)


@pytest.mark.parametrize("mark", MARKS)
def test_a_run_with_anything_else_in_it_is_left_alone(tmp_path, mark):
    run = filled(tmp_path / "run", **{mark.replace(".", "__"): MARKS[mark]}, README__md="card")
    run.check(overwrite=True, resume=False)
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(UnlearnError, match=r"no run has written: notes.txt$"):
        run.check(overwrite=True, resume=False)
    run.check(overwrite=False, resume=True)  # which takes nothing away


def test_overwriting_takes_away_what_a_run_writes(tmp_path):
    """What an interrupted saving leaves, and nothing that came in the meantime."""
    files = ("adapter_model.safetensors", "tokenizer.json", "model-00001-of-00002.safetensors", "report.json.12.part")
    content = {f.replace(".", "__"): "" for f in files}
    run = filled(tmp_path / "run", plan__json=MARKS["plan.json"], **content)
    run.check(overwrite=True, resume=False)
    (run.path / "notes.txt").write_text("mine")
    run.open(clear=True)
    assert names(run) == {"notes.txt"}


def test_what_an_interrupted_clearing_leaves_is_still_a_run(tmp_path, monkeypatch):
    run = filled(tmp_path / "run", report__json=REPORT, README__md="card", plan__json=MARKS["plan.json"])
    removed = []

    def stop(path):
        removed.append(path.name)
        if len(removed) > 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("unlearn_cli.recipes.storage.run_folder.remove", stop)
    with pytest.raises(KeyboardInterrupt):
        run.open(clear=True)
    assert set(removed[:2]) == {"README.md", "reference"}


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/run"):
        with pytest.raises(UnlearnError, match="is a file"):
            RunFolder(tmp_path / place).check(overwrite=True, resume=False)


def test_overwrite_wipes_no_project(tmp_path):
    """The whole command, as somebody would type it in the wrong place."""
    project = tmp_path / "proj"
    (project / ".git").mkdir(parents=True)
    for name in ("README.md", "main.py", ".git/HEAD"):
        (project / name).write_text(name)
    result = unlearn("forget", *data_arguments(tmp_path), *QUICK, "-o", project, "--overwrite")
    assert result.exit_code == 2 and "holds files that no run has written" in " ".join(result.stderr.split())
    assert all((project / name).read_text() == name for name in ("README.md", "main.py", ".git/HEAD"))
