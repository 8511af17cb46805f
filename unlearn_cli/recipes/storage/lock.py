"""A lock on a folder, because files of two processes in one folder would not belong together."""

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

from unlearn_cli.atomic import LOCKS, check_locks, content_of
from unlearn_cli.errors import UnlearnError, not_written
from unlearn_cli.recipes.storage.output_files import why_not_writable

LOCK = ".unlearn.lock"  # contains process id and host; a hidden name, so that `compare sweep/*` does not match it
CLOCK_SECONDS = 2.0  # the largest difference between two readings of a process's start time


@contextmanager
def locked(folder: Path, otherwise: str = "give another folder") -> Iterator[None]:
    """A context in which no other process can lock the folder. A missing folder is made, and removed if it is still empty.

    Args:
        folder: the folder.
        otherwise: the hint if the folder cannot be written.

    Raises:
        UnlearnError: another process has the lock, the folder cannot be written, or a link in it leads out of it; or,
            afterwards, the folder or its lock was taken away.
    """
    check_links(folder)
    if why := why_not_writable(folder):
        raise not_written(folder, why, otherwise)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = _take(folder / LOCK)
    except OSError as error:
        raise not_written(folder, error.strerror or str(error), otherwise) from None
    lock = (folder / LOCK).absolute()
    LOCKS[lock] = text
    try:
        yield
        check_locks(lock)
    finally:
        del LOCKS[lock]
        with suppress(OSError):  # the disk became read-only, or a folder is not empty
            if content_of(lock) == text:
                lock.unlink()
            for place in missing:
                place.rmdir()


def check_links(folder: Path) -> None:
    """Check that no link in a folder leads out of it: a command would write, remove or upload files elsewhere.

    Raises:
        UnlearnError: a link does; the message names it.
    """
    inside = folder.resolve()
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise UnlearnError(f"{path} is a link that leads out of the folder", "replace it by the file that it leads to")


def check_free(folder: Path) -> None:
    """Check that no process has the folder's lock. Writes nothing.

    Raises:
        UnlearnError: a process has it.
    """
    try:
        text = (folder / LOCK).read_text(encoding="utf-8")
    except OSError:
        return
    if not _is_stale(text):
        raise _in_use(folder, text)


def _take(path: Path) -> str:
    """Write the lock, if no living process has it. Returns its content."""
    mine = json.dumps(_this_process())
    with _exclusive(path.parent):
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            pass
        else:
            if not _is_stale(text):
                raise _in_use(path.parent, text)
            path.unlink(missing_ok=True)
        try:
            _create(path, mine)
        except FileExistsError:  # possible where `_exclusive` has no effect
            raise _in_use(path.parent, path.read_text(encoding="utf-8")) from None
    return mine


def _create(path: Path, text: str) -> None:
    """Create a file that is whole as soon as it exists: a lock that a killed process left empty would never count as stale.

    Raises:
        FileExistsError: it exists already.
    """
    part = path.with_name(f"{path.name}.part")  # one name: the next process to take the lock writes over one left behind
    try:
        part.write_text(text, encoding="utf-8")
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            path.touch(exist_ok=False)
            try:
                path.write_text(text, encoding="utf-8")
            except OSError:  # a lock without its text would never count as stale
                path.unlink()
                raise
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """A context in which no other process or thread reads or takes a lock here, if the system supports that."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without such locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # releases the lock; the end of the process does so too


def _this_process() -> dict[str, Any]:
    process = psutil.Process()
    return {"pid": process.pid, "host": socket.gethostname(), "began": process.create_time()}


def _is_stale(text: str) -> bool:
    """Whether the process that wrote a lock has ended. False for a process on another host, which cannot be checked."""
    holder = _parsed(text)
    if holder.get("host") != socket.gethostname():
        return False
    try:
        process = psutil.Process(holder["pid"])
        same = abs(process.create_time() - holder["began"]) < CLOCK_SECONDS  # process ids are reused
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
