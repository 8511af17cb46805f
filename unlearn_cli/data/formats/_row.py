"""One row of a file as the formats read it, and what can be wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.data.example import Example, Turn

# Columns that every format with a question may bring along; the first that is there counts.
ALTERNATIVES = ("alternatives", "alternate", "idk")
PARAPHRASED_ANSWER = ("paraphrased_answer",)
PARAPHRASED_QUESTION = ("paraphrased_question",)
PERTURBED = ("perturbed_answer",)
CONTEXT = ("context",)
EXTRAS = (*ALTERNATIVES, *PARAPHRASED_ANSWER, *PARAPHRASED_QUESTION, *PERTURBED, *CONTEXT)

# Where data sets and templates keep what a model thinks before it answers.
REASONING = ("reasoning_content", "reasoning", "thinking")
_ROLES = {"human": "user", "gpt": "assistant"}  # ShareGPT's names
_KINDS = {"dict": "an object", "list": "a list", "bytes": "bytes", "NoneType": "null"}


class MissingValue(Exception):
    """A row lacks something that its format needs; `args[0]` names it."""


class BadRow(Exception):
    """A row holds something that its format cannot use; `args[0]` says what."""


@dataclass(frozen=True)
class Format:
    """One way to read an example from a row's columns; called like the function that it wraps."""

    function: Callable[[Row], Example]
    needs: Mapping[str, tuple[str, ...]]  # the format's keys, each with the column names that it is read from, best first

    def __call__(self, row: Row) -> Example:
        return self.function(row)


def row_format(**needs: tuple[str, ...]) -> Callable[[Callable[[Row], Example]], Format]:
    """Declare the keys that a format needs, each with the column names that it is read from, best first."""
    return lambda function: Format(function, needs)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column, and which column holds which of the format's keys."""

    id: str
    values: Mapping[str, Any]
    columns: Mapping[str, str]  # the format's key -> the column it is read from
    reasoning: bool = False  # the reasoning of the last message is read
    _read: set[str] = field(default_factory=lambda: {"id"})  # columns
    _ignored: set[str] = field(default_factory=set)  # keys of messages, as "messages.tool_calls"

    @property
    def unread(self) -> list[str]:
        """Columns and keys of messages that hold something and were not asked for."""
        columns = (name for name, value in self.values.items() if name not in self._read and not is_missing(value))
        return [*columns, *sorted(self._ignored)]

    def get(self, column: str) -> Any:
        """The value of a column, or None; the column counts as read."""
        self._read.add(column)
        return self.values.get(column)

    def text(self, key: str) -> str:
        """The text under a key that must be there.

        Raises:
            MissingValue: it is absent, null or empty.
            BadRow: it is no text.
        """
        return as_text(self._value(key), f"'{self.columns[key]}'")

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of texts under a key.

        Raises:
            MissingValue: it is absent or empty.
            BadRow: it is no list of texts.
        """
        value, column = self._value(key), self.columns[key]
        if not isinstance(value, (list, tuple)):
            raise BadRow(f"'{column}' is not a list")
        return tuple(as_text(item, f"'{column}'") for item in value)

    def is_chat(self, key: str) -> bool:
        """The value is a list of messages, not a text."""
        return isinstance(self.get(self.columns[key]), list)

    def turns(self, key: str, role: str) -> tuple[Turn, ...]:
        """The messages under a key; a plain text is one message of `role`.

        Raises:
            MissingValue: there are none.
            BadRow: they are no messages.
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
        """What the last message under a key thinks before it answers; empty unless it is to be read.

        Raises:
            BadRow: it is no text.
        """
        if not self.reasoning or not self.is_chat(key):
            return ""
        last = self._value(key)[-1]
        name = _reasoning_key(last)
        return as_text(last[name], f"'{name}' in '{self.columns[key]}'") if name else ""

    def in_context(self, text: str) -> str:
        """A question behind the row's context, where there is one."""
        context = next((self.get(name) for name in CONTEXT if isinstance(self.values.get(name), str)), None)
        return text if is_missing(context) else f"{context}\n\n{text}"

    def last_answer(self, key: str) -> str:
        """The text under a key, or the assistant's last message where it is a list of messages.

        Raises:
            MissingValue: it is empty.
            BadRow: the last message is not the assistant's.
        """
        return answer_of(self.turns(key, "assistant"), self.columns[key])

    def extras(self) -> dict[str, Any]:
        """The optional fields of an `Example`, by their names there."""
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
    """Null, a text of nothing but white space, an empty list, or the NaN that data frames write for null."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value == [] or (isinstance(value, float) and math.isnan(value))


def as_text(value: Any, what: str) -> str:
    """A value as text, unchanged if it is text already.

    Raises:
        BadRow: it is neither text nor a number, or cannot be written as UTF-8.
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
    """The text of the last message, which is what gets scored.

    Raises:
        MissingValue: it is empty.
        BadRow: it is not the assistant's.
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
    """The content of a message: a text, or a list of parts that are texts, as in OpenAI's interface."""
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
