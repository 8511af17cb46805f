"""Output files that the user asks for. A command checks before any work that they can be written."""

from __future__ import annotations

import os
from pathlib import Path

from unlearn_cli.atomic import write_atomically
from unlearn_cli.config import CompareConfig
from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.rendering.plots import check_drawable


def check_targets(config: CompareConfig) -> bool:
    """Check that all output files of `compare` can be written. Returns whether a document goes to stdout.

    Raises:
        UnlearnError: a file cannot be written, or two documents would go to stdout.
    """
    targets = {"--csv": config.csv, "--markdown": config.markdown, "--html": config.html, "--plot": config.plot}
    piped = ["--json"] * config.json_output + [f"{flag} -" for flag, path in targets.items() if str(path) == "-"]
    if len(piped) > 1:
        raise UnlearnError(f"{' and '.join(piped)} would both write to stdout", "give one of them a file")
    if config.plot:
        check_drawable(config.plot)
    for flag, path in targets.items():
        if path is not None and not (str(path) == "-" and flag in ("--csv", "--markdown")):
            check_file(flag, path)
    return bool(piped)


def check_file(flag: str, path: Path) -> None:
    """Check that a file can be written, without creating it or its folder.

    Raises:
        UnlearnError: it cannot be written.
    """
    if str(path) == "-" or path.is_dir():
        raise UnlearnError(f"{flag} {path}: a file is needed", "name a file in a folder that can be written")
    # A file is first written beside its place and then moved, so the folder must be writable.
    if why := why_not_writable(path.parent):
        raise UnlearnError(f"{flag} {path} cannot be written: {why}", "give another path")


def write(path: Path | None, text: str, reporter: Reporter) -> None:
    """Write one document; `-` is stdout. A missing folder is created.

    Raises:
        UnlearnError: the file cannot be written.
    """
    if path is None:
        return
    if str(path) == "-":
        reporter.data(text.rstrip("\n"))
        return
    write_atomically(path, text)


def why_not_writable(folder: Path) -> str | None:
    """The reason why a command cannot write into a folder, in words; None if it can. The folder may be missing.

    The check writes nothing, so a refused command leaves no trace.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        return f"{nearest} is a file"
    return None if os.access(nearest, os.W_OK | os.X_OK) else f"no permission to write into {nearest}"
