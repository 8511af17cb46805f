"""Turn examples into rows of token ids, and find where each answer begins.

Only this module knows the form of a prompt: the tokenizer's chat template, or a plain form without one. The first scored
token is the first one in which "prompt" and "prompt with answer" differ after tokenization. This holds for every
tokenizer, also for one that merges characters across the border.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from unlearn_cli.config import DataOptions
from unlearn_cli.data.chat_template import Conversation, render, resolve_template
from unlearn_cli.data.example import RAW, Example, Turn
from unlearn_cli.errors import UnlearnError
from unlearn_cli.measured import compressed_length


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One sequence: a prompt and its answer, as token ids."""

    id: str  # the example's id; windows of a document get "id#0", "id#1", ...
    input_ids: np.ndarray  # [L] int64
    answer_start: int  # index of the first scored token, at least 1
    prompt_end: int  # tokens in front of the answer
    gold: str  # the text a written answer is compared with
    ends: bool  # the last token is an end-of-answer token
    truncated: int = 0  # number of tokens cut off at max_length
    # Tokens given to the model when it generates the answer, if the row does not begin with them: a prompt that ends with
    # a space has one token more than the same prompt before an answer.
    own_prompt: np.ndarray | None = None
    zlib_bytes: int | None = None  # length of the scored text under zlib, where that text is not `gold`

    @property
    def prompt_ids(self) -> np.ndarray:
        """Tokens given to the model when it generates the answer."""
        return self.input_ids[: self.prompt_end] if self.own_prompt is None else self.own_prompt

    @property
    def answer_length(self) -> int:
        """Number of scored tokens."""
        return len(self.input_ids) - self.answer_start

    @property
    def content(self) -> list[Any]:
        """Everything that a measurement of the row depends on, in types that JSON knows."""
        ids = [self.input_ids.tolist(), self.answer_start, self.prompt_end, self.prompt_ids.tolist()]
        return [self.id, *ids, self.gold, self.ends, self.zlib_bytes]

    @property
    def whole(self) -> Row:
        """The same row with its prompt scored, too, except for the first token, which nothing predicts."""
        return replace(self, answer_start=1)

    @property
    def question(self) -> Row:
        """The prompt as a row, all of it scored. One answer token stays: a state is read where it predicts a token."""
        return replace(self, input_ids=self.input_ids[: self.answer_start + 1], answer_start=1, ends=False)

    def counted(self, positions: str) -> Row:
        """The row with other scored tokens: those of the "answer", of the "prompt", or "all"."""
        return {"answer": self, "all": self.whole, "prompt": self.question}[positions]


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with all settings that decide the tokens of a row."""

    tokenizer: Any
    max_length: int
    chat_template: str | None = None
    stride: int = 0  # tokens that a window of a raw document repeats from the one before, as context
    stop_ids: frozenset[int] = frozenset()  # tokens that end an answer
    enable_thinking: bool = False  # goes to the chat template; off, the answer follows the generation prompt at once
    _bos: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.stride < self.max_length - 1:
            raise UnlearnError(
                f"--stride {self.stride} leaves no room in a window of --max-length {self.max_length}",
                "a stride is shorter than the window",
            )
        bos = self.tokenizer.bos_token_id
        starts = self.tokenizer("a")["input_ids"][:1] == [bos]
        object.__setattr__(self, "_bos", (bos,) if bos is not None and starts else ())

    @property
    def template_sha256(self) -> str | None:
        """sha256 of the chat template and its switch, or None for the plain form."""
        if not self.chat_template:
            return None
        switch = "enable_thinking" if self.enable_thinking else ""
        return hashlib.sha256((self.chat_template + switch).encode()).hexdigest()

    @cached_property
    def _prompts(self) -> dict[tuple[tuple[Turn, ...], str | None], str]:
        return {}

    @cached_property
    def texts_sha256(self) -> str:
        """sha256 of all that decides the text of generated tokens: the tokenizer and the tokens that end an answer."""
        words = [sorted(self.tokenizer.get_vocab().items()), sorted(self.tokenizer.all_special_ids), sorted(self.stop_ids)]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    @property
    def sha256(self) -> str:
        """sha256 of all settings that decide the tokens of a row, without the tokenizer's own rules."""
        settings = [self.texts_sha256, self.template_sha256, self.max_length, self.stride]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def encode(self, examples: Iterable[Example], *, windows: bool = True) -> list[Row]:
        """Rows of all examples, in order.

        Args:
            examples: what to encode.
            windows: split a raw document that is longer than `max_length` into several rows; False: cut it.

        Raises:
            UnlearnError: a prompt leaves no room for its answer within `max_length`, or the chat template or the tokenizer
                cannot take a row.
        """
        rows, too_long, longest = [], [], 0
        for example in examples:
            if example.style == "text":
                encoded = self._windows(example) if windows else [self._window(example)]
            else:
                encoded = [self.encode_answer(example, example.answer)]
            for row in encoded:
                if row.answer_length < 1:
                    too_long.append(example.where)
                    longest = max(longest, len(row.input_ids) + row.truncated)
            rows.extend(encoded)
        if too_long:
            listed = ", ".join(too_long[:5])
            raise UnlearnError(
                f"{len(too_long)} rows have no token of their answer within --max-length {self.max_length} ({listed})",
                f"--max-length {longest} holds the longest of them",
            )
        return rows

    def encode_answer(self, example: Example, answer: str) -> Row:
        """The example's prompt with `answer`, which may be one of its alternatives.

        Raises:
            UnlearnError: the chat template refuses the row or loses text of it, or the tokenizer cannot take it.
        """
        templated, ended = self.chat_template and example.style not in RAW, example.style not in RAW
        reasoning = example.reasoning if answer == example.answer else ""
        if templated:
            prompt, full = self._chat(example, answer, reasoning)
            start = common_prefix(prompt, full)
        else:
            prompt, full = self._plain(example, f"{reasoning}\n{answer}" if reasoning else answer)
            start = common_prefix(prompt, full)
        ends = [i for i in range(start, len(full)) if full[i] in self.stop_ids]
        if ended:
            # Text that a template adds after the end of the turn (usually a newline) is not a part of the answer.
            full = full[: ends[-1] + 1] if ends else full + [self.tokenizer.eos_token_id]
        cut = full[: self.max_length]
        return Row(
            id=example.id,
            input_ids=np.asarray(cut, dtype=np.int64),
            answer_start=max(1, min(start, len(cut))),
            prompt_end=max(1, min(start, len(cut))),
            gold=f"{reasoning}\n{answer}" if reasoning else answer,
            ends=len(cut) == len(full) and ended,
            truncated=len(full) - len(cut),
            own_prompt=np.asarray(prompt, dtype=np.int64) if example.style == "continuation" else None,
        )

    def _chat(self, example: Example, answer: str, reasoning: str) -> tuple[list[int], list[int]]:
        """Token ids of the prompt, up to where the answer begins, and of the whole conversation."""
        if example.prefill:
            prompt = self._prompt(example, example.prefill)
            full = self._conversation(example, f"{example.prefill} {answer}")
        else:
            prompt = self._prompt(example, None)
            full = self._conversation(example, answer, reasoning)
        begin = full.answer_begins(prompt, f"{example.prefill} {answer}".strip(), reasoning, example.where)
        return self._tokens(full.text[:begin] if begin else prompt), self._tokens(full.text)

    def _prompt(self, example: Example, prefill: str | None) -> str:
        """The conversation up to the answer: rendered once for all answers to a question."""
        key = example.turns, prefill
        if key not in self._prompts:
            self._prompts[key] = self._conversation(example, prefill).text
        return self._prompts[key]

    def _conversation(self, example: Example, answer: str | None = None, reasoning: str = "") -> Conversation:
        assert self.chat_template is not None
        return render(
            self.tokenizer,
            example,
            answer,
            reasoning,
            chat_template=self.chat_template,
            enable_thinking=self.enable_thinking,
        )

    def _plain(self, example: Example, answer: str) -> tuple[list[int], list[int]]:
        prompt, joint = plain_prompt(example)
        if example.prefill:
            prompt, joint = prompt + joint + example.prefill, " "
        return self._ids(prompt), self._ids(prompt + joint + answer)

    def _ids(self, text: str) -> list[int]:
        return [*self._bos, *self._tokens(text)]

    def _tokens(self, text: str) -> list[int]:
        try:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        except Exception as error:
            raise UnlearnError(
                f"the tokenizer cannot take a text of {len(text)} characters: {type(error).__name__}: {error}",
                f"the text begins with: {text[:40]!r}; change the row, or load a tokenizer that fits the model",
            ) from error

    def cut(self, text: str, tokens: int) -> str:
        """The first `tokens` tokens of a text. A token that begins every sequence counts."""
        return self.tokenizer.decode(self._ids(text)[:tokens], skip_special_tokens=True)

    def _window(self, example: Example) -> Row:
        """A raw document as one row, cut at `max_length`."""
        ids = np.asarray(self._ids(example.answer), dtype=np.int64)
        row = self._part(example.id, ids[: self.max_length], 1)
        return replace(row, truncated=max(0, len(ids) - self.max_length))

    def _windows(self, example: Example) -> list[Row]:
        ids = np.asarray(self._ids(example.answer), dtype=np.int64)
        rows: list[Row] = []
        start = 0
        while True:
            context = 1 if start == 0 else max(1, self.stride)
            rows.append(self._part(f"{example.id}#{len(rows)}", ids[start : start + self.max_length], context))
            if start + self.max_length >= len(ids):
                return rows
            # Without overlap the last token of a window is the only context of the next one, and scored once.
            start += self.max_length - max(1, self.stride)

    def _part(self, row_id: str, window: np.ndarray, context: int) -> Row:
        """A row of a raw document. The tokens after its context are scored. A model generates the second half."""
        middle = context + (len(window) - context) // 2
        scored = self.tokenizer.decode(window[context:], skip_special_tokens=True)
        zlib_bytes = compressed_length(scored)
        gold = self.tokenizer.decode(window[middle:])
        return Row(row_id, window, min(context, len(window)), middle, gold, ends=False, zlib_bytes=zlib_bytes)


def make_encoder(options: DataOptions, tokenizer: Any, stop_ids: frozenset[int], limit: int | None) -> Encoder:
    """The encoder for these options; `limit` is the longest sequence that the model accepts."""
    template = resolve_template(options.chat_template, tokenizer)
    length = min(options.max_length, limit) if limit else options.max_length
    return Encoder(tokenizer, length, template, options.stride, stop_ids, options.enable_thinking)


def plain_prompt(example: Example) -> tuple[str, str]:
    """A prompt without a chat template, and the text between it and the answer."""
    if example.style in ("completion", *RAW):
        prompt = "".join(content for _, content in example.turns)
        # A continuation gets a space where neither side has one.
        apart = example.style == "continuation" and not prompt[-1:].isspace() and not example.answer[:1].isspace()
        return prompt, " " if apart or example.style == "choice" else ""
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
