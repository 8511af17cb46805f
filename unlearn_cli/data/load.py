"""Read data arguments into splits: local files or the Hub, any known row format, checked row by row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unlearn_cli.data.columns import Renaming, columns_of
from unlearn_cli.data.example import Example, Origin, Split
from unlearn_cli.data.files import find_files
from unlearn_cli.data.formats._choice import choose
from unlearn_cli.data.formats._row import BadRow, Format, MissingValue, Row, is_missing
from unlearn_cli.data.hub_spec import PREFIX, parse_hub_spec
from unlearn_cli.data.readers import EXAMPLE, READERS
from unlearn_cli.errors import UnlearnError

SHOWN_ROWS = 5  # rows listed in a message


@dataclass(frozen=True)
class _Source:
    """The rows of a source in their original form."""

    shown: str  # the source's name in messages
    files: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]  # after --limit
    numbers: Sequence[str]  # of each row: 0-based, with the file's name before it in a folder
    places: Sequence[str]  # of each row for people: file and line, or file and number, from 1
    total: int  # rows before --limit
    revision: str | None = None
    pinned: bool | None = None


def load_split(
    name: str,
    spec: str,
    *,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
    reasoning: bool = False,
    elsewhere: bool = False,
) -> Split:
    """Read one split.

    Args:
        name: forget, retain, ...: the split's name in the report and in messages.
        spec: a file (.jsonl .json .csv .tsv .parquet .txt), a folder of one kind of file, or
            hf:org/name[/config][@revision][:split].
        columns: the user's column for one of our keys, e.g. {"prompt": "q", "answer": "a"}; a key with the name of a
            split before it ("retain.prompt") applies to that split only.
        limit: keep the first rows only.
        reasoning: also read the reasoning of the assistant's last message.
        elsewhere: a column of a plain key may be missing here, because another split has it; this file must then have
            a known format without it.

    Raises:
        UnlearnError: the data cannot be used (exit code 2), or the network fails (exit code 1).
    """
    if limit is not None and limit < 1:
        raise UnlearnError(f"--limit must be at least 1, not {limit}", "leave it out for all rows")
    with _about(name):
        source = _read(name, spec, limit)
        return _parsed(name, spec, source, Renaming(name, columns or {}, elsewhere), reasoning)


def load_part(
    name: str, spec: str, *, rows: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None, columns: Mapping[str, str]
) -> Split:
    """Read one split of a benchmark.

    Args:
        name: of the split.
        spec: as for `load_split`.
        rows: the split's rows from those of the source; None: all, as they are.
        columns: the source's column for one of our keys.

    Raises:
        UnlearnError: as for `load_split`; or no row is left.
    """
    with _about(name):
        source = _read(name, spec, None)
        if rows is not None:
            try:
                chosen = rows([dict(row) for row in source.rows])
            except (KeyError, TypeError, StopIteration) as error:
                raise UnlearnError(
                    f"{source.shown} has not the benchmark's columns: {type(error).__name__} {error}",
                    f"its columns are {', '.join(columns_of(source.rows))}; give the rows as --forget or --retain instead",
                ) from None
            if not chosen:
                raise UnlearnError(
                    f"{source.shown} holds no row of this benchmark's split", "check the name behind the colon"
                )
            numbers = [str(i) for i in range(len(chosen))]
            source = replace(source, rows=chosen, numbers=numbers, places=_counted(source.shown, len(chosen)))
        return _parsed(name, spec, source, Renaming(name, columns), False)


def _read(name: str, spec: str, limit: int | None) -> _Source:
    files = None if spec.startswith(PREFIX) else find_files(name, spec)
    source = _read_hub(spec, limit) if files is None else _read_files(spec, files, limit)
    if not source.rows:
        raise UnlearnError(f"{source.shown} has 0 rows", EXAMPLE)
    return source


def _parsed(name: str, spec: str, source: _Source, renaming: Renaming, reasoning: bool) -> Split:
    rows = renaming.apply(source.rows)
    format_name, function, read_from = _choose(rows, source.shown, renaming)
    parsed = [
        Row(row_id, values, read_from, reasoning) for row_id, values in zip(_ids(rows, source.numbers), rows, strict=True)
    ]
    examples = _examples(parsed, source.places, function)
    origin = Origin(
        spec=spec,
        files=source.files,
        format=format_name,
        rows=len(examples),
        rows_in_source=source.total,
        sha256=rows_sha256(examples),
        revision=source.revision,
        pinned=source.pinned,
        columns=tuple(columns_of(source.rows)),
        unread=tuple(Counter(name for row in parsed for name in row.unread).items()),
        repeated_ids=_repeated_ids(rows, source.places),
    )
    return Split(name, examples, origin)


def read_column(spec: str, column: str, *, limit: int | None = None) -> dict[str, str]:
    """The values of a column that no format reads, such as the person whom a row is about, by the id of the row.

    Args:
        spec: as for `load_split`.
        column: its name; a row without it is left out.
        limit: the first rows only, as when the rows were loaded.

    Raises:
        UnlearnError: the data cannot be read, or no row has the column.
    """
    source = _read_hub(spec, limit) if spec.startswith(PREFIX) else _read_files(spec, find_files("forget", spec), limit)
    ids = _ids(source.rows, source.numbers)
    values = {name: str(row[column]) for name, row in zip(ids, source.rows, strict=True) if not is_missing(row.get(column))}
    if not values:
        raise UnlearnError(f"{source.shown} has no column {column}", f"columns: {', '.join(columns_of(source.rows))}")
    return values


@contextmanager
def _about(name: str) -> Iterator[None]:
    """A context that names the split in error messages."""
    try:
        yield
    except UnlearnError as error:
        message = error.message if error.message.startswith(f"{name} data") else f"{name} data: {error.message}"
        raise UnlearnError(message, error.hint, error.exit_code) from error


def _read_files(spec: str, files: Sequence[Path], limit: int | None) -> _Source:
    folder = Path(spec).expanduser().is_dir()
    rows: list[dict[str, Any]] = []
    numbers: list[str] = []
    places: list[str] = []
    for file in files:
        read = READERS[file.suffix.lower()](file)
        if not read:
            raise UnlearnError(f"{file.name} has 0 rows", EXAMPLE)
        rows.extend(read)
        numbers.extend(f"{file.name}:{number}" if folder else str(number) for number in range(len(read)))
        lines = [f"{file.name}:{line}" for line in read.lines]
        places.extend(lines or _counted(file.name, len(read)))
    shown = files[0].parent.name if folder else files[0].name
    return _Source(shown, tuple(map(str, files)), rows[:limit], numbers[:limit], places[:limit], len(rows))


def _counted(shown: str, rows: int) -> list[str]:
    return [f"{shown} row {number}" for number in range(1, rows + 1)]


def _read_hub(spec: str, limit: int | None) -> _Source:
    parsed = parse_hub_spec(spec)
    # Imported here: `datasets` takes most of a second, and local files do not need it.
    from unlearn_cli.data.hub import read_hub  # noqa: PLC0415

    read = read_hub(parsed, limit)
    numbers, places = [str(i) for i in range(len(read.rows))], _counted(spec, len(read.rows))
    pinned = parsed.revision is not None and read.revision.startswith(parsed.revision)
    return _Source(spec, read.files, read.rows, numbers, places, read.total, read.revision, pinned)


def _choose(rows: Sequence[Mapping[str, Any]], shown: str, renaming: Renaming) -> tuple[str, Format, dict[str, str]]:
    """The format by the columns that have a value in some row, or by all columns if that leaves none."""
    filled = columns_of([{key: value for key, value in row.items() if not is_missing(value)} for row in rows])
    try:
        return choose(filled, shown, renaming.proposed)
    except UnlearnError:
        return choose(columns_of(rows), shown, renaming.proposed)


def _ids(rows: Sequence[Mapping[str, Any]], numbers: Sequence[str]) -> list[str]:
    """The rows' own ids if every row has a different one, else the numbers of the rows."""
    ids = _own_ids(rows)
    return ids if len(ids) == len(rows) == len(set(ids)) else list(numbers)


def _repeated_ids(rows: Sequence[Mapping[str, Any]], places: Sequence[str]) -> tuple[str, ...]:
    """For each id that several rows have, the place of the first of them."""
    first: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for row, place in zip(rows, places, strict=True):
        for own in _own_ids([row]):
            if first.setdefault(own, place) != place:
                repeated[own] = first[own]
    return tuple(repeated.values())


def _own_ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(value) for value in (row.get("id") for row in rows) if isinstance(value, (str, int)) and value != ""]


def _examples(rows: Sequence[Row], places: Sequence[str], function: Format) -> tuple[Example, ...]:
    """All rows as examples.

    Raises:
        UnlearnError: a row lacks a value, or has one that is no text.
    """
    examples: list[Example] = []
    lacking: dict[str, list[str]] = {}
    for row, place in zip(rows, places, strict=True):
        try:
            examples.append(replace(function(row), place=place))
        except MissingValue as error:
            lacking.setdefault(str(error), []).append(place)
        except BadRow as error:
            raise UnlearnError(f"{place}: {error}", "correct the row or take it out") from None
    if lacking:
        what, where = next(iter(lacking.items()))
        listed = ", ".join(where[:SHOWN_ROWS]) + (", ..." if len(where) > SHOWN_ROWS else "")
        more = f" ({len(where)} of {len(rows)} rows: {listed})" if len(where) > 1 else ""
        raise UnlearnError(f"{where[0]}: no {what}{more}", "fill it in or take the row out")
    return tuple(examples)


def unordered_sha256(examples: Sequence[Example]) -> str:
    """sha256 over rows, in whatever order."""
    return hashlib.sha256("".join(sorted(example.sha256 for example in examples)).encode()).hexdigest()


def rows_sha256(examples: Sequence[Example]) -> str:
    """sha256 over rows, in order."""
    return hashlib.sha256("".join(example.sha256 for example in examples).encode()).hexdigest()
