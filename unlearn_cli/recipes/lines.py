"""JSON Lines that a killed process may have left half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearn_cli.jsonfile import parse_json


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that are whole; what is cut off at its end is left out."""
    made = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            held = parse_json(line)
        except ValueError:
            continue
        if isinstance(held, dict):
            made.append(held)
    return made
