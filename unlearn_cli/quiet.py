"""Mute messages of libraries that the user cannot act on, while a command runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

MUTED = (
    "bitsandbytes",  # an optional CPU kernel is missing: said at import and at the first use
    "transformers.distributed.tensor_parallel",
    "transformers.modeling_utils",  # a table of missing weights, which our error names
    "transformers.tokenization_utils_base",  # rows longer than the model's limit: we cut and count them ourselves
)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """A context in which a few messages of libraries are not shown. Afterwards filters and levels are as before."""
    logs = {log: log.level for log in map(logging.getLogger, MUTED)}
    with warnings.catch_warnings():
        # peft still uses deprecated names of transformers.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\..*")
        for log in logs:
            log.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for log, level in logs.items():
                log.setLevel(level)
