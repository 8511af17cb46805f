"""The command line against a Hub on the loopback: models and data sets, and every refusal in words."""

import json
import shutil

import pytest

from tests.cli.fresh import EVERYTHING, Server
from tests.cli.running import MODEL, QUICK, QUICKLY, write_rows
from tests.hub_server import FakeHub
from unlearn_cli.demo.facts import splits

MODES = ("gated", "private", "missing", "broken")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub with a model, the same under names that it refuses, and a data set with forget and retain rows."""
    model, data = tmp_path_factory.mktemp("served-model") / "model", tmp_path_factory.mktemp("served-data")
    shutil.copytree(MODEL, model)
    write_rows(data / "train.jsonl", splits()["forget"][:8])
    write_rows(data / "test.jsonl", splits()["retain"][:16])
    models, modes = dict.fromkeys(["org/tiny", *(f"org/{mode}" for mode in MODES)], model), {f"org/{m}": m for m in MODES}
    with FakeHub({"model": models, "dataset": {"org/people": data}}, modes) as outcome:
        yield outcome


@pytest.fixture(scope="module")
def run(hub, tmp_path_factory):
    """Exit code, stdout and stderr (on one line) of a run whose model and data come from the Hub."""
    data = ("--forget", "hf:org/people:train", "--retain", "hf:org/people:test")
    with Server(EVERYTHING, hub.environment(tmp_path_factory.mktemp("home"))) as server:

        def run(folder, *extra, model="org/tiny"):
            done = server.run("forget", "-m", model, *data, *QUICK, "-o", folder / "run", *extra, **QUICKLY)
            return done.returncode, done.stdout, " ".join(done.stderr.split())

        yield run


def test_model_and_data_come_from_the_hub_with_their_commits_and_serve_offline_later(hub, run, tmp_path):
    code, stdout, stderr = run(tmp_path)
    assert code == 0, stderr
    assert stdout == f"{tmp_path}/run/report.json\n"
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["model"]["model"] == "org/tiny" and report["model"]["revision"] == hub.commit("org/tiny")
    assert report["data"]["forget"]["revision"] == hub.commit("org/people")
    adapter = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert (adapter["base_model_name_or_path"], adapter["revision"]) == ("org/tiny", hub.commit("org/tiny"))
    code, _, stderr = run(tmp_path, "--offline", "--overwrite")
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
def test_refusals_of_a_model(run, tmp_path, mode, message, hint, expected):
    code, stdout, stderr = run(tmp_path, model=f"org/{mode}")
    assert code == expected, stderr
    assert f"model org/{mode}" in stderr and message in stderr and hint in stderr
    assert "Traceback" not in stderr and stdout == "" and not (tmp_path / "run").exists()


def test_an_unknown_revision(run, tmp_path):
    code, _, stderr = run(tmp_path, "--revision", "none-such")
    assert code == 2 and "no revision" in stderr
