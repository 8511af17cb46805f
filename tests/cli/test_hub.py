"""The command line against a Hub on the loopback: models and data sets, and every refusal in words."""

import json
import shutil

import pytest

from tests.cli.running import MODEL, QUICK, started, write_rows
from tests.hub_server import FakeHub
from unlearn_cli.demo.facts import splits


@pytest.fixture
def hub(tmp_path):
    """A Hub with a model, and a data set with forget and retain rows."""
    model, data = tmp_path / "served-model", tmp_path / "served-data"
    shutil.copytree(MODEL, model)
    data.mkdir()
    write_rows(data / "train.jsonl", splits()["forget"][:8])
    write_rows(data / "test.jsonl", splits()["retain"][:16])
    with FakeHub({"model": {"org/tiny": model}, "dataset": {"org/people": data}}) as outcome:
        yield outcome


def run(hub, tmp_path, *extra):
    """Exit code, stdout and stderr (on one line) of a run whose model and data come from the Hub."""
    data = ("--forget", "hf:org/people:train", "--retain", "hf:org/people:test")
    environment = hub.environment(tmp_path / "home")
    process = started("forget", "-m", "org/tiny", *data, *QUICK, "-o", tmp_path / "run", *extra, **environment)
    stdout, stderr = process.communicate(timeout=180)
    return process.returncode, stdout, " ".join(stderr.split())


def test_model_and_data_come_from_the_hub_with_their_commits_and_serve_offline_later(hub, tmp_path):
    code, stdout, stderr = run(hub, tmp_path)
    assert code == 0, stderr
    assert stdout == f"{tmp_path}/run/report.json\n"
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["model"]["model"] == "org/tiny" and report["model"]["revision"] == hub.commit("org/tiny")
    assert report["data"]["forget"]["revision"] == hub.commit("org/people")
    adapter = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert (adapter["base_model_name_or_path"], adapter["revision"]) == ("org/tiny", hub.commit("org/tiny"))
    code, _, stderr = run(hub, tmp_path, "--offline", "--overwrite")
    assert code == 0, stderr


@pytest.mark.parametrize(
    ("mode", "message", "hint", "expected"),
    [
        ("gated", "is gated", "hf auth login", 2),
        ("private", "not found", "hf auth login", 2),
        ("missing", "not found", "check the spelling", 2),
        ("broken", "broke off", "run the same command again", 1),
    ],
)
def test_refusals_of_a_model(hub, tmp_path, mode, message, hint, expected):
    hub.modes["org/tiny"] = mode
    code, stdout, stderr = run(hub, tmp_path)
    assert code == expected, stderr
    assert "model org/tiny" in stderr and message in stderr and hint in stderr
    assert "Traceback" not in stderr and stdout == "" and not (tmp_path / "run").exists()


def test_an_unknown_revision(hub, tmp_path):
    code, _, stderr = run(hub, tmp_path, "--revision", "none-such")
    assert code == 2 and "no revision" in stderr
