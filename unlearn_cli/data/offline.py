"""Offline mode for a process that may have imported the Hub's libraries already."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants

VARIABLE = "HF_HUB_OFFLINE"


@contextmanager
def offline(wanted: bool) -> Iterator[None]:
    """A context in which no library connects to the Hub, if `wanted`. Afterwards the process is as before.

    Libraries read HF_HUB_OFFLINE when they are imported, so the constants that they derived are changed, too. Processes
    that start inside the context read the variable itself.
    """
    if not wanted:
        yield
        return
    variable, constant = os.environ.get(VARIABLE), constants.HF_HUB_OFFLINE
    read = getattr(sys.modules.get("datasets.config"), VARIABLE, constant)
    os.environ[VARIABLE] = "1"
    _set(True, True)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if variable is not None:
            os.environ[VARIABLE] = variable
        _set(constant, read)


def _set(hub: bool, datasets: bool) -> None:
    constants.HF_HUB_OFFLINE = hub
    if (config := sys.modules.get("datasets.config")) is not None:  # it takes most of a second to import
        setattr(config, VARIABLE, datasets)
