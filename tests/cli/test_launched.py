"""`unlearn forget` in two processes of a launcher, on the CPU."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.fresh import Process, server
from tests.cli.running import DEMO, QUICK, QUICKLY, data_arguments, losses, read_report, unlearn
from unlearn_cli import launched
from unlearn_cli.errors import UnlearnError

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


def settings(folder: Path, steps: int) -> list[str]:
    """Of a run that two processes cannot share evenly: five forget rows a step."""
    quick = [*QUICK, "--max-steps", str(steps), "--batch-size", "5", "--generate-limit", "0", "--learning-rate", "2e-3"]
    return ["forget", *data_arguments(folder, DEMO), "--method", "npo", "--retain-term", "kl", *quick]


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def together(*arguments: object, **more: str) -> list[Process]:
    """The command in two processes, with the variables that a launcher sets, and some `more`."""
    shared = {**QUICKLY, **more, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [server().start(*arguments, **shared, RANK=rank, LOCAL_RANK=rank) for rank in ("0", "1")]


def two(launcher: str, *arguments: object) -> subprocess.Popen:
    """The command in two processes of a launcher."""
    port = free_port()
    accelerate = ["accelerate.commands.launch", "--main_process_port", port, "--config_file"]
    starts = {
        "torchrun": ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", port],
        "accelerate": [*accelerate, str(EXAMPLES / "accelerate.yaml")],
        "fsdp": [*accelerate, str(EXAMPLES / "fsdp.yaml")],
    }
    return subprocess.Popen(
        [sys.executable, "-m", *starts[launcher], "-m", "unlearn_cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **QUICKLY, "OMP_NUM_THREADS": "1"},
    )


def near(one: Path, other: Path) -> bool:
    """Whether two runs took the same steps, but for rounding: the first losses are the same, later ones drift apart."""
    pairs = list(zip(losses(one), losses(other), strict=True))
    return all(a == pytest.approx(b, rel=1e-4) for a, b in pairs) and pairs[0][0] == pytest.approx(pairs[0][1], rel=1e-6)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The run in one process."""
    folder = tmp_path_factory.mktemp("alone")
    assert unlearn(*settings(folder, 3), "-o", folder / "run").exit_code in (0, 4)
    return folder / "run"


def launched_by_torchrun(*arguments: object) -> tuple[str, str]:
    return two("torchrun", *arguments).communicate(timeout=120)


def started_alike(*arguments: object, **more: str) -> tuple[str, str]:
    (first, error), (second, other) = (process.communicate() for process in together(*arguments, **more))
    return first + second, error + other


def divided(*arguments: object) -> tuple[str, str]:
    """With a part of the base in each process."""
    return started_alike(*arguments, ACCELERATE_USE_FSDP="true")


def launched_by_accelerate(*arguments: object) -> tuple[str, str]:
    return two("fsdp", *arguments).communicate(timeout=120)


# A launcher itself takes three processes that import torch.
@pytest.mark.parametrize("start", [started_alike, pytest.param(launched_by_torchrun, marks=pytest.mark.slow)])
def test_two_processes_give_the_losses_of_one(alone, tmp_path, start):
    stdout, stderr = start(*settings(alone.parent, 3), "-o", tmp_path / "run")
    assert stdout.splitlines() == [f"{tmp_path / 'run'}/report.json"], stderr
    assert stderr.count("loading ") == 1
    assert "shared by 2 processes" in stderr
    assert near(alone, tmp_path / "run")
    ours, theirs = read_report(alone), read_report(tmp_path / "run")
    assert theirs["environment"]["processes"] == 2
    assert "processes" not in ours["environment"]
    # Each process runs a question that its rows share once, so two of them run some tokens more.
    assert 1 <= theirs["training"]["tokens"] / ours["training"]["tokens"] < 1.1
    probability = [report["scores"]["forget"]["probability"]["after"]["value"] for report in (ours, theirs)]
    assert probability[0] == pytest.approx(probability[1], rel=1e-4)


@pytest.mark.parametrize("start", [divided, pytest.param(launched_by_accelerate, marks=pytest.mark.slow)])
def test_two_processes_with_a_part_of_the_base_each_give_the_losses_of_one(alone, tmp_path, start):
    stdout, stderr = start(*settings(alone.parent, 3), "-o", tmp_path / "run", "--activation-checkpointing", "on")
    assert (tmp_path / "run" / "report.json").is_file(), stdout + stderr
    assert near(alone, tmp_path / "run")
    ours, theirs = read_report(alone), read_report(tmp_path / "run")
    assert (theirs["environment"]["processes"], theirs["environment"]["fsdp"]) == (2, True)
    # Each process runs a question that its rows share once, so two of them run some tokens more.
    assert 1 <= theirs["training"]["tokens"] / ours["training"]["tokens"] < 1.1
    probability = [report["scores"]["forget"]["probability"]["after"]["value"] for report in (ours, theirs)]
    assert probability[0] == pytest.approx(probability[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["accelerate", "fsdp"])
def test_two_processes_stop_after_the_same_step_and_go_on(tmp_path, launcher):
    arguments = [*settings(tmp_path, 40), "-o", tmp_path / "run"]
    process, metrics = two(launcher, *arguments), tmp_path / "run" / "metrics.jsonl"
    while process.poll() is None and not (metrics.is_file() and len(metrics.read_text().splitlines()) > 4):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert stderr.count("interrupted after step") == 1
    assert "add --resume to continue" in stderr
    _, stderr = two(launcher, *arguments, "--resume").communicate(timeout=120)
    assert "resuming after step" in stderr
    assert unlearn(*arguments[:-1], tmp_path / "whole").exit_code in (0, 4)
    assert [line[0] for line in losses(tmp_path / "run")] == list(range(1, 41))
    assert losses(tmp_path / "run")[9] == pytest.approx(losses(tmp_path / "whole")[9], rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--lora-init", "pissa"), "--full and --lora-init, which change them"),
        (("--load-in-4bit",), "FSDP does not divide quantized weights"),
    ],
)
def test_what_a_divided_base_cannot_do_is_refused(tmp_path, arguments, words):
    _, stderr = divided(*settings(tmp_path, 2), *arguments, "-o", tmp_path / "run")
    assert words in " ".join(stderr.split())


@pytest.mark.parametrize(
    ("command", "variables", "words"),
    [
        ("evaluate", {}, "`unlearn evaluate` runs in one process, but a launcher started 2"),
        ("forget", {"ACCELERATE_USE_FSDP": "true", "FSDP_OFFLOAD_PARAMS": "true"}, "fsdp_offload_params"),
        ("forget", {"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed is not supported"),
        ("forget", {"ACCELERATE_MIXED_PRECISION": "bf16"}, "mixed_precision bf16"),
    ],
)
def test_what_processes_cannot_share_is_refused(monkeypatch, command, variables, words):
    launcher = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    for name, value in {**launcher, **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnlearnError, match=words):
        launched.check(command)


def test_without_a_launcher_nothing_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # as some clusters set it everywhere
    monkeypatch.delenv("RANK", raising=False)
    launched.check("evaluate")
    assert (launched.count(), launched.rank(), launched.local_rank()) == (1, 0, 0)


def test_only_the_first_process_says_what_all_run_into(monkeypatch, capsys):
    from unlearn_cli.console import Reporter

    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    Reporter().error(UnlearnError("a wrong option"))
    assert capsys.readouterr().err == ""
    Reporter().error(UnlearnError("process 1: no memory", exit_code=1))
    assert "process 1: no memory" in capsys.readouterr().err
