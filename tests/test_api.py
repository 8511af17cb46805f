"""The commands from Python, as docs/guides/python.md shows them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import unlearn_cli
from tests.cli.running import DEMO as MODEL
from tests.cli.running import DEMO_BASELINE as BASELINE
from tests.cli.running import write_rows
from unlearn_cli.config import CompareConfig, ForgetConfig, SweepConfig
from unlearn_cli.demo.facts import splits
from unlearn_cli.errors import UnlearnError


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder, parts = tmp_path_factory.mktemp("api"), splits()
    return write_rows(folder / "f.jsonl", parts["forget"][:8]), write_rows(folder / "r.jsonl", parts["retain"][:16])


def test_the_whole_story(rows, tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARN_CACHE", str(tmp_path / "cache"))
    few = {"generate_limit": 2, "max_new_tokens": 8, "bootstrap_samples": 20}
    report = unlearn_cli.forget(
        model=MODEL, forget=str(rows[0]), retain=str(rows[1]), method="npo", parameters={"beta": 0.1}, max_steps=8,
        batch_size=4, learning_rate=3e-3, no_target=True, output_dir=tmp_path / "run", **few,
    )  # fmt: skip
    assert report.training.steps == 8 and report.config["parameters"]["beta"] == 0.1
    again = unlearn_cli.evaluate(tmp_path / "run", baseline=BASELINE)
    assert again.scores["forget"]["probability"].after == report.scores["forget"]["probability"].after
    attacks = unlearn_cli.relearn_attack(tmp_path / "run", parameters={"steps": "0+2"}, skip_original=True, **few)
    assert attacks["relearn"].recovery["probability"].max is not None
    message = unlearn_cli.compare(tmp_path / "run")
    assert message["runs"][0]["values"]["relearn.recovery"]["value"] is not None
    assert unlearn_cli.load(str(tmp_path / "run")).generate is not None


def test_settings_objects(rows, tmp_path):
    """One object for several runs, and fields by name over it."""
    settings = ForgetConfig(
        model=MODEL, forget=str(rows[0]), retain=str(rows[1]), max_steps=4, batch_size=4, generate_limit=2,
        max_new_tokens=8, bootstrap_samples=20, no_target=True, no_general=True,
    )  # fmt: skip
    runs = [unlearn_cli.forget(settings, seed=seed, output_dir=tmp_path / str(seed)) for seed in (0, 1)]
    assert [run.config["seed"] for run in runs] == [0, 1] and runs[0].config_sources["epochs"] == "default"
    message = unlearn_cli.compare(settings=CompareConfig(runs=(tmp_path / "0", tmp_path / "1"), bootstrap_samples=10))
    assert len(message["runs"]) == 2
    with pytest.raises(UnlearnError, match="CompareConfig"):
        unlearn_cli.forget(CompareConfig())
    merged = unlearn_cli.merge(tmp_path / "0", output_dir=tmp_path / "model", rows=2)
    assert (merged / "config.json").is_file()
    data = {"model": MODEL, "forget": str(rows[0]), "retain": str(rows[1]), "bootstrap_samples": 10, "generate_limit": 1}
    short = {"max_steps": 2, "no_target": True, "no_general": True}
    swept = unlearn_cli.sweep(SweepConfig(**data, **short), seeds=(0, 1), output_dir=tmp_path / "sweep")
    assert swept["sweep"]["new_runs"] == 2


def test_from_another_thread(rows, tmp_path):
    """Python lets only the main thread set handlers of signals."""
    settings = {
        "max_steps": 2,
        "no_target": True,
        "no_general": True,
        "batch_size": 4,
        "generate_limit": 1,
        "max_new_tokens": 4,
    }
    given = {"model": MODEL, "forget": str(rows[0]), "retain": str(rows[1]), "output_dir": tmp_path / "run", **settings}
    reports = []
    thread = threading.Thread(target=lambda: reports.append(unlearn_cli.forget(**given)))
    thread.start()
    thread.join()
    assert [report.training.steps for report in reports] == [2]


def test_errors_are_those_of_the_command(tmp_path):
    with pytest.raises(UnlearnError, match="unknown"):
        unlearn_cli.forget(model=MODEL, forget="x.jsonl", method="nop", output_dir=tmp_path)
    with pytest.raises(UnlearnError):
        unlearn_cli.forget(modell=MODEL)
    with pytest.raises(UnlearnError, match="ending in .png"):  # before a run is looked for
        unlearn_cli.compare("nowhere", plot="front.gif")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": -1}, "epochs=-1: must be greater than 0"),
        ({"parameters": ["beta"]}, "parameters=['beta']: 'beta' cannot be read"),
        ({"method": 3}, "method=3: "),
    ],
)
def test_a_wrong_value_is_told_by_its_keyword(given, message):
    with pytest.raises(UnlearnError) as caught:
        unlearn_cli.forget(**given)
    assert caught.value.message.startswith(message)
    with pytest.raises(UnlearnError, match="^bootstrap_samples=0: "):
        unlearn_cli.compare("a", bootstrap_samples=0)


def test_importing_it_is_light():
    code = (
        "import sys, unlearn_cli\nfrom unlearn_cli import forget, evaluate, compare, load, merge, relearn_attack, sweep\n"
        "assert not {'torch', 'pydantic', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("call", ["forget", "evaluate", "sweep", "load"])
def test_offline_means_the_same_as_on_the_command_line(call, rows, tmp_path, monkeypatch):
    """Nothing is asked of the Hub, and the process is online again afterwards."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("unlearn_cli.models.source.HfApi", lambda: pytest.fail("the Hub was asked"))
    data = {"forget": str(rows[0]), "retain": str(rows[1]), "output_dir": tmp_path / "out"}
    name = "org/is-not-here"
    with pytest.raises(UnlearnError, match=f"offline, and {name}"):
        if call == "load":
            unlearn_cli.load(name, offline=True)
        else:
            getattr(unlearn_cli, call)(model=name, offline=True, **data)
    assert not constants.HF_HUB_OFFLINE and "HF_HUB_OFFLINE" not in os.environ


def test_a_run_is_uploaded_from_python_as_well(rows, tmp_path, monkeypatch):
    uploads = []
    monkeypatch.setattr("unlearn_cli.recipes.push.check_upload", lambda repo: None)
    monkeypatch.setattr("unlearn_cli.recipes.push.run", lambda config, *_: uploads.append(config) or {"address": ""})
    unlearn_cli.forget(
        model=MODEL, forget=str(rows[0]), retain=str(rows[1]), max_steps=4, batch_size=4, generate_limit=1, max_new_tokens=4,
        bootstrap_samples=10, no_target=True, no_general=True, output_dir=tmp_path / "run", push_to_hub="org/name",
    )  # fmt: skip
    assert [(one.run, one.repo, one.public) for one in uploads] == [(tmp_path / "run", "org/name", False)]
