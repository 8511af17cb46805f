"""The promises of docs/concepts/security.md that have no test elsewhere, and that each of them has one."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch

from tests.cli.comparing import write_run
from tests.cli.running import QUICK, data_arguments, unlearn
from tests.models.saved import llama, save
from unlearn_cli.config import ModelOptions
from unlearn_cli.console import visible
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.load import load_model

ROOT = Path(__file__).parents[2]
SECRET = "hf_dontwritethis0123456789"
EVIL = "\x1b[2J\x1b]0;owned\x07<img src=x onerror=alert(1)>|[link](http://x)\u202egnp"


class Marked:
    """A pickle that writes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("security")
    with pytest.MonkeyPatch.context() as patched:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, SECRET)
        done = unlearn("forget", *data_arguments(folder), *QUICK, "-o", folder / "run")
    assert done.exit_code == 0 and SECRET not in done.stderr + done.stdout
    return folder / "run"


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_every_promise_has_its_test() -> None:
    page = (ROOT / "docs" / "concepts" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"\| `(test_\w+)` \|", page)
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) == 11 and [name for name in named if f"def {name}(" not in written] == []


def test_no_pickle_is_read(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    model = save(llama(), tmp_path / "model")
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Marked(mark)))
    with pytest.raises(UnlearnError) as refused:
        load_model(ModelOptions(model=str(model), device="cpu"))
    assert "--allow-pickle" in (refused.value.hint or "") and not mark.exists()


def test_a_checkpoint_is_read_as_tensors_alone(copy: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (copy / "report.json").unlink()
    (copy / "checkpoints").mkdir()
    torch.save({"x": Marked(mark)}, copy / "checkpoints" / "step-2.pt")
    settings = json.loads((copy / "plan.json").read_text())["settings"]
    words = ["-m", settings["model"], "-f", settings["forget"], "-r", settings["retain"], *QUICK]
    done = unlearn("forget", *words, "-o", copy, "--resume")
    assert not mark.exists() and "this is a bug" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["measured", "README.md", "notes"])
def test_links_that_lead_out(copy: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    if (copy / name).is_dir():
        (copy / name).rename(outside)
    else:
        outside.write_text("private")
        (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(outside)
    before = sorted(outside.rglob("*")), outside.stat().st_mtime_ns
    for command in (("push", copy, "org/x", "--dry-run"), ("evaluate", copy, "--generate-limit", 1), ("clean", copy)):
        done = unlearn(*command)
        assert done.exit_code == 2 and "is a link that leads out of the folder" in " ".join(done.stderr.split()), done.stderr
    assert (sorted(outside.rglob("*")), outside.stat().st_mtime_ns) == before


def test_a_link_inside_the_folder_is_taken(copy: Path) -> None:
    (copy / "again").symlink_to(copy / "report.json")
    assert unlearn("push", copy, "org/x", "--dry-run").exit_code == 0


def test_paths_in_a_report_lead_nowhere(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("private")
    report = json.loads((copy / "report.json").read_text())
    for path in ("../private", str(tmp_path / "private"), "measured/before-forget.jsonl"):
        changed = report | {"artifact": report["artifact"] | {"files": {path: "0" * 64}}, "texts": [path, "../private"]}
        (copy / "report.json").write_text(json.dumps(changed))
        done = unlearn("push", copy, "org/x", "--dry-run")
        assert done.exit_code == 2 and not done.stdout
        assert unlearn("clean", copy).exit_code == 0
    assert (tmp_path / "private").read_text() == "private"


def test_secrets_are_written_nowhere(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 10 and [path for path in files if SECRET.encode() in path.read_bytes()] == []
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setattr("unlearn_cli.recipes.evaluate.resolve_source", lambda *arguments: 1 / 0)
    crash = unlearn("evaluate", run)
    assert crash.exit_code == 1 and "ZeroDivisionError" in crash.stderr and SECRET not in crash.stderr + crash.stdout
    assert SECRET not in unlearn("env").stdout


def test_text_of_a_stranger_is_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"forget.probability": [0.1, 0.2], "retain.probability": [0.9, 0.8]}, method=EVIL)
    other = write_run(tmp_path / "other", {"forget.probability": [0.3, 0.2], "retain.probability": [0.9, 0.7]}, method="npo")
    report = json.loads((run / "report.json").read_text())
    (run / "report.json").write_text(json.dumps(report | {"message": EVIL, "notes": [EVIL]}))
    page, table = tmp_path / "page.html", tmp_path / "table.md"
    done = unlearn("compare", run, other, "--html", page, "--markdown", table)
    assert done.exit_code == 0, done.stderr
    shown = unlearn("report", "show", run)
    for text in (done.stdout, done.stderr, shown.stdout, shown.stderr):
        assert not set("\x1b\x07\u202e") & set(text)
    assert "owned" in shown.stderr
    for written in (page, table):
        text = written.read_text(encoding="utf-8")
        assert "onerror=alert" in text and "<img" not in text and not set("\x1b\x07\u202e") & set(text)
    assert r"\[link\](http" in table.read_text(encoding="utf-8")


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert visible("plain \U0001f4a9\n\tyes") == "plain \U0001f4a9\n\tyes"
    assert visible("\x1b[2J\x07\x9b1m\u202e\ud800\r") == r"\x1b[2J\x07\x9b1m\u202e\ud800\x0d"
