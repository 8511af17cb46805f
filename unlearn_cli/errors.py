"""The error for everything that the user can fix, and the exit codes of the command line."""

from __future__ import annotations

import errno
import os
import re

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_GATE, EXIT_DIVERGED = 0, 1, 2, 3, 4
EXIT_INTERRUPTED, EXIT_PIPE, EXIT_TERMINATED = 130, 141, 143
EXIT_CODES = {
    EXIT_OK: "done",
    EXIT_FAILED: "the run failed",
    EXIT_USAGE: "usage, configuration or data",
    EXIT_GATE: "a `--fail-if` gate was met",
    EXIT_DIVERGED: "the target was not reached, or the run diverged, damaged the model, or changed nothing",
    EXIT_INTERRUPTED: "Ctrl-C; a checkpoint is kept",
    EXIT_PIPE: "the reader of stdout has gone, as with `unlearn list \\| head`",
    EXIT_TERMINATED: "SIGTERM; a checkpoint is kept",
}


# In errors of other types; the last two are what is left where C code, and a new thread's stack, were refused memory.
NO_MEMORY = ("not enough memory", "allocate memory", "error return without exception set", "can't start new thread")


# What the systems say of a disk or a quota without room; the last is Windows's.
FULL = (*(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)), "There is not enough space on the disk")
ROOM = "make room there and give the same command again"
WRITABLE = "give the command again with a place that can be written"


class UnlearnError(Exception):
    """A problem that the user can fix. It is shown without a traceback, as `error:` and `hint:`.

    Args:
        message: what is wrong, without a full stop at the end.
        hint: the next step, if there is one; a command where possible.
        exit_code: one of the EXIT_* codes of this module.
    """

    def __init__(self, message: str, hint: str | None = None, exit_code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class StorageError(UnlearnError):
    """A file or folder that cannot be written."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which systems that manage jobs end a command. It unwinds as Ctrl-C does."""

    exit_code = EXIT_TERMINATED


def not_written(path: object, reason: str, hint: str = WRITABLE) -> StorageError:
    """The error of a file or folder that cannot be written, for a reason in the system's words.

    `hint` is the next step, if there is room on the disk.
    """
    return StorageError(f"{path} cannot be written: {reason}", ROOM if reason in FULL else hint)


def refusal(error: BaseException) -> str | None:
    """The reason of the system if it refused to read or write a file; None for other errors.

    Libraries in Rust put its number into a text. Torch raises an error of its own over the system's.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        if full := next((reason for reason in FULL if reason in str(link)), None):
            return full
        if number := re.search(r"\(os error (\d+)\)", str(link)):
            return os.strerror(int(number[1]))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return None


def plain_reason(reason: str) -> str:
    """A reason of pydantic as the end of our sentence: "must be a valid number"."""
    return reason.removeprefix("Value error, ").replace("Input should", "must", 1).split(", unable to parse")[0]


def unusable_path(error: BaseException) -> UnlearnError | None:
    """The error to show if a file or folder cannot be read or written; None for other errors."""
    reason, path = refusal(error), getattr(error, "filename", None)
    if reason in FULL:
        return UnlearnError(f"{path}: {reason}" if path else reason, ROOM)
    if reason is None or not isinstance(error, OSError):
        return None
    if "temporary directory" in reason:  # of `tempfile`: no folder that it tried can be written
        return UnlearnError(reason, "TMPDIR=DIR before the command names one with room")
    return UnlearnError(f"{path}: {reason}", "check that it exists and that you have permission") if path else None


def out_of_memory(error: BaseException) -> UnlearnError | None:
    """The error to show if a device or the machine has no memory left; None for other errors."""
    named = type(error).__name__ in ("OutOfMemoryError", "MemoryError", "ArrowMemoryError")
    if not named and not any(words in str(error) for words in NO_MEMORY):
        return None
    reason = str(error).splitlines()[0] if str(error) else ""
    return UnlearnError(
        f"out of memory: {reason}".rstrip(": "),
        "cheapest first: --batch-size 1 --gradient-accumulation-steps 8, a shorter --max-length, --load-in-4bit; "
        "--dry-run shows an estimate",
        EXIT_FAILED,
    )
