"""Examples to rows of token ids, each with the place where its answer begins.

The only module that knows how a prompt is written: the tokenizer's chat template where there is one, a plain form
otherwise. A row's first scored token is found as the end of the common prefix of the prompt alone and the prompt with
its answer, which holds for every tokenizer, also one that merges across the border.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError

# Some templates write today's date into the system prompt; a fixed one keeps rows, hashes and resumed runs equal
# from one day to the next. Thinking is off so that the answer follows the generation prompt at once.
TEMPLATE_ARGUMENTS = {"date_string": "26 Jul 2024", "enable_thinking": False}


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One sequence: a prompt and its answer, as token ids."""

    id: str  # the example's id; windows of a document get "id#0", "id#1", ...
    input_ids: np.ndarray  # [L] int64
    answer_start: int  # index of the first scored token, at least 1
    prompt_end: int  # tokens given to the model when it writes the answer itself
    gold: str  # the text a written answer is compared with
    ends: bool  # the last token is an end-of-answer token
    truncated: int = 0  # tokens cut off at max_length

    @property
    def answer_length(self) -> int:
        """Number of scored tokens."""
        return len(self.input_ids) - self.answer_start

    @property
    def whole(self) -> Row:
        """The same row with its prompt scored as well, but for the first token, which nothing predicts."""
        return replace(self, answer_start=1)


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with everything that decides which tokens a row holds."""

    tokenizer: Any
    max_length: int
    chat_template: str | None = None
    stride: int = 0  # tokens that a window of a raw document repeats from the one before, as context
    stop_ids: frozenset[int] = frozenset()  # tokens that end an answer
    _bos: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.stride < self.max_length - 1:
            raise UnlearnError(f"--stride {self.stride} leaves no room in a window of --max-length {self.max_length}")
        bos = self.tokenizer.bos_token_id
        starts = self.tokenizer("a")["input_ids"][:1] == [bos]
        object.__setattr__(self, "_bos", (bos,) if bos is not None and starts else ())

    @property
    def template_sha256(self) -> str | None:
        """sha256 of the chat template, or None for the plain form."""
        return hashlib.sha256(self.chat_template.encode()).hexdigest() if self.chat_template else None

    def encode(self, examples: Iterable[Example]) -> list[Row]:
        """Rows of all examples, in order; a raw document may become several.

        Raises:
            UnlearnError: a prompt leaves no room for its answer within `max_length`.
        """
        rows, too_long, longest = [], [], 0
        for example in examples:
            made = self._windows(example) if example.style == "text" else [self.encode_answer(example, example.answer)]
            for row in made:
                if row.answer_length < 1:
                    too_long.append(example.where)
                    longest = max(longest, len(row.input_ids) + row.truncated)
            rows.extend(made)
        if too_long:
            listed = ", ".join(too_long[:5])
            raise UnlearnError(
                f"{len(too_long)} rows have no token of their answer within --max-length {self.max_length} ({listed})",
                f"--max-length {longest} holds the longest of them",
            )
        return rows

    def encode_answer(self, example: Example, answer: str) -> Row:
        """The example's prompt with `answer`, which may be one of its alternatives."""
        templated = self.chat_template and example.style != "choice"
        prompt, full = self._chat(example, answer) if templated else self._plain(example, answer)
        start = common_prefix(prompt, full)
        ends = [i for i in range(start, len(full)) if full[i] in self.stop_ids]
        if example.style != "choice":
            # What a template writes after the end of the turn (a newline, mostly) is no part of the answer.
            full = full[: ends[-1] + 1] if ends else full + [self.tokenizer.eos_token_id]
        kept = full[: self.max_length]
        return Row(
            id=example.id,
            input_ids=np.asarray(kept, dtype=np.int64),
            answer_start=max(1, min(start, len(kept))),
            prompt_end=max(1, min(start, len(kept))),
            gold=answer,
            ends=len(kept) == len(full) and example.style != "choice",
            truncated=len(full) - len(kept),
        )

    def _chat(self, example: Example, answer: str) -> tuple[list[int], list[int]]:
        turns = [{"role": role, "content": content} for role, content in example.turns]
        arguments = {"chat_template": self.chat_template, "tokenize": True, "return_dict": False, **TEMPLATE_ARGUMENTS}

        def answered(content: str) -> list[int]:
            return list(self.tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": content}], **arguments))

        if example.prefill:
            return answered(example.prefill), answered(f"{example.prefill} {answer}")
        prompt = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, **arguments)
        return list(prompt), answered(answer)

    def _plain(self, example: Example, answer: str) -> tuple[list[int], list[int]]:
        prompt, joint = plain_prompt(example)
        if example.prefill:
            prompt, joint = prompt + joint + example.prefill, " "
        return self._ids(prompt), self._ids(prompt + joint + answer)

    def _ids(self, text: str) -> list[int]:
        return [*self._bos, *self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def cut(self, text: str, tokens: int) -> str:
        """The first tokens of a text, a token that begins every sequence counted among them."""
        return self.tokenizer.decode(self._ids(text)[:tokens], skip_special_tokens=True)

    def _windows(self, example: Example) -> list[Row]:
        ids = np.asarray(self._ids(example.answer), dtype=np.int64)
        rows, start = [], 0
        while True:
            window = ids[start : start + self.max_length]
            context = 1 if start == 0 else max(1, self.stride)
            middle = context + (len(window) - context) // 2
            gold = self.tokenizer.decode(window[middle:])
            rows.append(Row(f"{example.id}#{len(rows)}", window, min(context, len(window)), middle, gold, ends=False))
            if start + self.max_length >= len(ids):
                return rows
            # Without overlap the last token of a window is the only context of the next one, and scored once.
            start += self.max_length - max(1, self.stride)


def plain_prompt(example: Example) -> tuple[str, str]:
    """A prompt without a chat template, and what stands between it and the answer."""
    if example.style in ("completion", "choice"):
        return "".join(content for _, content in example.turns), " " if example.style == "choice" else ""
    if example.style == "qa":
        return f"Question: {example.prompt}\nAnswer:", " "
    lines = [f"{role.capitalize()}: {content}\n" for role, content in example.turns]
    return "".join([*lines, "Assistant:"]), " "


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Number of leading tokens that two sequences share."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def resolve_template(choice: str, tokenizer: Any) -> str | None:
    """The chat template to use: `choice` is "auto", "none" or the path of a Jinja file.

    Raises:
        UnlearnError: the file is missing.
    """
    if choice == "none":
        return None
    if choice == "auto":
        return tokenizer.chat_template
    path = Path(choice)
    if not path.is_file():
        raise UnlearnError(f"chat template not found: {choice}", "--chat-template takes auto, none or a Jinja file")
    return path.read_text(encoding="utf-8")
