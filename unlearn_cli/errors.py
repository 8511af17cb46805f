"""One error for everything a person can mend, with the exit codes the command line promises."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1  # the run failed for a reason that is not the user's input
EXIT_USAGE = 2  # usage, configuration or data
EXIT_GATE = 3  # a --fail-if gate was met
EXIT_DIVERGED = 4  # diverged, collapsed, or had no effect
EXIT_INTERRUPTED = 130  # Ctrl-C
EXIT_PIPE = 141  # whoever read stdout has gone, as with `| head`
EXIT_TERMINATED = 143  # SIGTERM


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
