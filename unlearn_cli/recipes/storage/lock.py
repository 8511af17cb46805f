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

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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
    with _alone(path.parent):
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            pass
        else:
            if not _is_stale(text):
                raise _in_use(path.parent, text)
            path.unlink(missing_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(_own()))
        except FileExistsError:  # where `_alone` keeps nobody out
            raise _in_use(path.parent, path.read_text(encoding="utf-8")) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Meanwhile no other process or thread looks for a lock here or takes one, where the system can see to it."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without such locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # which gives the lock back, as the end of the process does


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


def _in_use(folder: Path, text: str) -> UnlearnError:
    holder = _parsed(text)
    who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
    return UnlearnError(
        f"{folder} is in use by {who}",
        f"wait until it has ended, or choose another folder; if that process is gone: rm {folder / LOCK}",
    )
