"""Data sets of the Hub, served by a loopback one: what is loaded, what is cached, and what is said when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.writing import FACTS, write
from tests.hub_server import FakeHub
from unlearn_cli.data.load import load_split
from unlearn_cli.errors import EXIT_FAILED, EXIT_USAGE

# HF_ENDPOINT is read when the libraries are imported, so each case is a process; one process loads many specs.
LOAD = """
import dataclasses, json, sys, time
time.sleep = lambda seconds: None  # the pauses between retries
from unlearn_cli.data.load import load_split
from unlearn_cli.errors import UnlearnError
found = {}
for spec in sys.argv[1:]:
    try:
        split = load_split("forget", spec, limit=2)
        found[spec] = {"ids": [e.id for e in split.examples], **dataclasses.asdict(split.origin)}
    except UnlearnError as error:
        found[spec] = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
print(json.dumps(found))
"""
DOWNLOAD = "import sys, huggingface_hub; huggingface_hub.snapshot_download(sys.argv[1], repo_type='dataset')"
CONFIGS = """---
configs:
{}---
"""
CONFIG = """- config_name: {0}
  data_files:
  - split: train
    path: {0}/train.jsonl
  - split: test
    path: {0}/test.jsonl
"""


def run(code: str, arguments: list[str], environment: dict[str, str], cwd: Path | None = None) -> tuple[str, str]:
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def loaded(hub: FakeHub, home: Path, *specs: str, **environment: str) -> dict[str, Any]:
    return json.loads(run(LOAD, list(specs), hub.environment(home, **environment))[0])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("repos")
    plain = write(root / "plain" / "train.jsonl", FACTS).parent
    for config in ("easy", "hard"):
        write(root / "configs" / config / "train.jsonl", FACTS)
        write(root / "configs" / config / "test.jsonl", FACTS[:2])
    card = CONFIGS.format("".join(CONFIG.format(name) for name in ("easy", "hard")))
    (root / "configs" / "README.md").write_text(card, encoding="utf-8")
    for name in ("script", "empty", "corrupt"):
        (root / name).mkdir()
    (root / "script" / "script.py").write_text("", encoding="utf-8")
    (root / "empty" / "README.md").write_text("nothing", encoding="utf-8")
    (root / "corrupt" / "train.jsonl").write_text('{"question": "q", "answer": "a"}\n{"question"\n', encoding="utf-8")
    same = dict.fromkeys(("org/plain", "org/gated", "org/private", "org/broken", "org/down"), plain)
    return {**same, **{f"org/{name}": root / name for name in ("configs", "script", "empty", "corrupt")}}


@pytest.fixture(scope="module")
def hub(folders: dict[str, Path]) -> Iterator[FakeHub]:
    modes = {f"org/{mode}": mode for mode in ("gated", "private", "broken", "down")}
    with FakeHub({"dataset": folders}, modes) as hub:
        hub.tags["org/plain"] = {"v1"}
        hub.moved["old"] = "org/plain"
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that is filled by `online` and read by the offline tests."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(hub: FakeHub, home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    specs = [
        "hf:org/plain", "hf:org/plain@v1:train", "hf:old:train[1:]", "hf:org/configs/hard:test",
        "hf:org/configs", "hf:org/configs/hart:train", "hf:org/configs/easy:tset", "hf:org/plain@v2",
        "hf:org/nope", "hf:org/gated", "hf:org/private", "hf:org/down", "hf:org/broken",
        "hf:org/script", "hf:org/empty", "hf:org/corrupt",
    ]  # fmt: skip
    here = tmp_path_factory.mktemp("here")
    write(here / "org" / "plain" / "train.jsonl", [{"text": "a folder that happens to have the data set's name"}])
    out, err = run(LOAD, specs, hub.environment(home), cwd=here)
    assert "%|" not in err and "examples/s" not in err, "a progress bar, though stderr is no terminal"
    return json.loads(out)


def test_rows_revision_and_files(online: dict[str, Any], hub: FakeHub, folders: dict[str, Path]) -> None:
    local = load_split("forget", str(folders["org/plain"] / "train.jsonl"), limit=2)
    for spec in ("hf:org/plain", "hf:org/plain@v1:train"):
        assert online[spec] == {
            "ids": ["0", "1"],
            "spec": spec,
            "files": ["train.jsonl"],
            "format": "question-answer",
            "rows": 2,
            "rows_in_source": 3,
            "sha256": local.origin.sha256,
            "revision": hub.commit("org/plain"),
            "columns": ["question", "answer"],
            "unread": [],
            "repeated_ids": [],
            "published": None,
            "pinned": False,  # a tag can move
        }


def test_slice_of_an_old_name_and_config(online: dict[str, Any], hub: FakeHub) -> None:
    sliced = online["hf:old:train[1:]"]
    assert (sliced["rows"], sliced["rows_in_source"], sliced["revision"]) == (2, 2, hub.commit("org/plain"))
    assert online["hf:org/configs/hard:test"]["files"] == ["hard/test.jsonl"]


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("hf:org/configs", "data set org/configs has several configurations; name one",
         "try hf:org/configs/easy:train; known: easy, hard"),
        ("hf:org/configs/hart:train", "data set org/configs has no configuration 'hart'",
         "did you mean hf:org/configs/hard:train? known: easy, hard"),
        ("hf:org/configs/easy:tset", "data set org/configs has no split 'tset'",
         "try hf:org/configs/easy:test; its splits are train, test"),
        ("hf:org/plain@v2", "data set org/plain has no revision 'v2'",
         "branches and tags: URL/datasets/org/plain/tree/main"),
        ("hf:org/nope", "data set org/nope not found at URL",
         "check the spelling; a private one needs: hf auth login"),
        ("hf:org/private", "data set org/private not found at URL",
         "check the spelling; a private one needs: hf auth login"),
        ("hf:org/gated", "data set org/gated is gated",
         "accept its license at URL/datasets/org/gated, then: hf auth login"),
        ("hf:org/script", "data set org/script is a loading script, which `datasets` no longer runs",
         "download its data files from URL/datasets/org/script and name them instead"),
        ("hf:org/empty", "data set org/empty has no data files that can be read", "see URL/datasets/org/empty"),
    ],
)  # fmt: skip
def test_what_the_user_can_mend(online: dict[str, Any], hub: FakeHub, spec: str, message: str, hint: str) -> None:
    expected = {"message": f"forget data: {message}", "hint": hint, "exit_code": EXIT_USAGE}
    assert online[spec] == {
        key: value.replace("URL", hub.url) if key != "exit_code" else value for key, value in expected.items()
    }


def test_a_broken_file_in_the_repository(online: dict[str, Any]) -> None:
    outcomes = online["hf:org/corrupt"]
    assert outcomes["message"].startswith("forget data: data set org/corrupt cannot be read: JSON parse error")
    assert outcomes["exit_code"] == EXIT_USAGE


def test_trouble_of_the_network(online: dict[str, Any]) -> None:
    down, broken = online["hf:org/down"], online["hf:org/broken"]
    assert down["message"] == "forget data: the Hub answered 500 for data set org/down"
    assert broken["message"] == "forget data: the download of data set org/broken broke off"
    assert down["exit_code"] == broken["exit_code"] == EXIT_FAILED


def test_offline_takes_what_was_loaded_before(online: dict[str, Any], hub: FakeHub, home: Path) -> None:
    hub.requests.clear()
    known = ["hf:org/plain", "hf:org/plain@v1:train", "hf:org/configs/hard:test"]
    absent = ["hf:org/configs/easy:train", "hf:org/plain@v2", "hf:org/nope"]
    outcomes = loaded(hub, home, *known, *absent, "hf:org/configs", "hf:old", HF_HUB_OFFLINE="1")
    for spec in known:
        assert (outcomes[spec]["sha256"], outcomes[spec]["revision"]) == (online[spec]["sha256"], online[spec]["revision"])
    for spec in absent:
        repo = spec[3:].split("@")[0].removesuffix("/easy:train")
        assert outcomes[spec]["message"] == f"forget data: offline, and data set {repo} is not in the cache"
        assert outcomes[spec]["hint"] == f"while online, run: hf download {repo} --repo-type dataset"
        assert outcomes[spec]["exit_code"] == EXIT_USAGE
    # Online this is an error; offline it must not be whichever configuration was loaded last.
    assert outcomes["hf:org/configs"]["message"].endswith("the configuration of data set org/configs has to be named")
    assert outcomes["hf:old"]["message"] == "forget data: offline, data set old needs its full name"
    assert hub.requests == []


def test_offline_takes_what_hf_download_left(hub: FakeHub, tmp_path: Path) -> None:
    run(DOWNLOAD, ["org/configs"], hub.environment(tmp_path))
    hub.requests.clear()
    outcomes = loaded(
        hub, tmp_path, "hf:org/configs/hard:test", "hf:org/configs/easy:train", "hf:org/configs", HF_HUB_OFFLINE="1"
    )
    assert outcomes["hf:org/configs/hard:test"]["files"] == ["hard/test.jsonl"]
    assert outcomes["hf:org/configs/easy:train"]["rows_in_source"] == 3
    assert outcomes["hf:org/configs/easy:train"]["revision"] == hub.commit("org/configs")
    assert outcomes["hf:org/configs"]["message"].endswith("has several configurations; name one")
    assert hub.requests == []


def test_offline_refuses_a_download_that_is_not_complete(hub: FakeHub, tmp_path: Path) -> None:
    run(DOWNLOAD, ["org/configs"], hub.environment(tmp_path))
    (missing,) = tmp_path.glob("hub/*/snapshots/*/hard/train.jsonl")
    missing.unlink()
    outcomes = loaded(hub, tmp_path, "hf:org/configs/hard:test", HF_HUB_OFFLINE="1")
    assert outcomes["hf:org/configs/hard:test"]["message"].endswith("offline, and data set org/configs is not in the cache")


def test_no_connection(folders: dict[str, Path], tmp_path: Path) -> None:
    with FakeHub({"dataset": folders}) as gone:
        pass
    outcomes = loaded(gone, tmp_path, "hf:org/plain")["hf:org/plain"]
    assert outcomes["message"] == f"forget data: cannot reach {gone.url} for data set org/plain"
    assert outcomes["hint"].startswith(
        "where there is a network: hf download org/plain --repo-type dataset; then HF_HUB_OFFLINE=1"
    )
    assert outcomes["exit_code"] == EXIT_FAILED
