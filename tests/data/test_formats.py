"""Every shape of row, and which one is chosen where several fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.writing import write
from unlearn_cli.data.example import Example
from unlearn_cli.data.formats._choice import FORMATS, ORDER, choose, known_formats, known_keys
from unlearn_cli.data.load import load_split
from unlearn_cli.errors import UnlearnError


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


SYSTEM = {"role": "system", "content": "Be brief."}


def one(folder: Path, row: dict[str, Any]) -> tuple[str, Example]:
    """The format and the example of a file with one row."""
    split = load_split("forget", str(write(folder / "a.jsonl", [row])))
    return split.origin.format, split.examples[0]


def refused(folder: Path, row: dict[str, Any]) -> str:
    with pytest.raises(UnlearnError) as caught:
        one(folder, row)
    return caught.value.message


def test_the_order_names_every_format() -> None:
    assert sorted(ORDER) == FORMATS.names()


def test_question_answer_with_everything_tofu_has(tmp_path: Path) -> None:
    row = {
        "question": " Q? ",
        "answer": "A\n",
        "paraphrased_answer": "PA",
        "paraphrased_question": "PQ",
        "perturbed_answer": ["w1", "w2"],
        "alternate": "instead",
        "option1": "ignored",
    }
    assert one(tmp_path, row) == (
        "question-answer",
        Example("0", (("user", " Q? "),), "A\n", "qa", ("instead",), "PA", "PQ", ("w1", "w2")),
    )


@pytest.mark.parametrize(
    ("extra", "alternatives", "perturbed"),
    [
        ({"idk": ["i1", "i2"]}, ("i1", "i2"), ()),
        ({"alternatives": ["x"], "idk": "y"}, ("x",), ()),
        ({"alternatives": None, "alternate": "", "idk": "y"}, ("y",), ()),
        ({"perturbed_answer": "only one"}, (), ("only one",)),
        ({"perturbed_answer": [1, 2.5]}, (), ("1", "2.5")),
        ({"perturbed_answer": []}, (), ()),
    ],
)
def test_optional_columns(tmp_path: Path, extra: dict, alternatives: tuple, perturbed: tuple) -> None:
    _, example = one(tmp_path, {"question": "q", "answer": "a", **extra})
    assert (example.alternatives, example.perturbed) == (alternatives, perturbed)


def test_optional_columns_are_checked(tmp_path: Path) -> None:
    row = {"question": "q", "answer": "a", "perturbed_answer": ["w", None]}
    assert refused(tmp_path, row) == "forget data: a.jsonl:1: 'perturbed_answer' is null, not text"


@pytest.mark.parametrize("column", ["completion", "response", "answer"])
def test_prompt_completion(tmp_path: Path, column: str) -> None:
    expected = Example("0", (("user", "The capital is"),), " Lagos", "completion")
    assert one(tmp_path, {"prompt": "The capital is", column: " Lagos"}) == ("prompt-completion", expected)


def test_prompt_completion_as_messages(tmp_path: Path) -> None:
    turns = (("system", "Be brief."), ("user", "Q"))
    expected = ("prompt-completion", Example("0", turns, "A", "messages"))
    assert one(tmp_path, {"prompt": [SYSTEM, user("Q")], "completion": [assistant("A")]}) == expected
    assert one(tmp_path, {"prompt": [SYSTEM, user("Q")], "completion": "A"}) == expected
    _, example = one(tmp_path, {"prompt": "Q", "completion": [assistant("hm"), user("and?"), assistant("A")]})
    assert example.turns == (("user", "Q"), ("assistant", "hm"), ("user", "and?"))
    assert (example.answer, example.style) == ("A", "messages")


def test_messages(tmp_path: Path) -> None:
    row = {"messages": [SYSTEM, user("Q1"), assistant("A1"), user("Q2"), assistant("A2")]}
    turns = (("system", "Be brief."), ("user", "Q1"), ("assistant", "A1"), ("user", "Q2"))
    assert one(tmp_path, row) == ("messages", Example("0", turns, "A2", "messages"))


def test_sharegpt(tmp_path: Path) -> None:
    said = [{"from": "system", "value": "S"}, {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    expected = Example("0", (("system", "S"), ("user", "Q")), "A", "messages")
    assert one(tmp_path, {"conversations": said}) == ("messages", expected)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([user("Q")], "a.jsonl:1: the last message of 'messages' is from 'user', not from the assistant"),
        ([assistant("A")], "a.jsonl:1: 'messages' holds no message before the assistant's answer"),
        ([user("Q"), assistant("")], "a.jsonl:1: no answer in 'messages'"),
        ([], "a.jsonl:1: no 'messages'"),
        ([user("Q"), {"role": "assistant"}], "a.jsonl:1: 'messages' holds a message without role and content"),
        (["Q", "A"], "a.jsonl:1: 'messages' holds a message without role and content"),
        ("Q", "a.jsonl:1: 'messages' is not a list of messages: 'Q'"),
        (
            [user("Q"), {"role": "assistant", "content": [{"type": "text"}]}],
            "a.jsonl:1: a message in 'messages' holds a part that is no text: {'type': 'text'}",
        ),
    ],
)
def test_broken_messages(tmp_path: Path, messages: Any, said: str) -> None:
    assert refused(tmp_path, {"messages": messages}) == f"forget data: {said}"


def test_a_tool_call_without_content_is_a_turn(tmp_path: Path) -> None:
    calls = {"role": "assistant", "content": None}
    _, example = one(tmp_path, {"messages": [user("Q"), calls, {"role": "tool", "content": "42"}, assistant("A")]})
    assert example.turns[1:] == (("assistant", ""), ("tool", "42"))


def test_preference_forgets_what_is_rejected(tmp_path: Path) -> None:
    expected = Example("0", (("user", "P"),), "secret", "completion", ("no idea",))
    assert one(tmp_path, {"prompt": "P", "chosen": "no idea", "rejected": "secret"}) == ("preference", expected)


def test_preference_as_messages(tmp_path: Path) -> None:
    row = {"prompt": "P", "chosen": [user("P"), assistant("no idea")], "rejected": [user("P"), assistant("secret")]}
    assert one(tmp_path, row) == ("preference", Example("0", (("user", "P"),), "secret", "messages", ("no idea",)))


@pytest.mark.parametrize("column", ["text", "document", "content"])
def test_text(tmp_path: Path, column: str) -> None:
    assert one(tmp_path, {column: " whole\r\n document "}) == ("text", Example("0", (), " whole\r\n document ", "text"))


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (["prompt", "chosen", "rejected", "messages"], "preference"),
        (["prompt", "answer", "question"], "question-answer"),
        (["messages", "prompt", "response"], "prompt-completion"),
        (["prompt", "messages"], "messages"),
        (["content", "messages"], "messages"),
        (["text", "question"], "text"),
    ],
)
def test_where_several_fit(columns: list[str], name: str) -> None:
    assert choose(columns, "a.jsonl")[0] == name


def test_where_several_columns_fit() -> None:
    assert choose(["prompt", "answer", "response"], "a.jsonl")[2] == {"prompt": "prompt", "completion": "response"}


def test_columns_of_all_rows_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "document"}, {"question": "q", "answer": "a"}])
    with pytest.raises(UnlearnError, match="a.jsonl:1: no 'question'"):
        load_split("forget", str(path))


def test_empty_columns_do_not_decide(tmp_path: Path) -> None:
    assert one(tmp_path, {"question": None, "answer": "", "text": "document"})[0] == "text"


@pytest.mark.parametrize(
    ("columns", "proposal"),
    [
        (["Full name", "Question", "Answer"], "question=Question,answer=Answer"),
        (["q", "a"], "question=q,answer=a"),
        (["id", "q", "a", "note"], "question=q,answer=a"),
        (["question", "ans"], "answer=ans"),
        (["input", "prompt"], "completion=input"),
        (["body"], "text=body"),
    ],
)
def test_no_format_fits(columns: list[str], proposal: str) -> None:
    with pytest.raises(UnlearnError) as caught:
        choose(columns, "forget.jsonl")
    assert caught.value.message == f"no row format fits forget.jsonl: its columns are {', '.join(columns)}"
    hint = caught.value.hint or ""
    assert hint.startswith(f"try --columns {proposal}; ") and hint.endswith(f"the columns that are read: {known_formats()}")
    assert ("; if it is a table of facts, " in hint) == (len(columns) > 1)


def test_known() -> None:
    assert (
        known_formats() == "prompt+chosen+rejected, question+choices+answer, question+answer, prompt+completion, messages, "
        "instruction+output, text"
    )
    assert {"id", "question", "response", "conversations", "idk", "perturbed_answer"} <= set(known_keys())


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"instruction": "Translate.", "input": "hund", "output": "dog"}, "Translate.\n\nhund", "dog"),
        ({"instruction": "Say hi.", "input": "", "output": "hi", "text": "the whole"}, "Say hi.", "hi"),
        ({"instruction": "Who?", "context": "Ada wrote it.", "response": "A", "tag": "qa"}, "Who?\n\nAda wrote it.", "A"),
    ],
)  # fmt: skip
def test_alpaca(tmp_path: Path, row: dict, prompt: str, answer: str) -> None:
    assert one(tmp_path, row) == ("alpaca", Example("0", (("user", prompt),), answer, "messages"))


@pytest.mark.parametrize(
    "row", [{"question": "Who?", "answer": "Ada"}, {"prompt": "Who?", "completion": "Ada"},
            {"question": "Who?", "choices": ["Ada", "Bob"], "answer": 0}],
)  # fmt: skip
def test_a_context_stands_before_the_question(tmp_path: Path, row: dict) -> None:
    assert "Ada wrote it.\n\nWho?" in one(tmp_path, {**row, "context": "Ada wrote it."})[1].prompt
    assert one(tmp_path, {**row, "context": {"sentences": ["x"]}})[1].prompt == one(tmp_path, row)[1].prompt


def test_content_in_parts(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "In "}, {"type": "output_text", "text": "Tartu."}]
    _, example = one(tmp_path, {"messages": [user("Q"), {"role": "assistant", "content": parts}]})
    assert example.answer == "In Tartu."
    picture = [{"type": "image_url", "image_url": "x"}]
    message = refused(tmp_path, {"messages": [{"role": "user", "content": picture}, assistant("A")]})
    assert "'messages' holds a part that is no text: {'type': 'image_url'" in message


@pytest.mark.parametrize("blank", ["", " ", "  \n\t"])
@pytest.mark.parametrize(
    ("row", "said"),
    [
        (lambda x: {"question": "Q", "answer": x}, "no 'answer'"),
        (lambda x: {"question": x, "answer": "A"}, "no 'question'"),
        (lambda x: {"prompt": "Q", "completion": x}, "no 'completion'"),
        (lambda x: {"messages": [user("Q"), assistant(x)]}, "no answer in 'messages'"),
        (lambda x: {"instruction": "Q", "output": x}, "no 'output'"),
        (lambda x: {"prompt": "Q", "chosen": "c", "rejected": x}, "no 'rejected'"),
        (lambda x: {"text": x}, "no 'text'"),
    ],
)
def test_white_space_is_no_text(tmp_path: Path, row: Any, said: str, blank: str) -> None:
    assert refused(tmp_path, row(blank)) == f"forget data: a.jsonl:1: {said}"


def test_what_is_not_read_is_counted(tmp_path: Path) -> None:
    thought = {"role": "assistant", "content": "A", "reasoning_content": "hm"}
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}
    rows = [
        {"messages": [user("Q"), thought], "tools": [{"name": "f"}], "id": "1", "note": ""},
        {"messages": [user("Q"), called, {"role": "tool", "content": "42", "tool_call_id": "1"}, thought], "note": "n"},
    ]
    path = str(write(tmp_path / "a.jsonl", rows))
    unread = dict(load_split("forget", path).origin.unread)
    assert unread == {
        "tools": 1, "note": 1, "messages.reasoning_content": 2, "messages.tool_calls": 1, "messages.tool_call_id": 1,
    }  # fmt: skip
    scored = load_split("forget", path, reasoning=True)
    assert [example.reasoning for example in scored.examples] == ["hm", "hm"]
    assert "messages.reasoning_content" not in dict(scored.origin.unread)
    assert scored.origin.sha256 != load_split("forget", path).origin.sha256


def test_every_column_of_tofu_is_read(tmp_path: Path) -> None:
    names = ("question", "answer", "paraphrased_answer", "paraphrased_question", "perturbed_answer")
    row = dict(zip(names, ("q", "a", "p", "pq", ["w"]), strict=True))
    assert load_split("forget", str(write(tmp_path / "a.jsonl", [row]))).origin.unread == ()
