"""`unlearn init`: read the rows, write a config file with comments, and name the next commands. Loads no torch."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlearn_cli.atomic import write_atomically
from unlearn_cli.config import CheckConfig, InitConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data.columns import columns_of
from unlearn_cli.data.guess import raw_rows
from unlearn_cli.errors import UnlearnError, not_written
from unlearn_cli.recipes import data_check
from unlearn_cli.recipes.storage.output_files import check_file, why_not_writable
from unlearn_cli.rendering.documents import config_file

ARROW = "=>"
AUTO = "auto"  # --retain auto: the model writes the rows, as without --retain
BRACES = re.compile(r"\{([^{}]+)\}")
QUESTIONS = {  # setting -> the question for it
    "model": "Which model? A folder or a Hub id:",
    "forget": "Which rows should it forget? A file, a folder or hf:org/name:split:",
    "retain": "Which rows like them should it still know? Enter: the model writes some itself:",
}
GATES = ("forget.probability > 0.2*before", "retain.probability < 0.9*before")


def run(config: InitConfig, reporter: Reporter) -> tuple[Path, list[str]]:
    """Write the config file. Returns its path and the next commands.

    Raises:
        UnlearnError: the model or the rows are not named, the rows cannot be used, or the file exists.
    """
    check_file("--write", config.write)
    if config.write.exists() and not config.overwrite:
        raise UnlearnError(f"{config.write} exists already", "--overwrite replaces it, --write FILE names another")
    config = _completed(config, reporter)
    assert config.forget is not None
    forget, retain = config.forget, config.retain
    if config.ask:
        forget = _write_rows("forget", forget, config, reporter)
        retain = _write_rows("retain", retain, config, reporter) if retain and _has_columns(retain, config.ask) else retain
    files = [forget, *([retain] if retain else [])]
    facts = data_check.run(CheckConfig(files=tuple(files), columns=config.columns), reporter)
    for one in facts.files:
        if one.error:
            raise UnlearnError(one.error, one.hint or f"unlearn data check {shlex.join(files)}")
    for line in list(data_check.lines(facts, config.model))[:-1]:
        reporter.say(line)
    if not config.retain:
        reporter.note("no retain rows: the model will write some itself; rows of your own protect more (--retain FILE)")
    if config.output_dir and (why := why_not_writable(config.output_dir)):
        raise not_written(f"--output-dir {config.output_dir}", why, "-o DIR names another folder for the run")
    folder = config.output_dir or Path("runs") / Path(forget.rpartition(":")[2] or forget).stem
    text = config_file(
        file=shlex.quote(str(config.write)),
        load_in_4bit=config.load_in_4bit,
        recipe=config.recipe,
        forget_facts=_described(facts.files[0]),
        retain_facts=_described(facts.files[-1]),
        **{name: _scalar(value) for name, value in _values(config, files, folder, facts).items()},
    )
    write_atomically(config.write, text)
    file, run_folder = shlex.quote(str(config.write)), shlex.quote(str(folder))
    forgotten, kept = map(shlex.quote, GATES)
    check = [f"unlearn data check {shlex.join(files)} -m {shlex.quote(str(config.model))}"] if config.ask else []
    commands = [
        *check,
        f"unlearn forget -c {file} --dry-run",
        f"unlearn forget -c {file}",
        f"unlearn evaluate {run_folder} --fail-if {forgotten} --fail-if {kept}",
    ]
    known = "see which rows the model knows in these words, " if check else ""
    reporter.say(f"\nnext: {known}see the plan, run it, and judge the run (exit code 3 if a gate holds)")
    for command in commands:
        reporter.say(f"  {command}")
    return config.write, commands


def _completed(config: InitConfig, reporter: Reporter) -> InitConfig:
    """The settings; in a terminal the user is asked for those that are missing."""
    missing = [name for name in QUESTIONS if not getattr(config, name)]
    needed = [name for name in missing if name != "retain"]
    answers = {name: reporter.ask(QUESTIONS[name]) or None for name in missing} if needed else {}
    if unanswered := [name for name in needed if not answers[name]]:
        flags = {"model": "-m FOLDER_OR_HUB_ID", "forget": "-f FILE"}
        missing_flags = " and ".join(f"--{name}" for name in unanswered)
        raise UnlearnError(f"missing {missing_flags}", " ".join(flags[name] for name in unanswered))
    return config.model_copy(update={"retain": None if config.retain == AUTO else config.retain, **answers})


def _values(config: InitConfig, files: Sequence[str], folder: Path, facts: data_check.DataFacts) -> dict[str, Any]:
    guessed = [one.columns for one in facts.files]
    columns: dict[str, str] | list[str] = list(config.columns)
    if not columns and any(guessed):
        same = all(one == guessed[0] for one in guessed)
        columns = guessed[0] if same else {f"{f.role}.{key}": name for f in facts.files for key, name in f.columns.items()}
    forget, retain = [*files, None][:2]
    return {"model": config.model, "forget": forget, "retain": retain, "columns": columns, "output_dir": str(folder)}


def _described(one: data_check.FileFacts) -> str:
    shortest, _, most = one.words["answers"]
    words = f"{shortest} to {most}" if shortest < most else f"{most}"
    return f"{one.rows} rows, format {one.format}, answers of {words} words"


def _scalar(value: Any) -> str:
    """A value as YAML on one line. JSON is valid YAML; plain words need no quotes."""
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z./~][\w./~-]*", value) and value.lower() not in WORDS
    return value if plain else json.dumps(value, ensure_ascii=False) if value else ""


WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n", "~", ".", "..")


def _has_columns(spec: str, ask: Sequence[str]) -> bool:
    """Whether rows are a table with all columns that --ask names, and not questions already."""
    named = {name for text in ask for name in BRACES.findall(text)}
    return named <= set(columns_of(raw_rows("retain", spec)))


def _write_rows(split: str, spec: str, config: InitConfig, reporter: Reporter) -> str:
    """Fill the texts of --ask with the facts of a table; write the rows beside the config file. Returns their path.

    Raises:
        UnlearnError: a text is not a question with its answer, it names an unknown column, or the file exists.
    """
    facts = raw_rows(split, spec)
    stem, columns = Path(spec).stem, columns_of(facts)
    all_rows = [
        # The id and the person name a line of the table. So a record has a verdict for each of them, and no name.
        row and {"id": f"{stem}-{line}-{number}", "person": f"{stem}-{line}", **row}
        for line, fact in enumerate(facts, 1)
        for number, row in enumerate((_row_of_fact(text, fact, columns) for text in config.ask), 1)
    ]
    rows = [row for row in all_rows if row is not None]
    if len(rows) < len(all_rows):
        reporter.note(f"{len(all_rows) - len(rows)} of {len(all_rows)} rows are left out: a column is empty there")
    path = config.write.parent / f"{stem}-rows.jsonl"
    if path.exists() and not config.overwrite:
        raise UnlearnError(f"{path} exists already", "--overwrite replaces it")
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    reporter.say(f"{len(rows)} rows written from {len(facts)} {'line' if len(facts) == 1 else 'lines'} of the table: {path}")
    return str(path)


def _row_of_fact(text: str, fact: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str] | None:
    """The row of one fact; None if a column that the text needs is empty."""
    question, arrow, answer = text.partition(ARROW)
    if not arrow or not question.strip() or not answer.strip():
        raise UnlearnError(f"--ask '{text}' is no question with its answer", "--ask 'Where does {name} live? => In {city}.'")
    values = {name: str(fact.get(name) or "").strip() for name in BRACES.findall(text)}
    if missing := next((name for name in values if name not in columns), None):
        raise UnlearnError(f"--ask: no column '{missing}'", f"have: {', '.join(columns)}")
    if not all(values.values()):
        return None
    parts = (BRACES.sub(lambda match: values[match[1]], part).strip() for part in (question, answer))
    return dict(zip(("question", "answer"), parts, strict=True))
