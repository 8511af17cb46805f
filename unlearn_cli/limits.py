"""Bounds on what a stranger's file may cost while it is read: a kilobyte can ask for gigabytes, or for hours."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType

import psutil

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

GIB = 2**30
SECONDS = 10.0


class TooMuch(Exception):
    """Reading took too long or too much memory; the text says which."""


@cache
def _process(pid: int) -> psutil.Process:
    """A process. To find it takes longer than to render a row, and each row is rendered within bounds."""
    return psutil.Process(pid)


@contextmanager
def bounded(memory: int = GIB, seconds: float | None = SECONDS) -> Iterator[None]:
    """Inside, this process may take so much more memory and, in its main thread, so much time.

    The memory is bounded where the system bounds a process's addresses (Linux), the time where it has timers (not Windows).

    Args:
        memory: bytes.
        seconds: None does not bound the time.

    Raises:
        TooMuch: a bound was met.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooMuch(f"it takes more than {seconds:g} seconds")

    timed = seconds is not None and hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, stop) if timed else None
    limits = resource.getrlimit(resource.RLIMIT_AS) if resource else None
    try:
        if limits:
            wanted = _process(os.getpid()).memory_info().vms + memory
            allowed = [limit for limit in (*limits, wanted) if limit != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_AS, (min(allowed), limits[1]))
        if timed and seconds:
            signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    except MemoryError:
        raise TooMuch(f"it takes more than {memory / GIB:.3g} GiB of memory") from None
    finally:
        if timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        if limits:
            resource.setrlimit(resource.RLIMIT_AS, limits)
