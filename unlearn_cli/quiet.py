"""Libraries keep quiet about what nobody can act on, and only while a command runs: the process is its caller's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Meanwhile a few messages of libraries are not shown; filters and levels are then what they were."""
    log = logging.getLogger("bitsandbytes")
    level = log.level
    with warnings.catch_warnings():
        # peft still calls transformers by names that are going away.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\..*")
        # bitsandbytes reports a missing optional CPU kernel when it is imported.
        log.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            log.setLevel(level)
