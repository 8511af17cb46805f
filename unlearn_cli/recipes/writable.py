"""Whether something can be written somewhere, found out without writing: what is refused later must not leave a trace."""

from __future__ import annotations

import os
from pathlib import Path


def obstacle(folder: Path) -> str | None:
    """Why nothing can be written into a folder, in words; None if it can. The folder need not exist yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        return f"{there} is a file"
    return None if os.access(there, os.W_OK | os.X_OK) else f"no permission to write into {there}"
