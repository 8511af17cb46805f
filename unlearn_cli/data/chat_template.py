"""Chat templates: choose one, render rows with it, and check that no text of a row is lost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

from unlearn_cli.data.example import Example
from unlearn_cli.data.formats._row import REASONING
from unlearn_cli.data.readers import read_text
from unlearn_cli.errors import UnlearnError
from unlearn_cli.limits import TooMuch, bounded

# Some templates write today's date into the system prompt; a fixed one keeps rows, hashes and resumed runs equal
# from one day to the next.
DATE = "26 Jul 2024"
WAYS = "--chat-template none writes the rows plainly; --chat-template FILE takes a template of your own"


@dataclass(frozen=True)
class Conversation:
    """A conversation as the chat template writes it."""

    text: str

    def answer_begins(self, prompt: str, answer: str, reasoning: str, where: str) -> int | None:
        """Index in `text` where the answer begins, if the template writes a header between the prompt and the answer.

        Args:
            prompt: the conversation without the answer, as the template writes it.
            answer: the answer.
            reasoning: scored text before the answer. With it, the header counts as a part of the model's text.
            where: the row, for the message.

        Raises:
            UnlearnError: the answer or the reasoning is not in the text any more, white space aside.
        """
        shared = _shared(prompt, self.text)
        for name, part in (("reasoning", reasoning), ("answer", answer)):
            behind = _solid(self.text).rfind(_solid(part)) + len(_solid(part))
            if _solid(part) not in _solid(self.text) or (part and behind <= len(_solid(self.text[:shared]))):
                raise lost(f"the {name}", part, where)
        begin = self.text.rfind(answer.strip()) if answer.strip() and not reasoning else 0
        return begin if begin > shared and self.text[shared:begin].strip() else None


def render(
    tokenizer: Any,
    example: Example,
    answer: str | None,
    reasoning: str,
    *,
    chat_template: str,
    enable_thinking: bool,
) -> Conversation:
    """The rendered prompt of an example, followed by `answer`; if that is None, by the beginning of the assistant's turn.

    Raises:
        UnlearnError: the template refuses the row, fails, or loses text of the prompt.
    """
    turns = [{"role": role, "content": content} for role, content in example.turns]
    if answer is not None:
        key = next((key for key in REASONING if re.search(rf"\b{key}\b", chat_template)), REASONING[0])
        turns.append({"role": "assistant", "content": answer, **({key: reasoning} if reasoning else {})})
    try:
        with bounded():
            text = tokenizer.apply_chat_template(
                turns,
                chat_template=chat_template,
                tokenize=False,
                add_generation_prompt=answer is None,
                date_string=DATE,
                enable_thinking=enable_thinking,
            )
    except Exception as error:
        raise refused(error, example) from error
    for role, content in example.turns:
        if _solid(content) not in _solid(text):
            raise lost(f"a message of the {role}", content, example.where)
    return Conversation(text)


def lost(part: str, content: str, where: str) -> UnlearnError:
    """The error for a template that loses text of a row."""
    thought = "<think>" in content or "</think>" in content
    more = "; or keep the thought in reasoning_content and add --reasoning score"
    return UnlearnError(
        f"{where}: the chat template loses text of {part}",
        WAYS + (more if thought or part == "the reasoning" else ""),
    )


def refused(error: Exception, example: Example) -> UnlearnError:
    """The error for a template that raises an exception on a row."""
    what = (str(error).splitlines() or [type(error).__name__])[0]
    for text in (*(content for _, content in example.turns), example.answer):
        what = what.replace(text, "...") if text else what  # the message of a left-out attack goes into a report
    verb = "refuses" if isinstance(error, TemplateError) else f"fails with {type(error).__name__} on"
    verb = "is stopped on" if isinstance(error, TooMuch) else verb
    roles = " > ".join(role for role, _ in example.turns)
    return UnlearnError(
        f"{example.where}: the chat template {verb} this row ({roles} > assistant): {what}",
        f"take out the messages it does not know (a system message, mostly), or {WAYS}",
    )


def resolve_template(choice: str, tokenizer: Any) -> str | None:
    """The chat template to use: `choice` is "auto", "none" or the path of a Jinja file.

    Raises:
        UnlearnError: the file is missing, empty or no text; the template does not parse; or the tokenizer has several
            templates and none is named "default".
    """
    if choice == "none":
        return None
    if choice != "auto":
        path = Path(choice).expanduser()
        if not path.is_file():
            raise UnlearnError(f"chat template not found: {choice}", "--chat-template takes auto, none or a Jinja file")
        template = read_text(path)
        if not template.strip():
            raise UnlearnError(f"{path} is empty", "--chat-template none writes the rows plainly")
        return _parsed(template, tokenizer, str(path))
    template = tokenizer.chat_template
    if isinstance(template, dict):
        if "default" not in template:
            listed = ", ".join(sorted(template))
            raise UnlearnError(f"the tokenizer has several chat templates and no default: {listed}", WAYS)
        template = template["default"]
    if not template:
        return None
    file = Path(str(tokenizer.name_or_path)) / "chat_template.jinja"
    return _parsed(template, tokenizer, str(file) if file.is_file() else f"{tokenizer.name_or_path}: chat_template")


def _parsed(template: str, tokenizer: Any, where: str) -> str:
    """The template, if it parses. Errors while it renders a row are found later."""
    try:
        with bounded():
            tokenizer.apply_chat_template([{"role": "user", "content": "a"}], chat_template=template, tokenize=False)
    except TooMuch as error:
        raise UnlearnError(f"{where}: the chat template is not used: {error} for one word", WAYS) from None
    except TemplateSyntaxError as error:
        raise UnlearnError(f"{where}:{error.lineno}: the chat template does not parse: {error.message}", WAYS) from None
    except Exception:
        return template
    return template


def _shared(a: str, b: str) -> int:
    """Number of leading characters that two texts share."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _solid(text: str) -> str:
    """A text without white space."""
    return "".join(text.split())
