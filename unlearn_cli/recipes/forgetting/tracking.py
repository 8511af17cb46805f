"""`--report-to`: log the lines of metrics.jsonl to a tracker as well, with Accelerate's trackers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unlearn_cli.errors import UnlearnError

PROJECT = "unlearn"
Log = Callable[[Mapping[str, Any]], None]  # takes a line of metrics.jsonl


def check_tracker(name: str) -> None:
    """Check that a tracker can be used, before training.

    Raises:
        UnlearnError: its package is not installed.
    """
    if name != "none" and find_spec(name) is None:
        raise UnlearnError(f"--report-to {name} needs the package {name}", f"pip install {name}")


@contextmanager
def tracked(name: str, folder: Path, config: Mapping[str, Any]) -> Iterator[Log]:
    """A context with a function that logs the numbers of a step. Rows and answers are never sent.

    Args:
        name: none, tensorboard, wandb or trackio.
        folder: the run folder. Its name is the run's name in the project "unlearn"; TensorBoard's files are written into it.
        config: settings that the tracker shows with the run.
    """
    if name == "none":
        yield lambda line: None
        return
    from accelerate import PartialState  # noqa: PLC0415 - slow to import, and rarely needed
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS  # noqa: PLC0415

    PartialState()
    kind = LOGGER_TYPE_TO_CLASS[name]
    tracker = kind("tracking", folder) if kind.requires_logging_directory else kind(PROJECT, name=folder.name)
    tracker.start()
    plain = {key: value if isinstance(value, (int, float, str, bool)) else str(value) for key, value in config.items()}
    tracker.store_init_configuration(plain)

    def log(line: Mapping[str, Any]) -> None:
        numbers = {key: value for key, value in line.items() if isinstance(value, (int, float)) and key != "step"}
        tracker.log(numbers, step=line["step"])

    try:
        yield log
    finally:
        tracker.finish()
