"""Ctrl-C and SIGTERM: training finishes its step, writes a checkpoint, and exits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from unlearn_cli.errors import EXIT_INTERRUPTED, EXIT_TERMINATED


class Interrupted(Exception):
    """A signal stopped the command.

    Args:
        exit_code: 130 for Ctrl-C, 143 for SIGTERM.
        message: what is kept and how to continue; empty if only the recipe knows it.
    """

    def __init__(self, exit_code: int, message: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message


class Pruned(Exception):
    """A search ended this run, because at this step it was worse than earlier runs."""

    def __init__(self, step: int) -> None:
        super().__init__(f"ended after step {step}")
        self.step = step


@dataclass
class Requests:
    """The exit code that a signal asks for; None before a signal."""

    exit_code: int | None = None


@contextmanager
def deferred() -> Iterator[Requests]:
    """A context in which the first SIGINT or SIGTERM is only recorded; a second one stops the command at once.

    Outside of the main thread it does nothing: Python sets signal handlers only there, and delivers signals only there.
    """
    requests = Requests()

    def handle(number: int, frame: FrameType | None) -> None:
        code = EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED
        if requests.exit_code is not None:
            raise Interrupted(code)
        requests.exit_code = code

    in_main = threading.current_thread() is threading.main_thread()
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if in_main and signal.getsignal(number) is not None]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def keeping(what: str) -> Iterator[None]:
    """A context in which Ctrl-C or SIGTERM raises an error that names the kept results; the same command reuses them."""
    try:
        yield
    except KeyboardInterrupt as stop:
        code = getattr(stop, "exit_code", EXIT_INTERRUPTED)
        raise Interrupted(code, f"interrupted; {what} are kept: the same command continues") from None
