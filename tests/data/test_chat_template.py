"""What a chat template makes of a row: its text stays, the answer begins behind headers, errors name the row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from unlearn_cli.data.chat_template import resolve_template
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.demo.build import TEMPLATE
from unlearn_cli.errors import EXIT_USAGE, UnlearnError
from unlearn_cli.recipes.demo import ASSETS

EXAMPLE = Example("7", (("user", "Where are the bees?"),), "In Tartu, on a roof.", "qa", place="f.jsonl:3")
LOOP = "{% for m in messages %}<s>{{ m.role }}\n"
GENERATE = "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
FAITHFUL = f"{LOOP}{{{{ m.content | trim }}}}</s>\n{{% endfor %}}{GENERATE}"
SPLITS_THOUGHTS = f"{LOOP}{{{{ m.content.split('</think>')[-1] }}}}</s>{{% endfor %}}{GENERATE}"
PARTS = f"{LOOP}{{% for p in m.content %}}{{{{ p.text }}}}{{% endfor %}}</s>{{% endfor %}}{GENERATE}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + FAITHFUL
HARMONY = (
    "{% for m in messages %}<s>{{ m.role }}{% if m.role == 'assistant' %}<channel>final{% endif %}<message>"
    "{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant{% endif %}"
)
THINKS = (
    f"{LOOP}{{% if m.reasoning_content %}}<think>{{{{ m.reasoning_content }}}}</think>{{% endif %}}{{{{ m.content }}}}</s>"
    "{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% if not enable_thinking %}(no thoughts){% endif %}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(ASSETS / "model")


def encoded(tokenizer: Any, template: str | None, example: Example = EXAMPLE, **more: Any) -> tuple[Row, str, str]:
    """The row, what is seen but not scored, and what is scored."""
    (row,) = Encoder(tokenizer, 512, template, stop_ids=frozenset({tokenizer.eos_token_id}), **more).encode([example])
    ids = row.input_ids.tolist()
    return row, tokenizer.decode(ids[: row.answer_start]), tokenizer.decode(ids[row.answer_start :])


def refused(tokenizer: Any, template: str, example: Example = EXAMPLE) -> UnlearnError:
    with pytest.raises(UnlearnError) as caught:
        encoded(tokenizer, template, example)
    assert caught.value.exit_code == EXIT_USAGE and "--chat-template none" in caught.value.hint
    assert caught.value.message.startswith("f.jsonl:3: the chat template ")
    return caught.value


def test_a_row_is_what_transformers_itself_makes_of_it(tokenizer: Any) -> None:
    turns = [{"role": "user", "content": EXAMPLE.prompt}, {"role": "assistant", "content": EXAMPLE.answer}]
    row, _, _ = encoded(tokenizer, TEMPLATE)
    whole = tokenizer.apply_chat_template(turns, chat_template=TEMPLATE, tokenize=True, return_dict=False)
    assert row.input_ids.tolist() == list(whole)[: len(row.input_ids)]
    prompt = tokenizer.apply_chat_template(
        turns[:1], chat_template=TEMPLATE, tokenize=True, return_dict=False, add_generation_prompt=True
    )
    assert row.prompt_ids.tolist() == list(prompt)


@pytest.mark.parametrize(
    ("template", "part"),
    [
        (SPLITS_THOUGHTS, "the answer"),
        (FAITHFUL.replace("m.content", "m.text"), "a message of the user"),
        (FAITHFUL.replace("<s>{{ m.role }}", "{% if m.role == 'user' %}").replace("</s>", "{% endif %}</s>"), "the answer"),
        (FAITHFUL.replace("m.content | trim", "m.content | upper"), "a message of the user"),
        (FAITHFUL.replace("m.content | trim", "m.content[:10]"), "a message of the user"),
        ("nothing", "a message of the user"),
    ],
)  # fmt: skip
def test_lost_text_is_refused_with_the_row(tokenizer: Any, template: str, part: str) -> None:
    example = replace(EXAMPLE, answer="<think>They have nine hives.</think>In Tartu.")
    assert f"loses text of {part}" in refused(tokenizer, template, example).message


def test_an_answer_that_stands_in_the_question_does_not_hide_its_loss(tokenizer: Any) -> None:
    drops = FAITHFUL.replace("{{ m.content | trim }}", "{% if m.role == 'user' %}{{ m.content }}{% endif %}")
    example = replace(EXAMPLE, turns=(("user", "Tartu or Tallinn?"),), answer="Tartu")
    assert "loses text of the answer" in refused(tokenizer, drops, example).message


def test_white_space_may_change(tokenizer: Any) -> None:
    _, _, scored = encoded(tokenizer, FAITHFUL, replace(EXAMPLE, answer="\n  In Tartu.  \n"))
    assert scored.startswith("In Tartu.")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (NO_SYSTEM, "refuses this row (system > user > assistant): no system role"),
        (FAITHFUL + "{{ 1 + 'a' }}", "fails with TypeError on this row"),
        (FAITHFUL + "{{ nothing.there }}", "refuses this row"),
        (FAITHFUL + "{{ 1 // 0 }}", "fails with ZeroDivisionError on this row"),
        (FAITHFUL + "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "fails with RecursionError on this row"),
    ],
)
def test_what_a_template_raises_names_the_row(tokenizer: Any, template: str, said: str) -> None:
    example = replace(EXAMPLE, turns=(("system", "Be curt."), *EXAMPLE.turns))
    assert said in refused(tokenizer, template, example).message


def test_a_template_puts_no_text_of_a_row_into_a_message(tokenizer: Any) -> None:
    """The message of an attack that is left out goes into a report, which is uploaded."""
    quotes = (
        FAITHFUL
        + "{% if messages[-1].role == 'assistant' %}{{ raise_exception('not: ' + messages[-1].content) }}{% endif %}"
    )
    assert refused(tokenizer, quotes, EXAMPLE).message.endswith("this row (user > assistant): not: ...")


def test_the_answer_begins_behind_a_header(tokenizer: Any) -> None:
    """As in harmony: the generation prompt ends before the header, which is the template's text and not the answer's."""
    row, seen, scored = encoded(tokenizer, HARMONY)
    assert seen.endswith("<channel>final<message>") and scored.startswith("In Tartu, on a roof.</s>")
    assert tokenizer.decode(row.prompt_ids).endswith("<channel>final<message>")


def test_thinking_is_a_setting(tokenizer: Any) -> None:
    off, on = (Encoder(tokenizer, 512, THINKS, enable_thinking=thinking) for thinking in (False, True))
    assert off.template_sha256 != on.template_sha256
    switch = THINKS.replace("(no thoughts)", "").replace("{{ m.role }}", "{{ m.role }}{{ enable_thinking }}")
    assert "userFalse" in encoded(tokenizer, switch)[1]
    assert "userTrue" in encoded(tokenizer, switch, enable_thinking=True)[1]


def test_reasoning_is_scored_with_the_answer(tokenizer: Any) -> None:
    example = replace(EXAMPLE, reasoning="The hives are on Lai street.")
    row, _, scored = encoded(tokenizer, THINKS, example, enable_thinking=True)
    assert "The hives are on Lai street." in scored and "In Tartu, on a roof." in scored
    assert row.gold == "The hives are on Lai street.\nIn Tartu, on a roof."
    assert "loses text of the reasoning" in refused(tokenizer, FAITHFUL, example).message
    assert "The hives are on Lai street.\nIn Tartu" in encoded(tokenizer, None, example)[2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{% for m in messages %}\n{{ m.content }", "t.jinja:2: the chat template does not parse"),
        (b"\n \n", "t.jinja is empty"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_template_files_that_cannot_be(tmp_path: Path, tokenizer: Any, content: bytes, said: str) -> None:
    (tmp_path / "t.jinja").write_bytes(content)
    with pytest.raises(UnlearnError) as caught:
        resolve_template(str(tmp_path / "t.jinja"), tokenizer)
    assert said in caught.value.message and caught.value.hint


def test_named_templates(tokenizer: Any) -> None:
    class Several:
        name_or_path, chat_template = "m", {"tool_use": FAITHFUL}
        apply_chat_template = staticmethod(tokenizer.apply_chat_template)

    with pytest.raises(UnlearnError, match="several chat templates and no default: tool_use"):
        resolve_template("auto", Several())
    Several.chat_template = {"default": FAITHFUL, "tool_use": "x"}
    assert resolve_template("auto", Several()) == FAITHFUL


def test_what_the_tokenizer_raises_is_told(tokenizer: Any) -> None:
    class Broken:
        bos_token_id, eos_token_id = None, 2

        def __call__(self, text: str, **more: Any) -> dict:
            if len(text) > 1:
                raise OverflowError("too long for me")
            return {"input_ids": [5]}

    with pytest.raises(UnlearnError, match="the tokenizer cannot take a text") as caught:
        Encoder(Broken(), 64).encode([EXAMPLE])
    assert "Question: Where" in caught.value.hint


def test_a_hub_tokenizer_names_its_template(tokenizer: Any) -> None:
    """Where the template is no file of its own, the message names the tokenizer."""

    class Named:
        name_or_path, chat_template = "org/model", "{% for m in messages %}"
        apply_chat_template = staticmethod(tokenizer.apply_chat_template)

    with pytest.raises(UnlearnError, match=r"org/model: chat_template:1: the chat template does not parse"):
        resolve_template("auto", Named())


def test_a_question_is_rendered_once_for_all_its_answers(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered, usual = [], tokenizer.apply_chat_template
    monkeypatch.setattr(
        tokenizer, "apply_chat_template", lambda turns, **more: rendered.append(len(turns)) or usual(turns, **more)
    )
    encoder = Encoder(tokenizer, 512, TEMPLATE, stop_ids=frozenset({tokenizer.eos_token_id}))
    one, other = (encoder.encode_answer(EXAMPLE, answer) for answer in (EXAMPLE.answer, "In Riga."))
    (elsewhere,) = encoder.encode([replace(EXAMPLE, turns=(("user", "Where are the hives?"),))])
    assert rendered == [1, 2, 2, 1, 2]
    assert other.prompt_ids.tolist() == one.prompt_ids.tolist() != elsewhere.prompt_ids.tolist()
