"""One row of data, as text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Literal

Turn = tuple[str, str]  # (role, content)
Style = Literal["qa", "completion", "messages", "text", "choice", "continuation"]
RAW: tuple[Style, ...] = ("choice", "continuation")  # written plainly whatever template there is; their answers have no end


@dataclass(frozen=True, slots=True)
class Example:
    """What is asked and what is answered, before any tokenizer has seen it.

    `style` says how the row is written where the tokenizer has no chat template: "qa" gets question and answer labels,
    "completion" is joined as it stands, "messages" gets its roles as labels, "text" is a raw document. "choice" is a
    question with lettered answers, always written plainly; its answer is one letter and has no end. "continuation" is a
    raw text and how it goes on, always written plainly, with a space between the two where neither has one; it has no end.
    """

    id: str  # the row's own id if it has one, else its 0-based number in the file
    turns: tuple[Turn, ...]  # the prompt; empty for a raw document
    answer: str  # the text that is scored; the whole document for "text"
    style: Style
    alternatives: tuple[str, ...] = ()  # answers to prefer instead (dpo, idk)
    paraphrased_answer: str | None = None
    paraphrased_question: str | None = None
    perturbed: tuple[str, ...] = ()  # wrong answers in the same wording, for the truth ratio
    reasoning: str = ""  # what the assistant thinks before the answer; scored with it
    prefill: str = ""  # what the assistant's turn begins with before the answer
    place: str = field(default="", compare=False)  # for messages: "forget.jsonl:4", "forget.parquet row 4"

    @property
    def prompt(self) -> str:
        """The last turn of the prompt, for people to read."""
        return self.turns[-1][1] if self.turns else ""

    @property
    def where(self) -> str:
        """Where the row stands, or its id if it was in no file."""
        return self.place or f"row {self.id}"

    @property
    def fingerprint(self) -> str:
        """sha256 of what is asked and answered: names the question in draws, whatever else its row holds."""
        reasoning = [self.reasoning] if self.reasoning else []
        content = json.dumps([self.turns, self.answer, *reasoning], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def sha256(self) -> str:
        """Over everything that the row holds; equal for equal content, whatever file it came from and whatever its id."""
        values = [getattr(self, field.name) for field in fields(self) if field.name not in ("id", "place")]
        return hashlib.sha256(json.dumps(values, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a list of examples came from, for the report."""

    spec: str  # as the user wrote it
    files: tuple[str, ...]  # absolute paths, or names inside the Hub data set
    format: str  # name of the row format
    rows: int  # rows kept
    rows_in_source: int  # rows read, before --limit
    sha256: str  # over the kept rows with all that they hold, in order
    revision: str | None = None  # resolved commit of a Hub data set
    columns: tuple[str, ...] = ()  # of the source, before --columns
    unread: tuple[tuple[str, int], ...] = ()  # columns and keys of messages that no format reads, with their rows


@dataclass(frozen=True, slots=True)
class Split:
    """The examples of one split and where they came from."""

    name: str
    examples: tuple[Example, ...]
    origin: Origin
    max_new_tokens: int | None = None  # longest generated answer, where a benchmark says so
    generate_limit: int | None = None  # rows answered at most, where not all that are asked for are wanted; -1: none
    answer_tokens: int | None = None  # the true answer is cut after as many tokens
    free_answers: bool = False  # answers are written without the examples' prefill, which counts for their probability alone
    windows: bool = True  # raw documents that are too long become several rows; else each is one row, which is cut
