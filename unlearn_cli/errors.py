"""One error for everything a person can mend, with the exit codes the command line promises."""

from __future__ import annotations

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_GATE, EXIT_DIVERGED = 0, 1, 2, 3, 4
EXIT_INTERRUPTED, EXIT_PIPE, EXIT_TERMINATED = 130, 141, 143
EXIT_CODES = {
    EXIT_OK: "done",
    EXIT_FAILED: "the run failed",
    EXIT_USAGE: "usage, configuration or data",
    EXIT_GATE: "a `--fail-if` gate was met",
    EXIT_DIVERGED: "diverged, wrecked what was to be kept, or changed nothing",
    EXIT_INTERRUPTED: "Ctrl-C; a checkpoint is kept",
    EXIT_PIPE: "whoever read stdout has gone, as with `unlearn list \\| head`",
    EXIT_TERMINATED: "SIGTERM; a checkpoint is kept",
}


class UnlearnError(Exception):
    """Something a person can act on: shown without a traceback, as `error:` and `hint:`.

    Args:
        message: what is wrong, in the user's words, without a full stop at the end.
        hint: the next step, if there is one; a command where possible.
        exit_code: one of the EXIT_* codes of this module.
    """

    def __init__(self, message: str, hint: str | None = None, exit_code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


def unusable_path(error: BaseException) -> UnlearnError | None:
    """The error to show where a file or folder cannot be read or written, or None."""
    full = "No space left on device" in str(error) or "Disk quota exceeded" in str(error)
    if not full and not (isinstance(error, OSError) and error.filename and error.strerror):
        return None
    path = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    said = error.strerror if isinstance(error, OSError) and error.strerror else "No space left on device"
    hint = "make room there, or choose another --output-dir" if full else "see that it is there and that you may use it"
    return UnlearnError(f"{path}{said}", hint)


def out_of_memory(error: BaseException) -> UnlearnError | None:
    """The error to show where a device or the machine has no memory left, or None."""
    if type(error).__name__ not in ("OutOfMemoryError", "MemoryError") and "not enough memory" not in str(error):
        return None
    said = str(error).splitlines()[0] if str(error) else ""
    return UnlearnError(
        f"out of memory: {said}".rstrip(": "),
        "cheapest first: --batch-size 1 --gradient-accumulation-steps 8, a shorter --max-length, --load-in-4bit; "
        "--dry-run shows an estimate",
        EXIT_FAILED,
    )
