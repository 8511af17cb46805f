"""A run that was stopped goes on to the same floats, however it was stopped."""

import json
import signal
import time

import pytest

from tests.cli.running import data_arguments, losses, started, unlearn

LONG = ("--max-steps", "60", "--batch-size", "4", "--generate-limit", "2", "--max-new-tokens", "4", "--save-every", "5")
ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_arguments(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run without interruption."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert unlearn("forget", *data, *LONG, "-o", run).exit_code == 0
    return run


def stopped(data, run, number, *flags):
    """Start a run, send it a signal once it has a checkpoint; returns its exit code and stderr."""
    process = started("forget", *data, *LONG, *flags, "-o", run)
    deadline = time.monotonic() + 120
    while not list(run.glob("checkpoints/step-*.pt")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    return process.returncode, stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_resumed_equals_uninterrupted(data, whole, tmp_path, number, code):
    run = tmp_path / "run"
    returned, stderr = stopped(data, run, number)
    assert returned == code, stderr
    assert not (run / ADAPTER).exists()
    if number != signal.SIGKILL:
        assert "--resume" in stderr
    done = unlearn("forget", *data, *LONG, "-o", run, "--resume")
    assert done.exit_code == 0, done.stderr
    assert "resuming after step" in done.stderr
    assert (run / ADAPTER).read_bytes() == (whole / ADAPTER).read_bytes()
    assert losses(run) == losses(whole)
    scores = [json.loads((folder / "report.json").read_text())["scores"] for folder in (run, whole)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    "flags",
    [("--method", "pdu"), ("--robust", "gru"), ("--method", "ihl", "--lora-init", "fila"), ("--method", "rr")],
    ids=lambda flags: " ".join(flags),
)
def test_what_is_carried_from_step_to_step_goes_on(data, tmp_path, flags):
    """A dual variable, a rule's averages, factors taken out of the base, a weight that follows the steps."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert unlearn("forget", *data, *LONG, *flags, "-o", whole).exit_code in (0, 4)
    returned, stderr = stopped(data, run, signal.SIGINT, *flags)
    assert returned == 130, stderr
    done = unlearn("forget", *data, *LONG, *flags, "-o", run, "--resume")
    assert done.exit_code in (0, 4), done.stderr
    assert "resuming after step" in done.stderr
    assert (run / ADAPTER).read_bytes() == (whole / ADAPTER).read_bytes()
    assert losses(run) == losses(whole)


def test_a_procedure_starts_anew(data, tmp_path):
    few = [*LONG[2:], "--epochs", 0.2, "--method", "layered", "-p", "folds=2", "-o", tmp_path / "run"]
    assert unlearn("forget", *data, *few).exit_code in (0, 4)
    again = unlearn("forget", *data, *few, "--resume")
    assert again.exit_code in (0, 4) and "keeps no checkpoints" in again.stderr


def test_a_changed_setting_is_named(data, whole):
    result = unlearn("forget", *data, *LONG, "-o", whole, "--resume", "--lora-r", 4)
    text = " ".join(result.stderr.split())
    assert result.exit_code == 2 and "lora_r: 16 -> 4" in text and "seed" not in text


def test_a_half_written_line_is_healed(data, whole, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(whole, run)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 61, "lo')
    result = unlearn("forget", *data, *LONG, "-o", run, "--resume")
    assert result.exit_code == 0, result.stderr
    assert losses(run) == losses(whole)


def test_resume_without_a_checkpoint_starts_anew(data, tmp_path):
    result = unlearn("forget", *data, *LONG, "--max-steps", 2, "-o", tmp_path / "run", "--resume")
    assert result.exit_code in (0, 4) and "no checkpoint to resume from" in result.stderr
