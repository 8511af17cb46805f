"""One row of data, as text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Literal

Turn = tuple[str, str]  # (role, content)
Style = Literal["qa", "completion", "messages", "text", "choice", "continuation"]
RAW: tuple[Style, ...] = ("choice", "continuation")  # no chat template, no end-of-answer token


@dataclass(frozen=True, slots=True)
class Example:
    """One row as text: a prompt and its answer.

    `style` is the form of the row for a tokenizer without a chat template: "qa" gets the labels Question and Answer,
    "completion" joins prompt and answer unchanged, "messages" gets its roles as labels, "text" is a raw document. Two
    styles never use a chat template, and no end-of-answer token follows their answers: "choice" is a question with lettered
    answers, and its answer is one letter; "continuation" is a raw text and its continuation, joined by a space if neither
    has one.
    """

    id: str  # the row's own id if it has one, else its 0-based number in the file
    turns: tuple[Turn, ...]  # the prompt; empty for a raw document
    answer: str  # the text that is scored; the whole document for "text"
    style: Style
    alternatives: tuple[str, ...] = ()  # answers to prefer instead (dpo, idk)
    paraphrased_answer: str | None = None
    paraphrased_question: str | None = None
    perturbed: tuple[str, ...] = ()  # wrong answers in the same wording, for the truth ratio
    reasoning: str = ""  # the assistant's reasoning before the answer; scored with it
    prefill: str = ""  # first words of the assistant's turn, before the answer
    place: str = field(default="", compare=False)  # for messages: "forget.jsonl:4", "forget.parquet row 4"

    @property
    def prompt(self) -> str:
        """The last turn of the prompt, for people to read."""
        return self.turns[-1][1] if self.turns else ""

    @property
    def where(self) -> str:
        """The row's place in its file, or its id if it comes from no file."""
        return self.place or f"row {self.id}"

    @property
    def fingerprint(self) -> str:
        """sha256 of prompt and answer. Random draws for a row depend on it, and on nothing else in the row."""
        reasoning = [self.reasoning] if self.reasoning else []
        content = json.dumps([self.turns, self.answer, *reasoning], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def sha256(self) -> str:
        """sha256 of everything in the row but its id and its place: equal content has equal hashes."""
        values = [getattr(self, field.name) for field in fields(self) if field.name not in ("id", "place")]
        return hashlib.sha256(json.dumps(values, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a list of examples came from, for the report."""

    spec: str  # the user's argument
    files: tuple[str, ...]  # absolute paths, or names inside the Hub data set
    format: str  # name of the row format
    rows: int  # rows kept
    rows_in_source: int  # rows read, before --limit
    sha256: str  # hash of the kept rows in order, with all of their fields
    revision: str | None = None  # resolved commit of a Hub data set
    pinned: bool | None = None  # of a Hub data set: whether that commit was asked for; False: the newest one was read
    columns: tuple[str, ...] = ()  # of the source, before --columns
    unread: tuple[tuple[str, int], ...] = ()  # columns and keys of messages that no format reads, with their rows
    published: bool | None = None  # of a benchmark: the rows have the published hash; None: there is none to compare with
    repeated_ids: tuple[
        str, ...
    ] = ()  # place of the first row of each id that several rows have; all rows then have numbers


@dataclass(frozen=True, slots=True)
class Split:
    """The examples of one split and where they came from."""

    name: str
    examples: tuple[Example, ...]
    origin: Origin
    max_new_tokens: int | None = None  # longest generated answer; None: the user's setting
    generate_limit: int | None = None  # largest number of answered rows, whatever the user's setting; -1: none
    answer_tokens: int | None = None  # the true answer is cut after this many tokens
    free_answers: bool = False  # generate answers without the prefill; it then matters only for probabilities
    windows: bool = True  # split a raw document that is too long into several rows; False: cut it
