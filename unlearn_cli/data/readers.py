"""Read rows from local files. Text formats have parsers of our own, so that errors name file, line and column."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import kind_of, parse_json
from unlearn_cli.limits import GIB, bounded

UNPACKED = 100  # bytes of memory that a byte of a Parquet file may become
SHOWN = 80  # characters of a broken line that are shown
FIELD_LIMIT = 2**31 - 1  # characters of one csv field; the default of the csv module, 131,072, is less than a document
# One conversation in a .json file is a row, not a list of rows.
CONVERSATIONS = ("messages", "conversations")
_BREAK = re.compile(r"\r\n|\r|\n")


class Rows(list[dict[str, Any]]):
    """The rows of one file, and the line on which each begins, from 1; `lines` is empty for formats without lines."""

    def __init__(self, rows: Iterable[dict[str, Any]] = (), lines: Sequence[int] = ()) -> None:
        super().__init__(rows)
        self.lines = lines


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises:
        UnlearnError: the file is not UTF-8, or cannot be opened.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnlearnError(f"{path} cannot be read: {error.strerror}", "give a file that you may read") from None
    start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    try:
        return data[start:].decode()
    except UnicodeDecodeError as error:
        offset = start + error.start
        likely = "UTF-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "WINDOWS-1252"
        files = f"{shlex.quote(str(path))} > {shlex.quote(str(path.with_stem(path.stem + '-utf8')))}"
        raise UnlearnError(
            f"{path} is not UTF-8: byte 0x{data[offset]:02x} at offset {offset}",
            f"save it as UTF-8, or convert it; {likely} is likely: iconv -f {likely} -t UTF-8 {files}",
        ) from None


def read_jsonl(path: Path) -> Rows:
    """One JSON object a line; empty lines are skipped.

    Raises:
        UnlearnError: a line is broken or no object; the message starts with file:line:column.
    """
    return _json_lines(path, read_text(path))


def read_json(path: Path) -> Rows:
    """Rows from a list of objects or texts, an object with one such list, or JSON Lines with the wrong suffix.

    Raises:
        UnlearnError: the file has another form, or is broken.
    """
    text = read_text(path)
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and _is_object(lines[0]):
        return _json_lines(path, text)
    if not lines:
        return Rows()
    value = _parse(path, text)
    rows = value if isinstance(value, list) else _inner_list(path, value)
    rows = [{"text": row} if isinstance(row, str) else row for row in rows]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise UnlearnError(f"{path}: row {number} is {kind_of(row)}, not an object", EXAMPLE)
    return Rows(rows)


def read_csv(path: Path, delimiter: str = ",") -> Rows:
    """Comma-separated values with a header line; one without a comma may be separated by semicolons or tabs.

    A spreadsheet writes semicolons where the comma is for decimals.

    Raises:
        UnlearnError: a line has more fields than the header, quotes are broken, or a column name appears twice.
    """
    text = read_text(path)
    header = _BREAK.split(text, maxsplit=1)[0]
    if delimiter not in header:
        delimiter = next((mark for mark in ";\t" if mark in header), delimiter)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(FIELD_LIMIT)  # of the whole process
    rows, lines = [], []
    try:
        names = reader.fieldnames or []
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UnlearnError(f"{path} has two columns named '{twice}'", "rename one of them in the first line")
        for row in reader:
            surplus = row.pop(None, None)  # where DictReader puts fields without a name in the header
            if surplus:
                raise UnlearnError(
                    f"{path}:{reader.line_num}: {len(names) + len(surplus)} fields, but the header has {len(names)}",
                    "put fields that contain the separator in double quotes",
                )
            rows.append(row)
            lines.append(reader.line_num - sum(len(_BREAK.findall(value)) for value in row.values() if value))
    except csv.Error as error:
        first_line = reader.line_num + 1  # line of the broken row; an open quote is noticed only at the end of the file
        raise UnlearnError(f"{path}:{first_line}: {error}", 'a double quote inside a field is written ""') from None
    finally:
        csv.field_size_limit(limit)
    return Rows(rows, lines)


def read_tsv(path: Path) -> Rows:
    """Tab-separated values with a header line, quoted as in a .csv file."""
    return read_csv(path, delimiter="\t")


def read_parquet(path: Path) -> Rows:
    """All rows of one Parquet file.

    Raises:
        UnlearnError: it is no Parquet file.
    """
    import pyarrow.parquet  # noqa: PLC0415 - takes a fifth of a second, and other files do not need it

    try:
        # Not read_table(): that also takes columns out of folder names such as "split=train".
        with bounded(GIB + UNPACKED * path.stat().st_size, None), pyarrow.parquet.ParquetFile(path) as file:
            return Rows(file.read().to_pylist())
    except Exception as error:  # Arrow's own, and what Python raises for values that it cannot hold (dates, texts)
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnlearnError(
            f"{path} cannot be read as Parquet: {what}", "write the file again, or give the rows as .jsonl or .csv"
        ) from None


def read_txt(path: Path) -> Rows:
    """The whole file as one raw document."""
    text = read_text(path)
    return Rows([{"text": text}] if text.strip() else ())


READERS: dict[str, Callable[[Path], Rows]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".txt": read_txt,
}

EXAMPLE = 'expected rows like {"question": "...", "answer": "..."}'


def _json_lines(path: Path, text: str) -> Rows:
    if text.lstrip().startswith("["):
        name = shlex.quote(path.with_suffix(".json").name)
        raise UnlearnError(f"{path} holds a JSON array, and a .jsonl file has one object on each line", f"call it {name}")
    rows, lines = [], []
    # Not splitlines(): JSON allows U+2028 and other line separators inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = _parse(path, line, first_line=number)
        if not isinstance(row, dict):
            raise UnlearnError(f"{path}:{number}:1: a row is {kind_of(row)}, not an object", EXAMPLE)
        rows.append(row)
        lines.append(number)
    return Rows(rows, lines)


def _parse(path: Path, text: str, first_line: int = 1) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        if not isinstance(error, json.JSONDecodeError):
            raise UnlearnError(f"{path}:{first_line}: {error}", EXAMPLE) from None
        lines = text.split("\n")
        broken = lines[min(error.lineno, len(lines)) - 1].strip()[:SHOWN]
        where = f"{path}:{first_line + error.lineno - 1}:{error.colno}"
        raise UnlearnError(f"{where}: {error.msg}", f"the line is: {broken}") from None


def _is_object(line: str) -> bool:
    try:
        return isinstance(parse_json(line), dict)
    except ValueError:
        return False


def _inner_list(path: Path, value: Any) -> list[Any]:
    """The rows of an object such as {"data": [...]}, or the object itself if it is a row."""
    if not isinstance(value, dict):
        raise UnlearnError(f"{path} holds {kind_of(value)}, not rows", EXAMPLE)
    lists = [
        key
        for key, rows in value.items()
        if key not in CONVERSATIONS and isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)
    ]
    if len(lists) > 1:
        raise UnlearnError(f"{path} holds {len(lists)} lists of rows: {', '.join(lists)}", "keep one list in a file")
    return value[lists[0]] if lists else [value]
