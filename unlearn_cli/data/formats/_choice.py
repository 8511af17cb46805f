"""Choose the format of a file's rows by their column names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from unlearn_cli.data.formats._row import EXTRAS, Format
from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import Registry

FORMATS = Registry[Format]("row format", "unlearn_cli.data.formats")

# The first format that fits is chosen, so formats with more information about a row come first.
ORDER = ("preference", "multiple-choice", "question-answer", "prompt-completion", "messages", "alpaca", "text")


def _written(proposal: Mapping[str, str]) -> str:
    return ",".join(f"{key}={column}" for key, column in proposal.items())


def choose(
    columns: Sequence[str], where: str, written: Callable[[Mapping[str, str]], str] = _written
) -> tuple[str, Format, dict[str, str]]:
    """The format for rows with these columns.

    Args:
        columns: the columns' names.
        where: the file, for the message.
        written: turns a proposal (our key -> the user's column) into a --columns value.

    Returns:
        the format's name, its function, and the column of each of its keys.

    Raises:
        UnlearnError: no format fits; the hint proposes a --columns value with which one would.
    """
    for name in ORDER:
        row_format = FORMATS.get(name)
        matched = _matched(row_format, columns)
        if len(matched) == len(row_format.needs):
            return name, row_format, matched
    listed = f"its columns are {', '.join(columns)}" if columns else "its rows have no columns"
    proposal = _proposal(columns)
    facts = "if it is a table of facts, such as names and towns: `unlearn init` with --ask makes questions of them"
    ways = [f"try --columns {written(proposal)}"] if proposal else []
    ways += [facts] if len(columns) > 1 else []
    hint = "; ".join([*ways, f"the columns that are read: {known_formats()}"])
    raise UnlearnError(f"no row format fits {where}: {listed}", hint)


def known_formats() -> str:
    """The keys that each format needs, for messages."""
    return ", ".join("+".join(FORMATS.get(name).needs) for name in ORDER)


def known_keys() -> list[str]:
    """Every column name that a format reads."""
    accepted = [key for name in ORDER for keys in FORMATS.get(name).needs.values() for key in keys]
    return list(dict.fromkeys(["id", *accepted, *EXTRAS]))


def _matched(row_format: Format, columns: Sequence[str]) -> dict[str, str]:
    """The column of each key of a format, for the keys that have one."""
    best = {key: next((name for name in names if name in columns), None) for key, names in row_format.needs.items()}
    return {key: column for key, column in best.items() if column is not None}


def _proposal(columns: Sequence[str]) -> dict[str, str]:
    """Column names for the format with the fewest missing keys; of equal ones question and answer come first."""
    candidates = ("question-answer", "prompt-completion") if len(columns) > 1 else ("text",)
    best = max(map(FORMATS.get, candidates), key=lambda candidate: len(_matched(candidate, columns)))
    matched = _matched(best, columns)
    free = [column for column in columns if column not in matched.values() and column != "id"]
    lacking = [key for key in best.needs if key not in matched]
    spelled = {column.strip().lower(): column for column in reversed(free)}
    alike = {key: spelled[name] for key in lacking for name in reversed(best.needs[key]) if name in spelled}
    others = [column for column in free if column not in alike.values()]
    guessed = alike | dict(zip([key for key in lacking if key not in alike], others, strict=False))
    return {key: guessed[key] for key in lacking if key in guessed}
