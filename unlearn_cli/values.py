"""What no option and no parameter can mean, refused before its own type and bounds are looked at; and `~` in paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo

MANY = 10**9  # no number that anybody means is larger
SEED = {"ge": 0, "le": 2**32 - 1}  # bounds of a seed: torch and numpy both take these
NAME_BYTES = 255  # of a file's name: the limit of the usual file systems


@cache
def kinds(annotation: Any) -> frozenset[Any]:
    """The types that a value of this annotation is made of, without tuples, unions and their like."""
    if get_origin(annotation) is Annotated:
        return kinds(get_args(annotation)[0])
    inner = [part for part in get_args(annotation) if part is not Ellipsis]
    return frozenset().union(*map(kinds, inner)) if inner else frozenset({annotation})


def check_plain(value: Any, annotation: Any) -> None:
    """Refuse what no value of this type is, also inside a list.

    Raises:
        ValueError: a truth value where none is wanted, or a NUL character.
    """
    if isinstance(value, (list, tuple)):
        for item in value:
            check_plain(item, annotation)
    if isinstance(value, bool) and not kinds(annotation) & {bool, Any}:
        raise ValueError(f"{str(value).lower()} is a truth value, and another kind of value is wanted")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a NUL character is in it")


def is_path(field: FieldInfo) -> bool:
    """Whether an option is a path, or may be one beside other things (a Hub id, a name)."""
    return Path in kinds(field.annotation) or bool((field.json_schema_extra or {}).get("path"))


def possible(value: Any, field: FieldInfo) -> Any:
    """An option's value with `~` expanded where it is a path; the rest is left to the option's type and bounds.

    Raises:
        ValueError: what `check_plain` refuses, an empty text, or a name that no file system takes.
    """
    check_plain(value, field.annotation)
    if isinstance(value, (list, tuple)):
        return type(value)(possible(item, field) for item in value)
    if value == "" and value != field.default and not (field.json_schema_extra or {}).get("may_be_empty"):
        raise ValueError("a text without a character means nothing here")
    return _expanded(value) if isinstance(value, (str, Path)) and is_path(field) else value


def _expanded(value: str | Path) -> str | Path:
    if any(len(os.fsencode(part)) > NAME_BYTES for part in str(value).split("/")):
        raise ValueError(f"the name of a file has at most {NAME_BYTES} bytes")
    try:
        return type(value)(os.fspath(Path(value).expanduser())) if str(value).startswith("~") else value
    except RuntimeError:
        raise ValueError(f"nobody's home folder is {str(value).partition('/')[0]}") from None


def check_size(value: Any) -> None:
    """Refuse numbers beyond what anybody means, for parameters, whose own bounds are often on one side.

    Raises:
        ValueError: a number larger than `MANY`, whatever its sign; in mappings and lists too.
    """
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            check_size(item)
    elif isinstance(value, (int, float)) and abs(value) > MANY:
        raise ValueError(f"no number here is beyond {MANY:,}")
