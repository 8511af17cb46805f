"""Commands in processes of their own that are killed at any moment; what they leave, and what a second try makes of it.

A child is a fork: it has torch loaded already, so that a kill costs a second and not ten.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.cli.running import unlearn

# When, how fast and where: not the same in two runs.
VOLATILE = {
    "started", "seconds", "peak_memory", "command_line", "config_sources", "tokens_per_second", "seconds_per_step",
    "reference_seconds", "resumed_from_step", "output_dir", "resume", "overwrite", "environment", "cost", "spent",
}  # fmt: skip
TIME = 120.0  # seconds after which a child counts as hanging


class Ended(NamedTuple):
    """How a child ended: its exit code, or the negative number of the signal; and what it said, if it came to that."""

    code: int
    stderr: str


def start(*arguments: object, said: Path, first: Callable[[], None] | None = None) -> int:
    """`unlearn ARGUMENTS` in a child, a process group of its own; its id. `first` runs in the child before the command."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        if first is not None:
            first()
        done = unlearn(*arguments)
        said.write_text(done.stderr, encoding="utf-8")
        code = done.exit_code
    finally:
        os._exit(code)


def ended(child: int, said: Path) -> Ended:
    """Wait for a child."""
    until = time.monotonic() + TIME
    while time.monotonic() < until:
        if (status := os.waitpid(child, os.WNOHANG))[0]:
            text = said.read_text(encoding="utf-8") if said.is_file() else ""
            return Ended(os.waitstatus_to_exitcode(status[1]), text)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("a child hangs")


def started(*arguments: object, said: Path, until: Path) -> int:
    """A child that has come so far that `until`, in its run folder, exists; its id.

    A fork of a process with other threads can hang at its first lock, which one of them had: such a child is replaced once.
    """
    for _ in range(2):
        said.unlink(missing_ok=True)
        child, began = start(*arguments, said=said), time.monotonic()
        while time.monotonic() < began + TIME / 2:
            if until.exists():
                return child
            if os.waitpid(child, os.WNOHANG)[0]:
                raise AssertionError(f"it ended before that: {said.read_text() if said.is_file() else ''}")
            time.sleep(0.01)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        shutil.rmtree(until.parent, ignore_errors=True)
    raise AssertionError("a child hangs")


def whole(*arguments: object, said: Path, first: Callable[[], None] | None = None) -> tuple[Ended, float]:
    """Run a command to its end; how it ended, and the seconds it took."""
    said.unlink(missing_ok=True)
    began = time.monotonic()
    return ended(start(*arguments, said=said, first=first), said), time.monotonic() - began


def stopped(
    *arguments: object, said: Path, number: signal.Signals, after: float, first: Callable[[], None] | None = None
) -> Ended:
    """Run a command and send it, and all its children, a signal after so many seconds."""
    said.unlink(missing_ok=True)
    child = start(*arguments, said=said, first=first)
    time.sleep(after)
    try:
        os.killpg(child, number)
    except ProcessLookupError:
        os.kill(child, number)  # so early that it has no group yet
    return ended(child, said)


def moments(count: int, seconds: float, seed: int) -> list[float]:
    """Random moments of a command that takes so long, the very first and the last included."""
    draw = random.Random(seed)
    return [draw.uniform(0.0, 1.05 * seconds) for _ in range(count)]


def evidence(folder: Path) -> dict[str, Any]:
    """Every file below a folder without what differs between equal runs: JSON values, tensors by name, else bytes.

    The statements of the lineage hold times and hashes of the files that do.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "lineage")
    return {path.relative_to(folder).as_posix(): _content(path, folder) for path in files}


def _content(path: Path, folder: Path) -> Any:
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        end = 8 + int.from_bytes(data[:8], "little")
        return json.loads(data[8:end]), data[end:]
    if path.suffix == ".json":
        return _steady(json.loads(data), str(folder))
    if path.suffix == ".jsonl":
        return [_steady(json.loads(line), str(folder)) for line in data.splitlines()]
    if path.suffix == ".yaml":
        return _steady(data.decode(), str(folder))
    return "" if path.name == "README.md" else data  # the card says how long it took


def _steady(value: Any, folder: str) -> Any:
    if isinstance(value, dict):
        return {key: _steady(one, folder) for key, one in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [_steady(one, folder) for one in value]
    return value.replace(folder, "FOLDER") if isinstance(value, str) else value


def differing(one: Path, other: Path) -> list[str]:
    """Names of files that are not the same below two folders. What a kill left of a file under another name is none."""
    ours, theirs = evidence(one), evidence(other)
    names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    return [name for name in names if not name.endswith(".part")]


def half_written(folder: Path) -> list[str]:
    """Files under their final name that are not whole; a line that a step was writing is known to be cut.

    A merge writes into a folder beside its output, which no command reads and the next merge removes.
    """
    broken = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in ("metrics.jsonl", ".unlearn.lock") or path.name.endswith(".part"):
            continue
        if any(part.startswith(".") and part.endswith(".merge") for part in path.relative_to(folder).parts):
            continue
        try:
            _content(path, folder)
        except ValueError:
            broken.append(path.relative_to(folder).as_posix())
    return broken
