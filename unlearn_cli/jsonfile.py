"""JSON that a person or another program may have written: whatever is wrong with it is one kind of error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unlearn_cli.errors import UnlearnError


def parse_json(text: str) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: it is no JSON, or nested too deep to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists or objects are nested too deep") from None


def read_json(path: Path, hint: str) -> Any:
    """What a JSON file holds.

    Raises:
        UnlearnError: it cannot be read; `hint` says what to do.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnlearnError(f"{path} cannot be read: {error.strerror}", hint) from None
    except ValueError as error:  # of UnicodeDecodeError too
        raise UnlearnError(f"{path} is not valid JSON: {str(error).splitlines()[0]}", hint) from None


def read_object(path: Path, hint: str) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        UnlearnError: it cannot be read, or holds something else.
    """
    held = read_json(path, hint)
    if not isinstance(held, dict):
        raise UnlearnError(f"{path} holds {kind_of(held)}, where an object is expected", hint)
    return held


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")


def read_complete_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file. A last line that a killed process left half written is skipped."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
