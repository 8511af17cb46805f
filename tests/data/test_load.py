"""Data arguments: files, folders, ids, --columns, --limit, and what is said when something is wrong."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.writing import FACTS, write
from unlearn_cli.data.columns import parse_columns
from unlearn_cli.data.load import load_split
from unlearn_cli.errors import EXIT_USAGE, UnlearnError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def refused(spec: Path | str, name: str = "forget", **arguments: object) -> tuple[str, str]:
    """Message and hint of the error that loading gives."""
    with pytest.raises(UnlearnError) as caught:
        load_split(name, str(spec), **arguments)
    assert caught.value.exit_code == EXIT_USAGE
    assert not caught.value.message.endswith(".")
    return caught.value.message, caught.value.hint or ""


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_suffix_gives_the_same_rows_and_hash(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"facts{suffix}", FACTS)
    split = load_split("forget", str(path))
    assert [(e.id, e.prompt, e.answer) for e in split.examples] == [
        (str(number), row["question"], row["answer"]) for number, row in enumerate(FACTS)
    ]
    assert {e.style for e in split.examples} == {"qa"}
    reference = load_split("retain", str(write(tmp_path / "reference" / "facts.jsonl", FACTS)))
    assert split.origin.sha256 == reference.origin.sha256
    assert (split.origin.files, split.origin.spec) == ((str(path.resolve()),), str(path))
    assert (split.origin.format, split.origin.rows, split.origin.rows_in_source) == ("question-answer", 3, 3)
    assert split.origin.revision is None


def test_hash_is_over_the_rows_hashes_in_order(tmp_path: Path) -> None:
    split = load_split("forget", str(write(tmp_path / "a.jsonl", FACTS)))
    joined = "".join(example.sha256 for example in split.examples)
    assert split.origin.sha256 == hashlib.sha256(joined.encode()).hexdigest()
    turned = load_split("forget", str(write(tmp_path / "b.jsonl", FACTS[::-1])))
    assert turned.origin.sha256 != split.origin.sha256


def test_suffix_in_capitals_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "FACTS.JSONL").write_bytes(write(tmp_path / "a.jsonl", FACTS).read_bytes())
    assert len(load_split("forget", "~/FACTS.JSONL").examples) == 3


def test_txt_is_one_document_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "chapter.txt"
    path.write_bytes("\ufeff  First.\r\n\r\nSecond\t. \n".encode())
    (example,) = load_split("forget", str(path)).examples
    assert (example.id, example.turns, example.style) == ("0", (), "text")
    assert example.answer == "  First.\r\n\r\nSecond\t. \n"


def test_folder_of_documents(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(f"document {name}", encoding="utf-8")
    (tmp_path / ".hidden.txt").write_text("no", encoding="utf-8")
    (tmp_path / "README.md").write_text("no", encoding="utf-8")
    (tmp_path / "more").mkdir()
    split = load_split("forget", str(tmp_path))
    assert [e.id for e in split.examples] == ["a.txt:0", "b.txt:0", "c.txt:0"]
    assert [Path(file).name for file in split.origin.files] == ["a.txt", "b.txt", "c.txt"]


def test_limit_keeps_the_first_rows_over_files(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", FACTS[:2])
    write(tmp_path / "2.jsonl", FACTS[2:])
    split = load_split("forget", str(tmp_path), limit=3)
    assert [e.id for e in split.examples] == ["1.jsonl:0", "1.jsonl:1", "2.jsonl:0"]
    short = load_split("forget", str(tmp_path), limit=1)
    assert (short.origin.rows, short.origin.rows_in_source) == (1, 3)
    assert load_split("forget", str(tmp_path), limit=99).origin.rows == 3


def test_limit_below_one() -> None:
    assert refused("whatever.jsonl", limit=0)[0] == "--limit must be at least 1, not 0"


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["x", "y", "z"], ["x", "y", "z"]),
        ([7, 8, 9], ["7", "8", "9"]),
        (["x", "y", "x"], ["0", "1", "2"]),
        (["x", "y", None], ["0", "1", "2"]),
        (["x", "y", ["z"]], ["0", "1", "2"]),
    ],
)
def test_ids(tmp_path: Path, ids: list, expected: list[str]) -> None:
    rows = [{"id": own, **row} for own, row in zip(ids, FACTS, strict=True)]
    split = load_split("forget", str(write(tmp_path / "a.jsonl", rows)))
    assert [example.id for example in split.examples] == expected


def test_columns_are_renamed(tmp_path: Path) -> None:
    rows = [{"q": "Q", "a": "A", "answer": "short", "uid": "u1"}]
    path = str(write(tmp_path / "a.jsonl", rows))
    split = load_split("forget", path, columns={"question": "q", "answer": "a", "id": "uid"})
    assert [(e.id, e.prompt, e.answer) for e in split.examples] == [("u1", "Q", "A")]
    assert load_split("forget", path, columns={"question": "q"}).examples[0].answer == "short"


def test_columns_may_be_swapped(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.jsonl", [{"question": "x", "answer": "y"}]))
    (example,) = load_split("forget", path, columns={"question": "answer", "answer": "question"}).examples
    assert (example.prompt, example.answer) == ("y", "x")


def test_a_renamed_column_loses_its_old_name(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.jsonl", [{"prompt": "the document", "completion": "x"}]))
    split = load_split("forget", path, columns={"text": "prompt"})
    assert (split.origin.format, split.examples[0].answer) == ("text", "the document")


def test_columns_of_one_split(tmp_path: Path) -> None:
    columns = {"forget.question": "q", "forget.answer": "a"}
    theirs = str(write(tmp_path / "a.jsonl", [{"q": "Q", "a": "A"}]))
    ours = str(write(tmp_path / "b.jsonl", FACTS))
    assert load_split("forget", theirs, columns=columns).examples[0].prompt == "Q"
    assert len(load_split("retain", ours, columns=columns).examples) == 3
    message, hint = refused(ours, columns={"forgte.question": "q"})
    assert message == "forget data: unknown split 'forgte'"
    assert "did you mean 'forget'" in hint


def test_unknown_column_and_unknown_key(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", FACTS)
    message, hint = refused(path, columns={"prompt": "prompt", "answer": "anwser"})
    assert message == "forget data: no column 'prompt'; have: question, answer"
    assert hint == "try --columns prompt=question,answer=answer"
    assert refused(path, columns={"question": "x"})[1] == "try --columns question=question", "the rows' own name first"
    message, hint = refused(path, columns={"promt": "question"})
    assert message == "forget data: unknown --columns key 'promt'"
    assert hint.startswith("did you mean 'prompt'? known: ")


def test_proposed_columns_work(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"q": "Q", "a": "A"}])
    hint = refused(path)[1]
    columns = parse_columns(hint.rpartition("--columns ")[2].partition(";")[0])
    assert load_split("forget", str(path), columns=columns).examples[0].answer == "A"


def test_parse_columns() -> None:
    assert parse_columns("prompt=q, answer = the answer") == {"prompt": "q", "answer": "the answer"}
    for text in ("prompt", "prompt=", "=q", "a=b,", ""):
        with pytest.raises(UnlearnError, match="is not key=column"):
            parse_columns(text)
    with pytest.raises(UnlearnError, match="names 'a' twice"):
        parse_columns("a=b,a=c")


def test_file_missing_lists_what_is_there(tmp_path: Path) -> None:
    for name in ("alpha.jsonl", "forget.jsonl", "zeta.csv", "notes.md"):
        (tmp_path / name).touch()
    message, hint = refused(tmp_path / "forgit.jsonl")
    assert message == f"forget data not found: {tmp_path / 'forgit.jsonl'}"
    assert hint == "did you mean forget.jsonl? files here: forget.jsonl, alpha.jsonl, zeta.csv"
    assert refused(tmp_path / "forgit.jsonl", name="retain")[0].startswith("retain data not found: ")


def test_folder_missing_lists_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    assert refused(tmp_path / "sub" / "deep" / "x.jsonl")[1] == f"files in {tmp_path}: a.jsonl"
    (tmp_path / "a.jsonl").unlink()
    assert refused(tmp_path / "x.jsonl")[1] == f"no data files in {tmp_path}"


def test_many_files_are_not_all_listed(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.jsonl").touch()
    assert refused(tmp_path / "facts.jsonl")[1].endswith("07.jsonl, and 4 more")


def test_hub_id_without_prefix() -> None:
    assert refused("locuslab/TOFU")[1] == "a data set of the Hub is written hf:locuslab/TOFU"


def test_unknown_suffix(tmp_path: Path) -> None:
    for name, called in (("a.jsonl.gz", "'.gz'"), ("data", "no suffix")):
        (tmp_path / name).touch()
        message, hint = refused(tmp_path / name)
        assert message == f"forget data: {name} has an unknown suffix: {called}"
        assert hint == "known: .jsonl, .json, .csv, .tsv, .parquet, .txt"


def test_folder_without_data_and_folder_with_several_kinds(tmp_path: Path) -> None:
    assert refused(tmp_path)[0] == f"forget data: no data files in {tmp_path}"
    for name in ("a.jsonl", "b.jsonl", "c.csv"):
        (tmp_path / name).touch()
    message = refused(tmp_path)[0]
    assert message == f"forget data: {tmp_path} has files of several kinds: .csv (c.csv), .jsonl (a.jsonl)"


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", ""), ("a.jsonl", "\n \n"), ("a.json", "[]"), ("a.json", " \n"), ("a.csv", ""),
     ("a.csv", "question,answer\n"), ("a.txt", " \n")],
)  # fmt: skip
def test_zero_rows(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert refused(tmp_path / name)[0] == f"forget data: {name} has 0 rows"


def test_empty_file_in_a_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", FACTS)
    (tmp_path / "b.jsonl").touch()
    assert refused(tmp_path)[0] == "forget data: b.jsonl has 0 rows"


def test_missing_values_are_counted(tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": "a"} for i in range(400)]
    rows[4]["answer"] = None
    rows[17]["answer"] = ""
    del rows[90]["answer"]
    message, hint = refused(write(tmp_path / "a.jsonl", rows))
    assert message == "forget data: a.jsonl:5: no 'answer' (3 of 400 rows: a.jsonl:5, a.jsonl:18, a.jsonl:91)"
    assert hint == "fill it in or take the row out"
    for row in rows[100:110]:
        row["answer"] = float("nan")  # what data frames write for null
    assert refused(write(tmp_path / "a.jsonl", rows))[0].endswith(
        "(13 of 400 rows: a.jsonl:5, a.jsonl:18, a.jsonl:91, a.jsonl:101, a.jsonl:102, ...)"
    )


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.jsonl", '{"question": "q", "answer": "a"}\n\n{"question": "q"}\n', "a.jsonl:3"),
        ("a.json", '{"question": "q", "answer": "a"}\n{"question": "q"}\n', "a.json:2"),
        ("a.json", '[{"question": "q", "answer": "a"},\n\n{"question": "q"}]', "a.json row 2"),
        ("a.csv", 'question,answer\n"q\nq",a\n\nq,\n', "a.csv:5"),
        ("a.csv", 'question,answer\r\nq,a\r\n"q\r\nq",\r\n', "a.csv:3"),
        ("a.tsv", "question\tanswer\nq\t\n", "a.tsv:2"),
    ],
)
def test_a_bad_row_is_told_by_the_line_it_begins_on(tmp_path: Path, name: str, content: str, place: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert refused(tmp_path / name)[0] == f"forget data: {place}: no 'answer'"
    assert refused(tmp_path)[0] == f"forget data: {place}: no 'answer'"


def test_a_bad_row_of_a_table_is_told_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [*FACTS, {"question": "q", "answer": None}])
    assert refused(path)[0] == "forget data: a.parquet row 4: no 'answer'"


def test_limit_hides_broken_rows_behind_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*FACTS, {"question": "q"}])
    assert len(load_split("forget", str(path), limit=3).examples) == 3
    refused(path)


def test_column_of_nothing_but_nulls_is_still_a_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"question": "q", "answer": None}])
    assert refused(path)[0] == "forget data: a.jsonl:1: no 'answer'"


def test_missing_values_name_the_users_column(tmp_path: Path) -> None:
    rows = [{"id": "x1", "prompt": "p", "response": "r"}, {"id": "x2", "prompt": "p", "response": ""}]
    assert refused(write(tmp_path / "a.jsonl", rows))[0] == "forget data: a.jsonl:2: no 'response'"


@pytest.mark.parametrize(("value", "text"), [(3, "3"), (2.5, "2.5"), (True, "True"), (0, "0"), (False, "False")])
def test_numbers_become_text(tmp_path: Path, value: object, text: str) -> None:
    (example,) = load_split("forget", str(write(tmp_path / "a.jsonl", [{"question": "q", "answer": value}]))).examples
    assert example.answer == text


def test_a_number_hashes_the_same_from_csv(tmp_path: Path) -> None:
    rows = [{"question": "How many?", "answer": 3}]
    hashes = {
        load_split("forget", str(write(tmp_path / f"a{s}", rows))).origin.sha256 for s in (".jsonl", ".csv", ".parquet")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [({"a": 1}, "'answer' is an object, not text"), (["a"], "'answer' is a list, not text")],
)  # fmt: skip
def test_wrong_types(tmp_path: Path, value: object, said: str) -> None:
    rows = [{"question": "q", "answer": "a"}, {"question": "q2", "answer": value}]
    assert refused(write(tmp_path / "a.json", rows))[0] == f"forget data: a.json row 2: {said}"


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    """JSON can write half of a surrogate pair, and no file can hold it again."""
    path = write(tmp_path / "a.json", [{"question": "q", "answer": "\ud83d"}])
    assert refused(path)[0].endswith("a.json:1: \\ud83d is half of a character")


def test_reading_jsonl_imports_nothing_heavy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", FACTS)
    code = (
        "import sys; from unlearn_cli.data.load import load_split; load_split('forget', sys.argv[1]);"
        "print({'torch', 'datasets', 'pyarrow', 'pandas', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.skipif(not SHARED.is_dir(), reason="TOFU is not beside the repository")
@pytest.mark.parametrize(
    ("name", "rows", "perturbed", "paraphrased"),
    [("forget10", 400, 0, False), ("forget10_perturbed", 400, 5, True), ("retain_perturbed", 400, 5, True),
     ("real_authors_perturbed", 100, 3, False), ("world_facts_perturbed", 117, 3, False), ("full", 4000, 0, False)],
)  # fmt: skip
def test_tofu(name: str, rows: int, perturbed: int, paraphrased: bool) -> None:
    split = load_split("forget", str(SHARED / "tofu" / f"{name}.json"))
    assert (split.origin.format, split.origin.rows) == ("question-answer", rows)
    assert [example.id for example in split.examples] == [str(number) for number in range(rows)]
    counts = {len(example.perturbed) for example in split.examples}
    assert perturbed in counts
    assert all((example.paraphrased_answer is not None) == paraphrased for example in split.examples)


@pytest.mark.skipif(not SHARED.is_dir(), reason="TOFU is not beside the repository")
def test_tofu_mini_has_the_rows_of_tofu() -> None:
    full = load_split("forget", str(SHARED / "tofu" / "forget10.json"))
    mini = load_split("forget", str(SHARED / "tofu-mini" / "forget.jsonl"))
    assert full.origin.sha256 == mini.origin.sha256
