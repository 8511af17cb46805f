"""Checks that hold for every option and parameter, before its own type and bounds; and `~` in paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast, get_args, get_origin

from pydantic.fields import FieldInfo

MANY = 10**9  # the largest number that an option or a parameter takes
SEED = {"ge": 0, "le": 2**32 - 1}  # bounds of a seed: torch and numpy both take these
NAME_BYTES = 255  # of a file's name: the limit of the usual file systems


class Extra(TypedDict, total=False):
    """What an option declares beside its type, default and help; `config/option.py` says what each means."""

    panel: str
    short: str
    flag: str
    metavar: str
    required: bool
    runtime: bool
    names: str
    consent: str
    path: bool
    may_be_empty: bool


def extra_of(field: FieldInfo) -> Extra:
    """What an option declares beside its type, default and help."""
    return cast(Extra, field.json_schema_extra or {})


@cache
def kinds(annotation: Any) -> frozenset[Any]:
    """The plain types in an annotation: tuples, unions and the like are taken apart."""
    if get_origin(annotation) is Annotated:
        return kinds(get_args(annotation)[0])
    inner = [part for part in get_args(annotation) if part is not Ellipsis]
    return frozenset().union(*map(kinds, inner)) if inner else frozenset({annotation})


def check_plain(value: Any, annotation: Any) -> None:
    """Refuse a truth value where the type has none, and NUL characters; also inside a list.

    Raises:
        ValueError: a truth value where none is expected, or a NUL character.
    """
    if isinstance(value, (list, tuple)):
        for item in value:
            check_plain(item, annotation)
    if isinstance(value, bool) and not kinds(annotation) & {bool, Any}:
        raise ValueError(f"{str(value).lower()} is a truth value; another kind of value is expected")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("it contains a NUL character")


def is_path(field: FieldInfo) -> bool:
    """Whether an option's value is a path, or may be a path (instead of a Hub id or a name)."""
    annotation: Any = field.annotation
    return Path in kinds(annotation) or bool(extra_of(field).get("path"))


def possible(value: Any, field: FieldInfo) -> Any:
    """An option's value, with `~` expanded in a path. The option's type and bounds are checked elsewhere.

    Raises:
        ValueError: what `check_plain` refuses, an empty text, or a file name that is too long.
    """
    check_plain(value, field.annotation)
    if isinstance(value, (list, tuple)):
        return type(value)(possible(item, field) for item in value)
    if value == "" and value != field.default and not extra_of(field).get("may_be_empty"):
        raise ValueError("the text is empty")
    return _expanded(value) if isinstance(value, (str, Path)) and is_path(field) else value


def _expanded(value: str | Path) -> str | Path:
    if any(len(os.fsencode(part)) > NAME_BYTES for part in str(value).split("/")):
        raise ValueError(f"the name of a file has at most {NAME_BYTES} bytes")
    try:
        return type(value)(os.fspath(Path(value).expanduser())) if str(value).startswith("~") else value
    except RuntimeError:
        raise ValueError(f"{str(value).partition('/')[0]} is no user's home folder") from None


def check_size(value: Any) -> None:
    """Refuse numbers that are too large. Parameters need it: their own bounds are often on one side only.

    Raises:
        ValueError: a number beyond `MANY` or `-MANY`, also in mappings and lists.
    """
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            check_size(item)
    elif isinstance(value, (int, float)) and abs(value) > MANY:
        raise ValueError(f"no number here is beyond {MANY:,}")
