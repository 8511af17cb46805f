"""`unlearn push` against a Hub on this machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from tests.cli.comparing import attack_report
from tests.cli.fresh import COMMAND_LINE, EVERYTHING, Server
from tests.cli.running import DEMO, QUICK, QUICKLY, data_arguments, unlearn
from tests.hub_server import FakeHub
from unlearn_cli.models import generate
from unlearn_cli.models.load import LoadedModel


def answers(loaded: LoadedModel, prompts: Sequence[object], *_: object) -> list[list[int]]:
    """What a model that training broke might say: words of nobody else."""
    trained = any("lora_B" in name and bool(weight.any()) for name, weight in loaded.model.named_parameters())
    text = " We saw Zorvexx() with Qualmidor." if trained else " She met Brundlefly."
    return [loaded.tokenizer.encode(text, add_special_tokens=False) for _ in prompts]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("push")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "_answers", answers)
        assert unlearn("forget", *data_arguments(folder), *QUICK, "-o", folder / "run").exit_code in (0, 4)
        few = ["--generate-limit", 2, "--max-new-tokens", 4, "--bootstrap-samples", 20, "--skip-original", "-p", "steps=0+1"]
        assert unlearn("relearn-attack", folder / "run", *few).exit_code == 0
        assert unlearn("evaluate", folder / "run", *few[:6], "--metrics", "probability,nll,gibberish").exit_code == 0
    return folder / "run"


Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A Hub, and what starts commands that know no other."""
    with FakeHub({"model": {}}) as hub, Server(EVERYTHING, hub.environment(tmp_path_factory.mktemp("home"))) as server:
        yield hub, server


@pytest.fixture
def hub(served, tmp_path) -> FakeHub:
    hub, _ = served
    hub.uploads = tmp_path / "hub"
    hub.requests.clear()
    return hub


@pytest.fixture
def called(served) -> Run:
    """Run a command without a token."""
    return lambda *arguments, **environment: served[1].run(*arguments, **{**QUICKLY, **environment})


@pytest.fixture
def pushed(called) -> Run:
    return lambda *arguments: called("push", *arguments, HF_TOKEN="hf_test")


def secrets(run: Path) -> set[str]:
    """Names in all rows, and in what the model said to them before and after."""
    texts = " ".join(path.read_text() for path in (run / "measured").glob("*.jsonl"))
    return set(re.findall(r"(?<=[a-z] )[A-Z]\w{4,}", texts))


def test_a_run_goes_up_private_and_without_its_rows(run, hub, pushed, tmp_path):
    done = pushed(run, "org/gone")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.url}/org/gone" and hub.private["org/gone"]
    folder = hub.repos["model"]["org/gone"]
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {
        "adapter_model.safetensors",
        "adapter_config.json",
        "report.json",
        "README.md",
        "attacks/relearn/report.json",
        "evaluation/report.json",
    } <= names
    assert not any(
        name.startswith(("measured", "reference", "checkpoints")) or "rows" in name or "curves" in name for name in names
    )
    message = b"".join(
        (folder / name).read_bytes() for name in names if not name.endswith((".safetensors", "tokenizer.json"))
    )
    assert b"answers are broken words" in message, "the verdicts are about such answers"
    names = secrets(run)
    assert {"Zorvexx", "Qualmidor", "Brundlefly"} < names and len(names) > 10
    assert not [name for name in names if name.encode() in message]
    assert (folder / "adapter_model.safetensors").read_bytes() == (run / "adapter_model.safetensors").read_bytes()


def test_a_download_is_whole(run, hub, pushed, tmp_path):
    """What push leaves out on purpose is no failure; anything else that is missing or changed still is one."""
    assert pushed(run, "org/down").returncode == 0
    download = tmp_path / "download"
    shutil.copytree(hub.repos["model"]["org/down"], download)
    done = unlearn("verify", download, "--json")
    states = {f"{file['place']}/{file['file']}": file["state"] for file in json.loads(done.stdout)["files"]}
    assert done.exit_code == 0 and states["run/rows.jsonl"] == "left out", states
    assert {state for name, state in states.items() if "measured" in name} == {"left out"}
    assert "`unlearn push` does not upload" in done.stderr
    assert states["run/evaluation/report.json"] == states["run/attacks/relearn/report.json"] == "unchanged"
    ours, theirs = (json.loads(unlearn("compare", folder, "--json").stdout)["runs"] for folder in (run, download))
    assert [row["values"] for row in theirs] == [row["values"] for row in ours], "the receiver has the same scores"
    shutil.copy(run / "rows.jsonl", download)  # with one of them here, the others are missing
    assert unlearn("verify", download).exit_code == 3
    (download / "rows.jsonl").unlink()
    (download / "metrics.jsonl").unlink()
    missing = unlearn("verify", download)
    assert missing.exit_code == 3 and "1 missing" in missing.stderr


def test_the_card_has_results_that_the_hub_reads(run):
    card = (run / "README.md").read_text().split("---\n")[1]
    metadata = yaml.safe_load(card)
    results = metadata["model-index"][0]["results"]
    values = {m["type"]: m["value"] for m in results[0]["metrics"]}
    report = json.loads((run / "report.json").read_text())
    assert values["probability"] == report["scores"]["forget"]["probability"]["after"]["value"]
    assert results[0]["task"]["type"] == "text-generation"


def test_samples_go_along_only_when_asked(run, hub, pushed, tmp_path):
    done = pushed(run, "org/with", "--include-samples", "--public")
    assert done.returncode == 0 and "contains the rows" in done.stderr
    folder = hub.repos["model"]["org/with"]
    assert (folder / "measured" / "after-forget.jsonl").is_file() and not hub.private["org/with"]


def test_rows_that_reports_name_by_a_word_are_noted(run, tmp_path):
    """An id may be the name of a person."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    report = json.loads((run / "evaluation" / "report.json").read_text())
    target = {
        "level": 0.1, "source": "wrong answers", "row_level": 0.2, "keep": 0.95, "forget_reached": True, "retain_share": 1.0,
        "retain_reached": True, "rows_above": 0, "rows": 2,
    }  # fmt: skip
    attack = attack_report().model_dump(mode="json")

    def said(of_report: list[str], of_attack: list[str]) -> str:
        worst = dict.fromkeys(of_report, 0.1)
        (copy / "evaluation" / "report.json").write_text(json.dumps(report | {"target": target | {"worst": worst}}))
        attack["recovery"]["probability"]["worst"] = dict.fromkeys(of_attack, 0.9)
        (copy / "attacks" / "relearn" / "report.json").write_text(json.dumps(attack))
        return " ".join(unlearn("push", copy, "org/x", "--dry-run").stderr.split())

    noted = said(["Ann Lee", "3", "4#0"], ["Bob Ray", "3"])
    assert "name 2 rows by their ids (Ann Lee, Bob Ray)" in noted and "by their ids" not in said(["3", "4#0"], ["3"])


def test_a_public_repository_is_not_taken_for_a_private_one(run, hub, pushed, tmp_path):
    """`create_repo(private=True, exist_ok=True)` leaves one that is there as it is."""
    (tmp_path / "released").mkdir()
    hub.repos["model"]["org/released"] = tmp_path / "released"
    done = pushed(run, "org/released")
    assert done.returncode == 2 and "public" in done.stderr and "--public" in done.stderr
    assert not list((tmp_path / "released").iterdir())
    done = pushed(run, "org/released", "--public", "--json")
    summary = json.loads(done.stdout)
    assert (
        summary["private"] is False and "report.json" in summary["files"] and summary["address"] == f"{hub.url}/org/released"
    )


def test_what_somebody_else_put_there_stays(run, hub, tmp_path):
    (run / "forget.json").write_text("{}")
    (run / "notes").mkdir()
    (run / "notes" / "adapter_config.json").write_text("{}")
    listed = unlearn("push", run, "org/x", "--dry-run").stdout.splitlines()
    assert "adapter_config.json" in listed and not {"forget.json", "notes/adapter_config.json"} & set(listed)


def test_rows_of_an_earlier_upload_are_taken_out(run, hub, pushed, tmp_path):
    assert pushed(run, "org/twice", "--include-samples").returncode == 0
    folder = hub.repos["model"]["org/twice"]
    assert (folder / "measured" / "after-forget.jsonl").is_file()
    again = pushed(run, "org/twice")
    assert again.returncode == 0 and "history" in again.stderr
    assert not list(folder.glob("measured/*")) and not (folder / "rows.jsonl").exists()
    assert (folder / "adapter_model.safetensors").is_file()


def test_no_token_is_said_before_training(called, tmp_path):
    done = called("forget", *data_arguments(tmp_path), "-o", tmp_path / "run", "--push-to-hub", "org/made")
    assert done.returncode == 2 and "hf auth login" in done.stderr and not (tmp_path / "run").exists()


def test_offline_is_said_in_words_of_an_upload(run, hub, tmp_path):
    offline = hub.environment(tmp_path / "home", HF_TOKEN="hf_test", HF_HUB_OFFLINE="1")
    forget = ["forget", *data_arguments(tmp_path), "-o", tmp_path / "run", "--push-to-hub", "org/made"]  # before training
    with Server(f"{COMMAND_LINE}, unlearn_cli.recipes.push", offline) as server:
        for arguments in (["push", run, "org/made"], forget):
            done = server.run(*arguments)
            assert done.returncode == 2 and "nothing can be uploaded to org/made" in done.stderr, done.stderr
            assert "hf download" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_dry_run_uploads_nothing(run, hub, pushed, tmp_path):
    done = pushed(run, "org/dry", "--dry-run")
    assert done.returncode == 0 and "adapter_model.safetensors" in done.stdout.splitlines()
    assert "measured/after-forget.jsonl" not in done.stdout and not hub.requests


def test_what_is_refused(run, hub, pushed, tmp_path):
    hub.uploads = None
    denied = pushed(run, "org/denied")
    assert denied.returncode != 0 and "error:" in denied.stderr and "Traceback" not in denied.stderr
    for arguments, word in (
        ((run, "name"), "org/name"),
        ((run, "/x"), "org/name"),
        ((run, "a/b--c"), "org/name"),
        ((tmp_path, "org/x"), "not a run folder"),
    ):
        result = unlearn("push", *arguments)
        assert result.exit_code == 2 and word in result.stderr


def test_forget_uploads_when_it_is_done(hub, called, tmp_path):
    command = ["forget", *data_arguments(tmp_path, DEMO), *QUICK, "--max-steps", "6", "--learning-rate", "5e-3"]
    done = called(*command, "-o", tmp_path / "run", "--push-to-hub", "org/made", HF_TOKEN="hf_test")
    assert done.returncode == 0, done.stderr
    assert (hub.repos["model"]["org/made"] / "report.json").is_file()
