"""The one way in which this program replaces a file: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, content: str | Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there. After an error or an interruption the old file is still there.

    Args:
        path: the file; its folder exists.
        content: the text, or a function that writes the file to the path it is given.
    """
    # With the process in its name, because FILE.part may be a file of the user's.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = part.stat().st_mode
        if isinstance(content, str):
            part.write_text(content, encoding="utf-8")
        else:
            content(part)
        part.chmod(mode)  # safetensors makes files that the owner alone can read
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
