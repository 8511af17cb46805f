"""Broken files are answered with the place where they are broken."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests.data.writing import FACTS, write
from unlearn_cli.data.load import load_split
from unlearn_cli.data.readers import READERS, read_parquet, read_text
from unlearn_cli.errors import EXIT_USAGE, UnlearnError

ROW = '{"question": "q", "answer": "a"}'


def read(folder: Path, name: str, content: str | bytes) -> list[dict]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return READERS[path.suffix](path)


def refused(folder: Path, name: str, content: str | bytes) -> tuple[str, str]:
    with pytest.raises(UnlearnError) as caught:
        read(folder, name, content)
    assert caught.value.exit_code == EXIT_USAGE
    return caught.value.message.replace(str(folder / name), name), caught.value.hint or ""


def test_broken_line(tmp_path: Path) -> None:
    message, hint = refused(tmp_path, "a.jsonl", f'{ROW}\n\n{{"question": "q2", answer: "{"x" * 200}"}}\n')
    assert message == "a.jsonl:3:20: Expecting property name enclosed in double quotes"
    shown = hint.removeprefix("the line is: ")
    assert len(shown) == 80
    assert shown.startswith('{"question": "q2", answer: "xxx')


def test_truncated_last_line(tmp_path: Path) -> None:
    assert refused(tmp_path, "a.jsonl", f'{ROW}\n{{"question": "q')[0] == "a.jsonl:2:14: Unterminated string starting at"


def test_row_is_no_object(tmp_path: Path) -> None:
    assert refused(tmp_path, "a.jsonl", f"{ROW}\n[1]\n")[0] == "a.jsonl:2:1: a row is a list, not an object"
    assert refused(tmp_path, "a.json", f"[{ROW}, 3]")[0] == "a.json: row 2 is a number, not an object"
    assert refused(tmp_path, "a.json", '"text"')[0] == "a.json holds a text, not rows"


def test_line_separators_inside_a_text_do_not_end_the_line(tmp_path: Path) -> None:
    text = "one\u2028two\x85three"
    rows = read(tmp_path, "a.jsonl", json.dumps({"text": text}, ensure_ascii=False) + "\r\n")
    assert rows == [{"text": text}]


@pytest.mark.parametrize(
    "content",
    [
        f"[{ROW}]",
        f'{{"data": [{ROW}]}}',
        f'{{"version": 1, "tags": ["x"], "data": [{ROW}]}}',
        json.dumps({"data": [json.loads(ROW)]}, indent=2),
        ROW,
        json.dumps(json.loads(ROW), indent=2),
        f"\ufeff{ROW}\n",
    ],
)
def test_json_by_content(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, "a.json", content) == [json.loads(ROW)]


def test_json_lines_with_the_suffix_json(tmp_path: Path) -> None:
    assert read(tmp_path, "a.json", f"{ROW}\n{ROW}\n") == [json.loads(ROW)] * 2
    assert refused(tmp_path, "a.json", f"{ROW}\n{ROW[:-1]}\n")[0].startswith("a.json:2:32: Expecting ',' delimiter")


def test_json_with_one_conversation_is_one_row(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    assert read(tmp_path, "a.json", json.dumps(row)) == [row]


def test_json_with_two_lists(tmp_path: Path) -> None:
    message, hint = refused(tmp_path, "a.json", f'{{"train": [{ROW}], "test": [{ROW}]}}')
    assert (message, hint) == ("a.json holds 2 lists of rows: train, test", "keep one list in a file")


def test_broken_json(tmp_path: Path) -> None:
    message, hint = refused(tmp_path, "a.json", f'[\n  {ROW},\n  {{"question": }}\n]')
    assert (message, hint) == ("a.json:3:16: Expecting value", 'the line is: {"question": }')


def test_not_utf8(tmp_path: Path) -> None:
    for start in (b"", b"\xef\xbb\xbf"):
        content = start + "Grüße".encode("latin-1")
        message, hint = refused(tmp_path, "a.txt", content)
        assert message == f"a.txt is not UTF-8: byte 0xfc at offset {len(start) + 2}"
        assert "iconv -f WINDOWS-1252 -t UTF-8 " in hint and hint.endswith("a-utf8.txt")
    message, hint = refused(tmp_path, "a.csv", "question,answer\n".encode("utf-16"))
    assert message == "a.csv is not UTF-8: byte 0xff at offset 0" and "iconv -f UTF-16 " in hint


def test_not_readable(tmp_path: Path) -> None:
    with pytest.raises(UnlearnError, match="cannot be read: Is a directory"):
        read_text(tmp_path)


def test_csv_keeps_what_is_quoted(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.csv", 'question,answer\r\n"a, ""b""","one\r\ntwo "\r\n')
    assert rows == [{"question": 'a, "b"', "answer": "one\r\ntwo "}]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_csv_may_be_separated_as_a_spreadsheet_does(tmp_path: Path, mark: str) -> None:
    rows = read(tmp_path, "a.csv", f'Name{mark}"Ort"\n"Jörg"{mark}"Köln, am ""Dom"""\nBo{mark}\n')
    assert rows == [{"Name": "Jörg", "Ort": 'Köln, am "Dom"'}, {"Name": "Bo", "Ort": ""}]


def test_a_comma_in_the_header_is_the_separator(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "a;b,c\n1;2,3\n") == [{"a;b": "1;2", "c": "3"}]


def test_csv_takes_long_documents(tmp_path: Path) -> None:
    assert len(read(tmp_path, "a.csv", f"text\n{'word ' * 40_000}\n")[0]["text"]) == 200_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("question,answer\nq,a\nq, with comma,a\n", "a.csv:3: 3 fields, but the header has 2"),
        ('question,answer\nq,"a\nq,a\n', "a.csv:2: unexpected end of data"),
        ('question,answer\nq,"a"b\n', "a.csv:2: ',' expected after '\"'"),
        ("question,answer,answer\nq,a,b\n", "a.csv has two columns named 'answer'"),
    ],
)
def test_broken_csv(tmp_path: Path, content: str, said: str) -> None:
    assert refused(tmp_path, "a.csv", content)[0] == said


def test_short_csv_line_has_a_missing_value(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\nq,a\nq\n", encoding="utf-8")
    with pytest.raises(UnlearnError, match="a.csv:3: no 'answer'"):
        load_split("forget", str(tmp_path / "a.csv"))


def test_parquet_with_lists_and_in_a_folder_that_looks_like_a_partition(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]
    path = write(tmp_path / "split=train" / "a.parquet", rows)
    assert read_parquet(path) == rows
    assert load_split("forget", str(path)).examples[0].answer == "a"


def test_broken_parquet(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", FACTS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnlearnError, match="a.parquet cannot be read as Parquet: "):
        load_split("forget", str(path))


def test_values_that_python_cannot_hold_are_told_of_parquet(tmp_path: Path) -> None:
    """A date beyond the year 9999 and bytes that are no text: Arrow holds them, Python does not."""
    late = pyarrow.array([2**60], pyarrow.timestamp("us"))
    broken = pyarrow.StringArray.from_buffers(1, pyarrow.py_buffer(b"\0\0\0\0\2\0\0\0"), pyarrow.py_buffer(b"\xff\xfe"))
    for name, column in (("date", late), ("text", broken)):
        path = tmp_path / f"{name}.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"answer": column}), path)
        with pytest.raises(UnlearnError, match="cannot be read as Parquet") as caught:
            read_parquet(path)
        assert caught.value.hint and caught.value.exit_code == 2
