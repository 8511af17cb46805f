"""Read JSON that a person or another program may have written, with one kind of error; and write JSON."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from unlearn_cli.errors import UnlearnError, plain_reason

Shape = TypeVar("Shape", bound=BaseModel)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: the text is no JSON, an object holds a key twice, the nesting is too deep, or a text in it is no Unicode.
    """
    try:
        value = json.loads(text, object_pairs_hook=_each_key_once)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("lists or objects are nested too deep") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"\\u{ord(error.object[error.start]):04x} is half of a character") from None
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. A key that is there twice is refused: it is unknown which value is meant."""
    read = dict(pairs)
    if len(read) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' is there twice")
    return read


def read_json(path: Path, hint: str) -> Any:
    """The value in a JSON file.

    Raises:
        UnlearnError: the file cannot be read, or is no JSON; `hint` says what to do.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnlearnError(f"{path} cannot be read: {error.strerror}", hint) from None
    except ValueError as error:  # UnicodeDecodeError is one too
        raise UnlearnError(f"{path} is not valid JSON: {str(error).splitlines()[0]}", hint) from None


def read_object(path: Path, hint: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UnlearnError: the file cannot be read, or holds another kind of value.
    """
    content = read_json(path, hint)
    if not isinstance(content, dict):
        raise UnlearnError(f"{path} holds {kind_of(content)}, where an object is expected", hint)
    return content


def read_shaped(path: Path, shape: type[Shape], hint: str) -> Shape:
    """The object in a JSON file, which has the fields of `shape`. A run folder may come from a stranger.

    Raises:
        UnlearnError: the file cannot be read, or holds something else; `hint` says what to do.
    """
    content = read_object(path, hint)
    try:
        return shape.model_validate(finite(content))
    except RecursionError:
        raise UnlearnError(f"{path} is broken: lists or objects are nested too deep", hint) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UnlearnError(f"{path} is broken: {where}: {plain_reason(first['msg'])}", hint) from None


def read_kept(path: Path, shape: type[Shape]) -> Shape | None:
    """The object in a file that a run keeps for itself; None if there is none or it is broken: then it is made again."""
    try:
        return read_shaped(path, shape, "") if path.is_file() else None
    except UnlearnError:
        return None


def kind_of(value: Any) -> str:
    """The kind of a JSON value, in words."""
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity replaced by None, so that it is valid JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def to_json(value: Any) -> str:
    """A value as indented JSON text; NaN and infinity become null, and other types texts."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False, default=str, allow_nan=False)


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
