"""The error for everything that the user can fix, and the exit codes of the command line."""

from __future__ import annotations

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


# In errors of other types; the last is what is left where C code was refused memory.
NO_MEMORY = ("not enough memory", "allocate memory", "error return without exception set")


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


def plain_reason(reason: str) -> str:
    """A reason of pydantic as the end of our sentence: "must be a valid number"."""
    return reason.removeprefix("Value error, ").replace("Input should", "must", 1).split(", unable to parse")[0]


def unusable_path(error: BaseException) -> UnlearnError | None:
    """The error to show if a file or folder cannot be read or written; None for other errors."""
    full = "No space left on device" in str(error) or "Disk quota exceeded" in str(error)
    if not full and not (isinstance(error, OSError) and error.filename and error.strerror):
        return None
    path = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "No space left on device"
    hint = "make room there, or choose another --output-dir" if full else "check that it exists and that you have permission"
    return UnlearnError(f"{path}{reason}", hint)


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
