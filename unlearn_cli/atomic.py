"""The one way in which this program writes: a file is whole or not there, and what cannot be written is named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from unlearn_cli.errors import StorageError, not_written, refusal

LOCKS: dict[Path, str] = {}  # the file of each lock that this process has -> its content


Content = str | Callable[[Path], object]  # a text, or a function that writes a file to the path it is given


def write_atomically(path: Path, content: Content) -> None:
    """Write a file beside its place and move it there. After an error or an interruption the old file is still there.

    Args:
        path: the file; a missing folder is made.
        content: what is in it.

    Raises:
        StorageError: the file cannot be written.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, Content]) -> None:
    """Write files that belong together: all beside their places first, then all are moved there, in their order.

    Raises:
        StorageError: one cannot be written; then none has changed.
    """
    # With the process in its name, because FILE.part may be a file of the user's.
    parts = {path: path.with_name(f"{path.name}.{os.getpid()}.part") for path in files}
    try:
        for path, part in parts.items():
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(part, files[path])
        for path, part in parts.items():
            with writing(path):
                os.replace(part, path)
    except BaseException:
        for part in parts.values():
            with suppress(OSError):  # the first error is the one to show
                part.unlink(missing_ok=True)
        raise


def _write(part: Path, content: Content) -> None:
    part.touch()
    mode = part.stat().st_mode
    if isinstance(content, str):
        part.write_text(content, encoding="utf-8", newline="\n")  # hashes are of this, on Windows too
    else:
        content(part)
    part.chmod(mode)  # safetensors makes files that the owner alone can read


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A context in which one file or folder is written, by whatever library.

    Raises:
        StorageError: the system refuses to write it; or it lies in a folder that this process has lost.
    """
    check_locks(path)
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        check_locks(path)  # what else fails in a folder that was taken away says less
        if (reason := refusal(error)) is None:
            raise
        raise not_written(path, reason) from error


def check_locks(path: Path) -> None:
    """Check that a locked folder in which a file lies is still there and still locked by this process.

    A folder that was deleted is not made again: it would look like a whole one, and miss what was in it.

    Raises:
        StorageError: it is not.
    """
    for lock, text in list(LOCKS.items()):
        if path.absolute().is_relative_to(lock.parent) and content_of(lock) != text:
            raise not_written(
                lock.parent, "it was removed, moved or unlocked while this command ran", "give the command again"
            )


def content_of(lock: Path) -> str | None:
    """The content of a lock; None if it is not there."""
    try:
        return lock.read_text(encoding="utf-8")
    except OSError:
        return None
