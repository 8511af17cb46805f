"""`name=value` texts: the one reader of `-p a=1,b=2`, `--grid a=1,2` and `--columns a=x,b=y`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Value = TypeVar("Value")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})(:log)?")


class Unreadable(ValueError):
    """A part of a value does not have the form that its option takes."""

    def __init__(self, part: str) -> None:
        super().__init__(f"'{part}' cannot be read")
        self.part = part


@dataclass(frozen=True)
class Range:
    """All values between two numbers, `1e-4:1e-2`; whole numbers if both ends are. `:log`: each factor is as likely."""

    low: float
    high: float
    log: bool


def looks_like_range(text: str) -> bool:
    """Whether a text has the form of a range; its ends may still be in the wrong order."""
    return _RANGE.fullmatch(text) is not None


def range_of(value: Any) -> Range | None:
    """The range that a text stands for; None if it is no range.

    Raises:
        ValueError: no number lies between the ends, or a logarithmic range has an end that is not above 0.
    """
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    low, high = (int(end) if re.fullmatch(r"[-+]?\d+", end) else float(end) for end in match.groups()[:2])
    if low >= high:
        raise ValueError("a range begins with its smaller end")
    if match[3] and low <= 0:
        raise ValueError("both ends of a range with :log are above 0")
    return Range(low, high, bool(match[3]))


def ends(values: Sequence[Any]) -> Sequence[Any]:
    """The values; if there is a range in their place, its two ends."""
    between = range_of(values[0]) if len(values) == 1 else None
    return (between.low, between.high) if between else values


def split_at_commas(value: Any) -> Any:
    """The parts of a text, or of a list of texts, without the spaces around them; any other value as it is."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)):
        parts = [part for item in value for part in (item.split(",") if isinstance(item, str) else [item])]
        return [part.strip() if isinstance(part, str) else part for part in parts]
    return value


def read_assignments(
    parts: Iterable[str], convert: Callable[[str], Value], *, several: bool = False
) -> list[tuple[str, list[Value]]]:
    """Names with their values, in order: `a=1`, `b=2` as [("a", [1]), ("b", [2])].

    Args:
        parts: texts of the form `name=value`.
        convert: makes a value from its text; it raises a ValueError if it cannot.
        several: a part without `=` is one more value of the name before it: `a=1`, `2` as [("a", [1, 2])].

    Raises:
        Unreadable: a part has another form, or `convert` fails.
    """
    assignments: list[tuple[str, list[Value]]] = []
    for part in parts:
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if equals and name:
            assignments.append((name, []))
        elif several and assignments and not equals:
            text = part
        else:
            raise Unreadable(part)
        try:
            assignments[-1][1].append(convert(text))
        except ValueError:
            raise Unreadable(part) from None
    return assignments
