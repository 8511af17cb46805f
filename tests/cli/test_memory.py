"""Memory: what a dry run counts, and what a run does where there is little of it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.cli.running import QUICK, data_arguments, losses, unlearn
from unlearn_cli.models.memory import CPU_ROOM
from unlearn_cli.recipes.forgetting import footprint
from unlearn_cli.training.passes import Passes

ROWS = 8  # forget rows of a step


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_arguments(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def roomy(data, tmp_path_factory) -> list[float]:
    """The losses of a run with all the memory it wants."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = unlearn("forget", *data, *QUICK, "--batch-size", ROWS, "-o", folder)
    assert result.exit_code in (0, 4), result.stderr
    return flat(folder)


def flat(folder: Path) -> list[float]:
    return [value for step in losses(folder) for value in step]


def planned(data, *flags: object) -> dict[str, int]:
    return json.loads(unlearn("forget", *data, "--dry-run", "--json", *flags).stdout)["memory"]


def passes(folder: Path) -> list[int]:
    """The number of passes of each step."""
    return [json.loads(line)["parts"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_step_is_run_in_as_few_passes_as_fit(data, roomy, tmp_path, monkeypatch) -> None:
    """Room for passes of two rows and not for four: eight rows take four passes, and the losses stay the same."""
    two, four = (planned(data, "--batch-size", size, "-o", tmp_path / "run") for size in (2, 4))
    parts = ("adapter", "copies", "step")
    need, more = (CPU_ROOM * sum(memory[part] for part in parts) for memory in (two, four))
    assert need < more
    monkeypatch.setattr("unlearn_cli.models.memory.available", lambda device, **_: (need + more) / 2)
    result = unlearn("forget", *data, *QUICK, "--batch-size", ROWS, "--auto-batch-size", "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    assert passes(tmp_path / "run") == [4] * 4
    assert flat(tmp_path / "run") == pytest.approx(roomy, rel=1e-3)


def test_a_step_is_estimated_only_where_memory_is_near(data, tmp_path, monkeypatch) -> None:
    """Start-up pays for the estimate only if twenty times a rough figure is not free."""
    estimated = Mock(wraps=footprint.estimate)
    monkeypatch.setattr(footprint, "estimate", estimated)
    for free, times in ((2**50, 0), (2**20, 1)):
        monkeypatch.setattr("unlearn_cli.models.memory.available", lambda device, free=free, **_: free)
        result = unlearn("forget", *data, *QUICK, "--max-steps", 1, "-o", tmp_path / str(free))
        assert result.exit_code in (0, 4), result.stderr
        assert estimated.call_count == times


def test_out_of_memory_in_the_middle_halves_the_pass_and_goes_on(data, roomy, tmp_path, monkeypatch) -> None:
    """The third step has room for two rows only: it is run again in parts, and the others after it."""
    honest, called = Passes.run, []

    def run(self, forget, retain):
        called.append(len(forget))
        if len(called) > 6 and len(forget) > 2:
            raise MemoryError("no room")
        return honest(self, forget, retain)

    monkeypatch.setattr(Passes, "run", run)
    result = unlearn("forget", *data, *QUICK, "--batch-size", ROWS, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    assert "a step is now run in 4 passes; its loss stays the same" in result.stderr.replace("\n", " ")
    taken = passes(tmp_path / "run")
    assert taken[0] == 1 and taken[-1] == 4
    assert flat(tmp_path / "run") == pytest.approx(roomy, rel=1e-3)


def test_a_dry_run_turns_to_checkpointing_as_the_run_would(data, tmp_path, monkeypatch) -> None:
    """Where activations do not fit, they are counted as computed twice; estimated for `off`, the run does not fit."""
    flags = ("--generate-limit", 1, "--token-budget", 64, "-o", tmp_path / "run")
    off, on = (planned(data, *flags, "--activation-checkpointing", value) for value in ("off", "on"))
    assert on["step"] < off["step"]
    more = [memory["total"] - memory["process"] for memory in (on, off)]
    monkeypatch.setattr("unlearn_cli.models.memory.available", lambda device, **_: sum(more) / 2)
    result = unlearn("forget", *data, "--dry-run", *flags)
    assert result.exit_code == 0 and "activations are computed twice" in result.stderr
    refused = unlearn("forget", *data, "--dry-run", *flags, "--activation-checkpointing", "off")
    assert refused.exit_code == 2 and "does not fit" in refused.stderr


def test_a_loss_on_logits_takes_more(data, tmp_path) -> None:
    kl, nll = (planned(data, "--retain-term", term, "-o", tmp_path / "run") for term in ("kl", "nll"))
    assert kl["step"] > nll["step"] and kl["process"] > 100 * 2**20


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="other C libraries give memory back"
)
def test_freed_memory_is_given_back_where_it_is_short() -> None:
    """Between blocks that stay, two thirds of 192 MiB are freed. In a process of its own, because it cannot be undone."""
    code = (
        "import sys, numpy, psutil, unlearn_cli.models.memory as memory\n"
        "resident = lambda: psutil.Process().memory_info().rss\n"
        "{call}\n"
        "numpy.ones(30 * 2**20, dtype=numpy.uint8)\n"  # glibc keeps blocks of up to this size from now on, by itself
        "blocks = [numpy.ones(4 * 2**20, dtype=numpy.uint8) for _ in range(48)]\n"
        "before = resident()\n"
        "blocks = blocks[::3]\n"
        "print((before - resident()) / 2**20)\n"
    )
    given_back = [
        float(subprocess.run([sys.executable, "-c", code.format(call=call)], capture_output=True, text=True).stdout)
        for call in ("", "memory.give_freed_back()")
    ]
    assert given_back[0] < 64 < 120 < given_back[1]
