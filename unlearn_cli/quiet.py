"""Libraries keep quiet about what nobody can act on, and only while a command runs: the process is its caller's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

MUTED = (
    "bitsandbytes",  # an optional CPU kernel that is missing, told at import and at the first use
    "transformers.distributed.tensor_parallel",
    "transformers.modeling_utils",  # a table of weights that are missing, which our error names
    "transformers.tokenization_utils_base",  # rows beyond the model's limit, which we cut and count ourselves
)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Meanwhile a few messages of libraries are not shown; filters and levels are then what they were."""
    logs = {log: log.level for log in map(logging.getLogger, MUTED)}
    with warnings.catch_warnings():
        # peft still calls transformers by names that are going away.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\..*")
        for log in logs:
            log.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for log, level in logs.items():
                log.setLevel(level)
