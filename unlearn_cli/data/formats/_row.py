"""One row of a file, as formats read it, and the errors of bad rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.data.example import Example, Turn

# Optional columns of every format with a question. Of several names the first existing one is read.
ALTERNATIVES = ("alternatives", "alternate", "idk")
PARAPHRASED_ANSWER = ("paraphrased_answer",)
PARAPHRASED_QUESTION = ("paraphrased_question",)
PERTURBED = ("perturbed_answer",)
CONTEXT = ("context",)
EXTRAS = (*ALTERNATIVES, *PARAPHRASED_ANSWER, *PARAPHRASED_QUESTION, *PERTURBED, *CONTEXT)

# Keys under which data sets and templates keep the assistant's reasoning.
REASONING = ("reasoning_content", "reasoning", "thinking")
LABELS = ("id", "person")  # of the record: its lines, and with --subject-id person a verdict for each
_ROLES = {"human": "user", "gpt": "assistant"}  # ShareGPT's names
_KINDS = {"dict": "an object", "list": "a list", "bytes": "bytes", "NoneType": "null"}


class MissingValue(Exception):
    """A row lacks a value that its format needs; `args[0]` names it."""


class BadRow(Exception):
    """A row has a value that its format cannot use; `args[0]` describes it."""


@dataclass(frozen=True)
class Format:
    """A way to read an example from a row's columns. It is called like the function that it wraps."""

    function: Callable[[Row], Example]
    needs: Mapping[str, tuple[str, ...]]  # the format's key -> names of columns that it is read from, best first

    def __call__(self, row: Row) -> Example:
        return self.function(row)


def row_format(**needs: tuple[str, ...]) -> Callable[[Callable[[Row], Example]], Format]:
    """Declare the keys that a format needs, each with the names of columns that it is read from, best first."""
    return lambda function: Format(function, needs)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column, and the column of each of the format's keys."""

    id: str
    values: Mapping[str, Any]
    columns: Mapping[str, str]  # the format's key -> the column it is read from
    reasoning: bool = False  # read the reasoning of the last message
    _read: set[str] = field(default_factory=lambda: set(LABELS))  # columns that were read
    _ignored: set[str] = field(default_factory=set)  # unread keys of messages, as "messages.tool_calls"

    @property
    def unread(self) -> list[str]:
        """Columns and keys of messages that have a value and were not read."""
        columns = (name for name, value in self.values.items() if name not in self._read and not is_missing(value))
        return [*columns, *sorted(self._ignored)]

    def get(self, column: str) -> Any:
        """The value of a column, or None; the column counts as read."""
        self._read.add(column)
        return self.values.get(column)

    def text(self, key: str) -> str:
        """The text under a required key.

        Raises:
            MissingValue: the value is absent, null or empty.
            BadRow: the value is no text.
        """
        return as_text(self._value(key), f"'{self.columns[key]}'")

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of texts under a key.

        Raises:
            MissingValue: the value is absent or empty.
            BadRow: the value is no list of texts.
        """
        value, column = self._value(key), self.columns[key]
        if not isinstance(value, (list, tuple)):
            raise BadRow(f"'{column}' is not a list")
        return tuple(as_text(item, f"'{column}'") for item in value)

    def is_chat(self, key: str) -> bool:
        """Whether the value is a list of messages, not a text."""
        return isinstance(self.get(self.columns[key]), list)

    def is_texts(self, key: str) -> bool:
        """The value is a list of plain texts."""
        value = self.get(self.columns[key])
        return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)

    def turns(self, key: str, role: str) -> tuple[Turn, ...]:
        """The messages under a key; a plain text is one message of `role`.

        Raises:
            MissingValue: the value is absent or empty.
            BadRow: the value is no list of messages.
        """
        if not self.is_chat(key):
            return ((role, self.text(key)),)
        column = self.columns[key]
        messages = self._value(key)
        if not isinstance(messages, list):
            raise BadRow(f"'{column}' is not a list of messages")
        turns = tuple(_turn(message, column) for message in messages)
        last = _reasoning_key(messages[-1]) if self.reasoning else None
        for number, message in enumerate(messages, start=1):
            taken = {"role", "content"} if "content" in message else {"from", "value"}
            self._ignored.update(
                f"{column}.{name}"
                for name, value in message.items()
                if name not in taken and not is_missing(value) and not (number == len(messages) and name == last)
            )
        return turns

    def reasoning_of(self, key: str) -> str:
        """The reasoning of the last message under a key; empty unless `reasoning` is set.

        Raises:
            BadRow: the reasoning is no text.
        """
        if not self.reasoning or not self.is_chat(key):
            return ""
        last = self._value(key)[-1]
        name = _reasoning_key(last)
        return as_text(last[name], f"'{name}' in '{self.columns[key]}'") if name else ""

    def in_context(self, text: str) -> str:
        """A question, with the row's context before it if the row has one."""
        context = next((self.get(name) for name in CONTEXT if isinstance(self.values.get(name), str)), None)
        return text if is_missing(context) else f"{context}\n\n{text}"

    def last_answer(self, key: str) -> str:
        """The text under a key, or the last message if the value is a list of messages.

        Raises:
            MissingValue: the text is empty.
            BadRow: the last message is not the assistant's.
        """
        return answer_of(self.turns(key, "assistant"), self.columns[key])

    def extras(self) -> dict[str, Any]:
        """The optional fields of an `Example`, by name."""
        return {
            "alternatives": self._texts(ALTERNATIVES),
            "paraphrased_answer": next(iter(self._texts(PARAPHRASED_ANSWER)), None),
            "paraphrased_question": next(iter(self._texts(PARAPHRASED_QUESTION)), None),
            "perturbed": self._texts(PERTURBED),
        }

    def _value(self, key: str) -> Any:
        value = self.get(self.columns[key])
        if is_missing(value):
            raise MissingValue(f"'{self.columns[key]}'")
        return value

    def _texts(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        for column in columns:
            value = self.get(column)
            if not is_missing(value):
                return tuple(as_text(v, f"'{column}'") for v in (value if isinstance(value, list) else [value]))
        return ()


def is_missing(value: Any) -> bool:
    """Whether a value is null, white space, an empty list, or the NaN that data frames write for null."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value == [] or (isinstance(value, float) and math.isnan(value))


def as_text(value: Any, what: str) -> str:
    """A value as text. A text is returned unchanged.

    Raises:
        BadRow: the value is neither a text nor a number, or cannot be encoded as UTF-8.
    """
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise BadRow(f"{what} holds half of a surrogate pair, which is not a character") from None
        return value
    if isinstance(value, (bool, int, float)):
        return str(value)
    kind = type(value).__name__
    raise BadRow(f"{what} is {_KINDS.get(kind, kind)}, not text")


def answer_of(turns: tuple[Turn, ...], column: str) -> str:
    """The text of the last message, which is the scored answer.

    Raises:
        MissingValue: the text is empty.
        BadRow: the last message is not the assistant's.
    """
    role, content = turns[-1]
    if role != "assistant":
        raise BadRow(f"the last message of '{column}' is from '{role}', not from the assistant")
    if is_missing(content):
        raise MissingValue(f"answer in '{column}'")
    return content


def _turn(message: Any, column: str) -> Turn:
    for role, content in (("role", "content"), ("from", "value")):
        if isinstance(message, dict) and role in message and content in message:
            name = as_text(message[role], f"a {role} in '{column}'")
            # A message that only calls a tool has no content.
            text = "" if message[content] is None else message[content]
            return _ROLES.get(name, name), _content(text, column)
    raise BadRow(f"'{column}' holds a message without role and content")


def _content(value: Any, column: str) -> str:
    """The content of a message: a text, or a list of text parts, as in OpenAI's interface."""
    if not isinstance(value, list):
        return as_text(value, f"a message in '{column}'")
    texts = []
    for part in value:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if kind not in ("text", "input_text", "output_text") or "text" not in part:
            raise BadRow(f"a message in '{column}' holds a part that is no text: {str(part)[:40]}")
        texts.append(as_text(part["text"], f"a part of a message in '{column}'"))
    return "".join(texts)


def _reasoning_key(message: Mapping[str, Any]) -> str | None:
    return next((name for name in REASONING if not is_missing(message.get(name))), None)
