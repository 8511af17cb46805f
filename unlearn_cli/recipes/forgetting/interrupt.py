"""Ctrl-C and SIGTERM: finish the step, write a checkpoint, exit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from unlearn_cli.errors import EXIT_INTERRUPTED, EXIT_TERMINATED


class Interrupted(Exception):
    """The user or the system asked to stop.

    Args:
        exit_code: 130 for Ctrl-C, 143 for SIGTERM.
        message: what was kept and how to go on; empty where only the recipe knows.
    """

    def __init__(self, exit_code: int, message: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message


class Pruned(Exception):
    """A search ended this run: at this step it stood worse than the runs before."""

    def __init__(self, step: int) -> None:
        super().__init__(f"ended after step {step}")
        self.step = step


@dataclass
class Requests:
    """Whether a signal has requested a stop: the exit code to leave with, or None."""

    exit_code: int | None = None


@contextmanager
def deferred() -> Iterator[Requests]:
    """Note the first SIGINT or SIGTERM instead of stopping at once; a second one stops at once.

    Outside of the main thread nothing is noted: Python lets no other thread set handlers, and delivers no signal there.
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
    """Add to an interruption which results are finished; the same command reuses them."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(EXIT_INTERRUPTED, f"interrupted; {what} are kept: the same command goes on") from None
