"""A run that was stopped goes on to the same floats, however it was stopped."""

import json
import shutil
import signal
import time

import pytest
import torch

from tests.cli.fresh import MAIN
from tests.cli.running import DEMO, SLOWLY, data_arguments, losses, read_report, started, unlearn

LONG = ("--max-steps", "16", "--batch-size", "4", "--generate-limit", "2", "--max-new-tokens", "4", "--save-every", "4")
ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_arguments(tmp_path_factory.mktemp("data"), DEMO)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run without interruption."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert unlearn("forget", *data, *LONG, "-o", run).exit_code == 0
    return run


def stopped(data, run, number):
    """Start a run, send it a signal once it has a checkpoint; returns its exit code and stderr."""
    process = started("forget", *data, *LONG, "-o", run, code=SLOWLY + MAIN)
    deadline = time.monotonic() + 120
    while not list(run.glob("checkpoints/step-*.pt")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    return process.returncode, stderr


# SIGINT ends a process in tests/cli/test_sweep.py; tests/laws/test_resume.py tries signals, points and options in this one.
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_resumed_equals_uninterrupted(data, whole, tmp_path, number, code):
    run = tmp_path / "run"
    returned, stderr = stopped(data, run, number)
    assert returned == code, stderr
    assert not (run / ADAPTER).exists()
    if number != signal.SIGKILL:
        assert "--resume" in stderr
    (checkpoint,) = run.glob("checkpoints/step-*.pt")
    before = torch.load(checkpoint, weights_only=True)["carried"]["seconds"]
    done = unlearn("forget", *data, *LONG, "-o", run, "--resume")
    assert done.exit_code == 0, done.stderr
    assert "resuming after step" in done.stderr
    seconds = read_report(run)["seconds"]
    assert before["train"] > 0 and all(seconds[phase] > spent - 1e-3 for phase, spent in before.items())
    assert seconds["load"] > before["load"] + 1e-3
    assert (run / ADAPTER).read_bytes() == (whole / ADAPTER).read_bytes()
    assert losses(run) == losses(whole)
    scores = [json.loads((folder / "report.json").read_text())["scores"] for folder in (run, whole)]
    assert scores[0] == scores[1]


def test_a_procedure_starts_anew(data, tmp_path):
    few = [*LONG[2:], "--epochs", 0.2, "--method", "layered", "-p", "folds=2", "-o", tmp_path / "run"]
    assert unlearn("forget", *data, *few).exit_code in (0, 4)
    (tmp_path / "run" / "report.json").unlink()
    again = unlearn("forget", *data, *few, "--resume")
    assert again.exit_code in (0, 4) and "writes no checkpoints" in again.stderr


def test_a_changed_setting_is_named(data, whole):
    result = unlearn("forget", *data, *LONG, "-o", whole, "--resume", "--lora-r", 4)
    text = " ".join(result.stderr.split())
    assert result.exit_code == 2 and "lora_r: 16 -> 4" in text and "seed" not in text


@pytest.fixture
def at_step_two(data, tmp_path, monkeypatch):
    """A run of two steps that was interrupted after the last one."""
    run = tmp_path / "run"

    def stop(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("unlearn_cli.recipes.forgetting.artifact.save_artifact", stop)
        assert unlearn("forget", *data, *SHORT, "-o", run).exit_code == 130
    return run


def test_a_half_written_line_is_healed(data, at_step_two):
    with (at_step_two / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    result = unlearn("forget", *data, *SHORT, "-o", at_step_two, "--resume")
    assert result.exit_code == 0, result.stderr
    assert "resuming after step 2" in result.stderr and len(losses(at_step_two)) == 2


def test_another_path_to_the_same_files_is_the_same_run(data, at_step_two, tmp_path, monkeypatch):
    """Contents count: a relative path, a copy of the model elsewhere; and not one whose tokenizer is another."""
    shutil.copytree(data[1], tmp_path / "model")
    for name, source in (("forget", data[3]), ("retain", data[5])):
        shutil.copy(source, tmp_path / f"{name}.jsonl")
    monkeypatch.chdir(tmp_path)
    paths = ["--model", "model", "--forget", "forget.jsonl", "--retain", "retain.jsonl", "-o", "run", "--resume"]
    template = tmp_path / "model" / "chat_template.jinja"
    text = template.read_text() if template.is_file() else None
    template.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    other = unlearn("forget", *paths, *SHORT)
    assert other.exit_code == 2 and "tokenizer file" in " ".join(other.stderr.split())
    template.unlink() if text is None else template.write_text(text)
    done = unlearn("forget", *paths, *SHORT)
    assert done.exit_code == 0 and "resuming after step 2" in done.stderr, done.stderr


def test_a_finished_run_keeps_no_checkpoint(whole):
    assert not (whole / "checkpoints").exists()


def test_resume_without_a_checkpoint_starts_anew(data, tmp_path):
    result = unlearn("forget", *data, *LONG, "--max-steps", 2, "-o", tmp_path / "run", "--resume")
    assert result.exit_code in (0, 4) and "no checkpoint to resume from" in result.stderr


SHORT = ("--max-steps", 2, "--batch-size", 4, "--generate-limit", 1, "--max-new-tokens", 4)


def test_a_failed_start_does_not_block_its_own_retry(data, tmp_path):
    """Refused before anything is measured or written; and what an interrupted start has left is no run."""
    run = tmp_path / "run"
    refused = unlearn("forget", *data, *SHORT, "--lora-target-modules", "q_porj", "-o", run)
    assert refused.exit_code == 2 and "did you mean 'q_proj'" in refused.stderr and "measuring" not in refused.stderr
    assert not run.exists()
    assert unlearn("forget", *data, *SHORT, "--lora-target-modules", "q_proj", "-o", run).exit_code in (0, 4)


@pytest.fixture
def started_only(data, tmp_path, monkeypatch):
    """A folder in which a start was interrupted after measuring, and what was said."""
    run = tmp_path / "run"

    def stop(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("unlearn_cli.recipes.forgetting.prepare.make_trainer", stop)
        result = unlearn("forget", *data, *SHORT, "-o", run)
    return run, result


def test_an_interrupted_start_says_what_to_do_and_starts_again(data, started_only):
    run, result = started_only
    assert result.exit_code == 130 and "the same command starts again" in result.stderr
    kept = {path: path.stat().st_mtime_ns for path in run.glob("measured/before-*")}
    assert kept
    again = unlearn("forget", *data, *SHORT, "-o", run)
    assert again.exit_code in (0, 4), again.stderr
    assert "measuring forget before" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in run.glob("measured/before-*")} == kept


def test_what_was_saved_without_a_checkpoint_is_not_mixed_with_another_run(data, started_only):
    run, _ = started_only
    (run / "adapter_model.safetensors").touch()
    refused = unlearn("forget", *data, *SHORT, "--seed", 7, "--resume", "-o", run)
    assert refused.exit_code == 2 and "--resume with another configuration (seed: 42 -> 7" in refused.stderr


@pytest.mark.parametrize("flags", [(), ("--resume",)])
def test_an_interrupted_start_may_go_another_way(data, started_only, flags):
    """Nothing of the earlier start is taken for the new one's, but for measurements that carry their key."""
    run, _ = started_only
    (run / "measured" / "on-the-way").mkdir()
    (run / "reference").mkdir(exist_ok=True)
    (run / "reference" / "lora_init.safetensors").write_bytes(b"other")
    again = unlearn("forget", *data, *SHORT, "--lora-r", 4, "-o", run, *flags)
    assert again.exit_code in (0, 4), again.stderr
    assert "measuring forget before" not in again.stderr
    assert not (run / "measured" / "on-the-way").exists() and not (run / "reference" / "lora_init.safetensors").exists()


def test_interrupted_while_loading(data, tmp_path, monkeypatch):
    def stop(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("unlearn_cli.recipes.forgetting.prepare.try_training", stop)
    result = unlearn("forget", *data, *SHORT, "-o", tmp_path / "run")
    assert result.exit_code == 130 and "give the same command again" in result.stderr
    assert not (tmp_path / "run").exists()


def test_interrupted_while_measuring_after(data, tmp_path, monkeypatch):
    def stop(*arguments, **named):
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("unlearn_cli.recipes.forget.identity_after", stop)
        result = unlearn("forget", *data, *SHORT, "-o", run)
    assert result.exit_code == 130 and "add --resume to continue" in result.stderr
    again = unlearn("forget", *data, *SHORT, "-o", run)
    assert again.exit_code == 2 and "holds an unfinished run (step 2 of 2)" in " ".join(again.stderr.split())
    assert unlearn("forget", *data, *SHORT, "-o", run, "--resume").exit_code in (0, 4)


@pytest.mark.parametrize("command", ["evaluate", "compare", "chat", "merge", "relearn-attack"])
def test_an_unfinished_run_is_called_that(command, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "plan.json").write_text(json.dumps({"settings": {}, "steps": 25}))
    first = unlearn(command, run)
    message = " ".join(first.stderr.split())
    assert first.exit_code == 2 and "has not finished (no step is kept)" in message and "starts it again" in message
    (run / "checkpoints" / "step-0000017.pt").touch()
    second = unlearn(command, run)
    message = " ".join(second.stderr.split())
    assert second.exit_code == 2 and "has not finished (step 17 of 25)" in message
    assert "the same `unlearn forget` command with --resume goes on" in message


def test_a_finished_run_is_not_made_again(data, tmp_path):
    run = tmp_path / "run"
    first = unlearn("forget", *data, *SHORT, "-o", run)
    assert first.exit_code == 0, first.stderr
    written = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    again = unlearn("forget", *data, *SHORT, "-o", run, "--resume")
    assert (again.exit_code, again.stdout) == (0, f"{run}/report.json\n")
    assert "already finished" in again.stderr and "loading" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == written
    other = unlearn("forget", *data, *SHORT, "-o", run, "--resume", "--seed", 7)
    assert other.exit_code == 2 and "seed: 42 -> 7" in " ".join(other.stderr.split())
    plain = unlearn("forget", *data, *SHORT, "-o", run)
    assert plain.exit_code == 2 and "holds a finished run" in " ".join(plain.stderr.split())
    (run / "plan.json").unlink()
    untold = unlearn("forget", *data, *SHORT, "-o", run, "--resume")
    assert untold.exit_code == 2 and "of this run are not known" in " ".join(untold.stderr.split())


def test_a_finished_run_without_effect_exits_as_it_did(data, tmp_path):
    flags = (*SHORT, "--learning-rate", "1e-12", "-o", tmp_path / "run")
    assert unlearn("forget", *data, *flags).exit_code == 4
    again = unlearn("forget", *data, *flags, "--resume")
    assert again.exit_code == 4 and "already finished" in again.stderr
