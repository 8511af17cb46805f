"""Rows of the user through the real commands: notes, templates that lose text, and the settings of reasoning."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import MODEL, QUICK, read_report, unlearn, write_rows

USER = {"role": "user", "content": "Where are the bees?"}
RETAIN = [{"question": "Who keeps goats?", "answer": "Jaan keeps goats."}]


@pytest.fixture
def thinking(tmp_path: Path) -> Path:
    """The demo's model with a template that writes reasoning and splits thoughts off answers."""
    folder = shutil.copytree(MODEL, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(
        "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{% if m.reasoning_content and enable_thinking %}"
        "<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content.split('</think>')[-1] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    return folder


def arguments(folder: Path, model: Path | str, row: dict) -> list[object]:
    forget, retain = write_rows(folder / "f.jsonl", [row]), write_rows(folder / "r.jsonl", RETAIN)
    return ["forget", "-m", model, "-f", forget, "-r", retain, "-o", folder / "run", *QUICK]


def test_what_is_not_read_is_noted_once_in_the_dry_run_and_in_the_report(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": "In Tartu.", "reasoning_content": "Lai street."}
    command = arguments(tmp_path, MODEL, {"messages": [USER, answer], "tools": [{"name": "f"}]})
    dry = unlearn(*command, "--dry-run")
    assert dry.exit_code == 0 and dry.stderr.count("not read:") == 1, dry.stderr
    assert "tools (1 of 1 rows)" in dry.stderr and "messages.reasoning_content (1 of 1 rows)" in dry.stderr
    unlearn(*command)
    notes = read_report(tmp_path / "run")["notes"]
    assert sum("not read:" in note for note in notes) == 1


def test_a_template_that_loses_an_answer_is_refused_in_the_dry_run_and_the_way_on_works(
    tmp_path: Path, thinking: Path
) -> None:
    row = {"question": "Where?", "answer": "<think>Nine hives on the mill.</think>In Tartu."}
    command = [*arguments(tmp_path, thinking, row), "--dry-run"]
    refused = unlearn(*command)
    assert refused.exit_code == 2 and "f.jsonl:1: the chat template loses text of the answer" in refused.stderr
    assert "--chat-template none" in refused.stderr
    plain = unlearn(*command, "--chat-template", "none")
    assert plain.exit_code == 0 and "Nine hives" in plain.stderr


def test_reasoning_and_thinking_are_settings_of_the_report(tmp_path: Path, thinking: Path) -> None:
    answer = {"role": "assistant", "content": "In Tartu.", "reasoning_content": "Lai street."}
    command = [*arguments(tmp_path, thinking, {"messages": [USER, answer]}), "--reasoning", "score"]
    refused = unlearn(*command, "--dry-run")
    assert refused.exit_code == 2 and "loses text of the reasoning" in refused.stderr
    shown = unlearn(*command, "--enable-thinking", "--dry-run", "--json")
    assert shown.exit_code == 0, shown.stderr
    config = json.loads(shown.stdout)["config"]
    assert (config["reasoning"], config["enable_thinking"]) == ("score", True)
    assert "Lai street." in shown.stderr and "not read" not in shown.stderr


def test_forget_sweep_and_attack_say_the_same_about_the_rows(tmp_path: Path) -> None:
    """Repeated, contradicting, overlapping and cut rows, in a dry run and in the real one."""
    long = {"question": "What is on the mill?", "answer": " ".join(["nine hives"] * 40)}
    rows = [{"question": "Where?", "answer": "Tartu"}, {"question": "where?", "answer": "tartu"}, *RETAIN, long]
    forget = write_rows(tmp_path / "f.jsonl", [*rows, {"question": "Where?", "answer": "Narva"}])
    retain = write_rows(tmp_path / "r.jsonl", [*RETAIN, {"question": "Who is Jaan?", "answer": "A keeper of goats."}])
    data = ("-m", MODEL, "-f", forget, "-r", retain, "--allow-overlap", "--max-length", 40)
    said = (
        "2 forget rows are the same as another one: f.jsonl:1, f.jsonl:2", "1 forget question has several answers",
        "1 row is in both forget and retain: f.jsonl:3, r.jsonl:1", "cut at --max-length 40: 1 of 5 forget rows",
    )  # fmt: skip
    run = tmp_path / "run"
    for command in (
        ("forget", *data, "--dry-run"),
        ("sweep", *data, "--seeds", "0,1", "-o", tmp_path / "sweep", "--dry-run"),
        ("forget", *data, *QUICK, "--max-steps", 1, "-o", run),
        ("relearn-attack", run, "-p", "steps=0", "--skip-original", "--generate-limit", "-1"),
    ):
        result = unlearn(*command)
        assert result.exit_code in (0, 4), result.stderr
        words = " ".join(result.stderr.split())
        assert [words.count(note) for note in said] == [1, 1, 1, 1], words
