"""Runs that are interrupted at named points, in this process: by a signal, or as SIGKILL leaves them.

What SIGKILL leaves is the folder as it is at that moment, with the lock of a process that is gone. So one whole run gives
the state after each of its points, and each copy can be resumed.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from unlearn_cli.recipes import forget
from unlearn_cli.recipes.forgetting import artifact, prepare
from unlearn_cli.recipes.scoring import measurements
from unlearn_cli.recipes.storage.lock import LOCK
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.training.checkpoint import Checkpoints

Visit = Callable[[str, Path], None]  # (name of the point, run folder)
# Of a report: when, how fast, where and by which words. All else is to be equal.
ASIDE = {"started", "seconds", "peak_memory", "command_line", "config_sources", "efficiency"}
ASIDE_CONFIG = {"output_dir", "resume", "overwrite"}
ASIDE_TRAINING = {"tokens_per_second", "seconds_per_step", "reference_seconds", "resumed_from_step"}


@contextmanager
def visited(visit: Visit) -> Iterator[None]:
    """Meanwhile `visit` is called at every point of a run at which the state of its folder has changed."""

    def step(folder: RunFolder, line: Any, *rest: Any) -> str:
        return f"measured at step {line['step']}" if isinstance(line, dict) else f"step {line.step}"

    with pytest.MonkeyPatch.context() as patch:

        def hook(owner: Any, name: str, point: Callable, folder: Callable, before: bool = False) -> None:
            real = getattr(owner, name)

            def hooked(*arguments: Any, **named: Any) -> Any:
                if before:
                    visit(point(*arguments), folder(*arguments))
                result = real(*arguments, **named)
                if not before:
                    visit(point(*arguments), folder(*arguments))
                return result

            patch.setattr(owner, name, hooked)

        own = lambda run, *rest: run.folder.path  # noqa: E731
        hook(measurements, "save_measured", lambda m, at, name, key: f"measured {name}", lambda m, at, name, key: _run(at))
        hook(prepare, "make_trainer", lambda *rest: "preparing", own, before=True)
        hook(RunFolder, "append", step, lambda folder, *rest: folder.path)
        hook(Checkpoints, "save", lambda at, step, *rest: f"checkpoint {step}", lambda at, *rest: at.folder.parent)
        hook(artifact, "save_artifact", lambda *rest: "saving", own, before=True)
        hook(forget, "identity_after", lambda *rest: "saved", own, before=True)
        hook(forget, "write_rows", lambda *rest: "scored", lambda *given: given[-1].parent, before=True)
        hook(forget, "write_report", lambda *rest: "reporting", lambda report, at: at, before=True)
        hook(RunFolder, "drop_checkpoints", lambda *rest: "reported", lambda folder: folder.path, before=True)
        yield


def _run(measured: Path) -> Path:
    return measured.parent.parent if measured.name == "on-the-way" else measured.parent


def killed_at_every_point(make: Callable[[], Any], below: Path, copies: Path) -> dict[str, Path]:
    """Make a run whole; point -> a copy of `below` (the run, or the sweep that it is of) as SIGKILL there leaves it."""
    states: dict[str, Path] = {}
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    def keep(point: str, run: Path) -> None:
        point = point if run == below else f"{run.name}: {point}"
        states[point] = copies / f"{len(states)}"
        shutil.copytree(below, states[point])
        for lock in states[point].rglob(LOCK):
            lock.write_text(json.dumps({"pid": gone.pid, "host": socket.gethostname(), "began": 0.0}))

    with visited(keep):
        make()
    return states


@contextmanager
def signaled(number: signal.Signals, point: str) -> Iterator[list[str]]:
    """Meanwhile this process gets a signal at a point; the yielded list then holds it."""
    delivered: list[str] = []

    def send(at: str, run: Path) -> None:
        if at == point:
            delivered.append(at)
            signal.raise_signal(number)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without it
    try:
        with visited(send):
            yield delivered
    finally:
        signal.signal(signal.SIGINT, before)


def evidence(run: Path) -> dict[str, Any]:
    """All that a run leaves, but for times and paths: report, lines, and the bytes of every other file that is compared."""
    report = json.loads((run / "report.json").read_text())
    for part, aside in ((report, ASIDE), (report["config"], ASIDE_CONFIG), (report["training"], ASIDE_TRAINING)):
        for name in aside:
            part.pop(name, None)
    (report["verdict"] or {}).pop("next", None)  # commands, which name the folder
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
    files = sorted(path for path in run.rglob("*") if path.is_file())
    kept = {str(path.relative_to(run)): path for path in files}
    read = {"README.md", "report.json", "metrics.jsonl", "plan.json"}
    contents = {name: _content(path) for name, path in kept.items() if name not in read and "lineage/" not in name}
    return {"report": report, "lines": lines, "names": list(kept), "files": contents}


def _content(path: Path) -> Any:
    """The bytes of a file; of tensors the header by name, because the order of its entries is left to chance."""
    data = path.read_bytes()
    if path.suffix != ".safetensors":
        return data
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def differences(run: Path, whole: Path) -> list[str]:
    """Names of what is not the same in two runs."""
    ours, theirs = evidence(run), evidence(whole)
    message = [f"report: {name}" for name in theirs["report"] if ours["report"].get(name) != theirs["report"][name]]
    message += [name for name in ("lines", "names") if ours[name] != theirs[name]]
    return message + [f"file {name}" for name in theirs["files"] if ours["files"].get(name) != theirs["files"][name]]
