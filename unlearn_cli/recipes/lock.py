"""One process at a time in a folder: two that write into one leave files that do not belong together."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from unlearn_cli.errors import UnlearnError

LOCK = ".unlearn.lock"  # holds the process and its host; a name that `compare sweep/*` does not match
CLOCK_SECONDS = 2.0  # by which two readings of when a process began may differ


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Meanwhile no other process can take the folder, which is made if it is missing and left out again if still empty.

    Raises:
        UnlearnError: another process has it, or it cannot be written.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _take(folder / LOCK)
    except OSError as error:
        raise UnlearnError(f"{folder} cannot be written: {error.strerror or error}") from None
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        with suppress(OSError):  # something is in it
            for place in missing:
                place.rmdir()


def check_free(folder: Path) -> None:
    """Look whether a folder is free, and write nothing.

    Raises:
        UnlearnError: a process has it.
    """
    try:
        text = (folder / LOCK).read_text(encoding="utf-8")
    except OSError:
        return
    if not _is_stale(text):
        raise _in_use(folder, text)


def _take(path: Path) -> None:
    while True:
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(_own()))
            return
        except FileExistsError:
            with suppress(FileNotFoundError):  # freed, or taken over, in this very moment
                text = path.read_text(encoding="utf-8")
                if not _is_stale(text):
                    raise _in_use(path.parent, text) from None
                _remove_stale(path, text)


def _own() -> dict[str, Any]:
    process = psutil.Process()
    return {"pid": process.pid, "host": socket.gethostname(), "began": process.create_time()}


def _is_stale(text: str) -> bool:
    """Whether the process that wrote a lock is known to be gone. One on another host cannot be looked for."""
    holder = _parsed(text)
    if holder.get("host") != socket.gethostname():
        return False
    try:
        process = psutil.Process(holder["pid"])
        same = abs(process.create_time() - holder["began"]) < CLOCK_SECONDS  # numbers of processes are used again
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _parsed(text: str) -> dict[str, Any]:
    try:
        holder = json.loads(text)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) and {"pid", "host", "began"} <= set(holder) else {}


def _remove_stale(path: Path, text: str) -> None:
    """Remove a lock, unless another process has taken it over since `text` was read."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    os.replace(path, aside)
    if aside.read_text(encoding="utf-8") == text:
        aside.unlink()
    else:
        os.replace(aside, path)


def _in_use(folder: Path, text: str) -> UnlearnError:
    holder = _parsed(text)
    who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
    return UnlearnError(
        f"{folder} is in use by {who}",
        f"wait until it has ended, or choose another folder; if that process is gone: rm {folder / LOCK}",
    )
