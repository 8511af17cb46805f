"""`unlearn data check`: what files of rows contain, before a run. Only --model loads a model and torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from statistics import median

from unlearn_cli.config import CheckConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data.columns import parse_columns
from unlearn_cli.data.example import Example, Split
from unlearn_cli.data.guess import columns_for
from unlearn_cli.data.load import load_split
from unlearn_cli.data.overlap import overlapping
from unlearn_cli.data.row_notes import contradicting, opposed_in_words, opposing, places, repeated
from unlearn_cli.errors import UnlearnError

FEW_ROWS = 8  # of fewer retain rows none can be held out
LISTED = 5  # rows that one line names
ROLES = ("forget", "retain")  # of the first two files on the command line; further files have no role


@dataclass(frozen=True)
class FileFacts:
    """The contents of one file. If the file cannot be used, only `error` and `hint` are set."""

    file: str
    role: str
    format: str = ""
    rows: int = 0
    columns: dict[str, str] = field(default_factory=dict)  # our key -> the column that was guessed for it
    words: dict[str, tuple[int, float, int]] = field(default_factory=dict)  # part -> smallest, median and largest number
    repeated: list[str] = field(default_factory=list)  # places of equal rows
    contradicting: list[str] = field(default_factory=list)  # places of questions with several answers
    unread: dict[str, int] = field(default_factory=dict)  # column that no format reads -> number of rows that have it
    not_known: dict[str, float] | None = None  # place of a row whose answer the model does not know -> its probability
    error: str = ""
    hint: str = ""


@dataclass(frozen=True)
class DataFacts:
    """The contents of all files."""

    files: list[FileFacts]
    in_both: dict[str, list[str]]  # two files -> places of the rows that are in both
    opposed: list[str]  # places of questions that are in the forget and in the retain rows, with different answers

    @property
    def usable(self) -> bool:
        """Whether every file can be used."""
        return not any(facts.error for facts in self.files)

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)


def run(config: CheckConfig, reporter: Reporter) -> DataFacts:
    """Read each file, and compare every two of them.

    Raises:
        UnlearnError: no file is given, or the model cannot be loaded.
    """
    if not config.files:
        raise UnlearnError("no files are given", "unlearn data check forget.jsonl retain.jsonl")
    splits: list[Split | None] = []
    facts = []
    for number, spec in enumerate(config.files):
        role = ROLES[number] if number < len(ROLES) else ""
        try:
            file_facts, split = _read(spec, role, config)
        except UnlearnError as error:
            file_facts, split = FileFacts(spec, role, error=error.message, hint=error.hint or ""), None
        facts.append(file_facts)
        splits.append(split)
    if config.model and any(splits):
        from unlearn_cli.recipes.scoring.known_rows import not_known  # noqa: PLC0415 - torch, for --model alone

        unknown = not_known(config, splits, reporter)
        facts = [replace(file, not_known=rows) for file, rows in zip(facts, unknown, strict=True)]
    forget, retain = (split.examples if split else () for split in (*splits, None)[:2])
    return DataFacts(
        facts,
        _in_both([(file.file, split) for file, split in zip(facts, splits, strict=True) if split]),
        _listed(opposing(forget, retain)),
    )


def _read(spec: str, role: str, config: CheckConfig) -> tuple[FileFacts, Split]:
    given_columns = parse_columns(config.columns)
    columns = columns_for(role or spec, spec, given_columns)
    split = load_split(role or spec, spec, columns=columns)
    questions = [" ".join(text for _, text in example.turns) for example in split.examples if example.turns]
    parts = {"questions": questions, "answers": [example.answer for example in split.examples]}
    file_facts = FileFacts(
        file=spec,
        role=role,
        format=split.origin.format,
        rows=len(split.examples),
        columns={} if given_columns else columns,
        words={part: _words(texts) for part, texts in parts.items() if texts},
        repeated=_listed(repeated(split.examples)),
        contradicting=_listed(contradicting(split.examples)),
        unread=dict(split.origin.unread),
    )
    return file_facts, split


def _words(texts: Sequence[str]) -> tuple[int, float, int]:
    counts = [len(text.split()) for text in texts]
    return min(counts), median(counts), max(counts)


def _listed(groups: Sequence[Sequence[Example]]) -> list[str]:
    return [places([group]) for group in groups]


def _in_both(splits: Sequence[tuple[str, Split]]) -> dict[str, list[str]]:
    shared = {}
    for (first, ours), (second, theirs) in combinations(splits, 2):
        if both := overlapping(ours.examples, theirs.examples):
            shared[f"{first} and {second}"] = [f"{ours.examples[a].where} = {theirs.examples[b].where}" for a, b in both]
    return shared


def lines(facts: DataFacts, model: str, columns: Sequence[str] = ()) -> Iterator[str]:
    """The facts in words, and the next command.

    Args:
        facts: of all files.
        model: the model that was asked, or nothing.
        columns: `--columns` of the check, which the next command needs too.
    """
    for file in facts.files:
        yield from _file_lines(file, model)
    for pair, rows in facts.in_both.items():
        rows_are = "1 row is" if len(rows) == 1 else f"{len(rows)} rows are"
        yield f"{rows_are} in both {pair}: {_some(rows)}; a run refuses them unless --allow-overlap is given"
    if facts.opposed:
        yield f"{opposed_in_words(len(facts.opposed))}: {_some(facts.opposed)}"
    if len({file.file for file in facts.files}) < len(facts.files):
        yield "next: give each file once: first the rows to forget, then the rows to keep"
    elif facts.in_both:
        yield "next: remove these rows from one of the two files, then check again"
    elif facts.usable and facts.files[0].not_known:  # what the model says instead
        words = ["unlearn", "evaluate", "--model", model, "--forget", facts.files[0].file, "--show", "5", "-o", "before"]
        yield f"next: {shlex.join(words)}"
    elif facts.usable:
        retain = facts.files[1].file if len(facts.files) > 1 else ""
        named = {"-m": model or "MODEL", "-f": facts.files[0].file, "-r": retain}
        # With a model all is known that a run needs, but for names of columns, which `init` writes down.
        command = ["forget", "--dry-run"] if model and not any(file.columns for file in facts.files) else ["init"]
        words = ["unlearn", *command, *(word for flag, value in named.items() if value for word in (flag, value))]
        yield f"next: {shlex.join([*words, *(word for pair in columns for word in ('--columns', pair))])}"


def _file_lines(facts: FileFacts, model: str) -> Iterator[str]:
    role = f" ({facts.role})" if facts.role else ""
    if facts.error:
        yield f"{facts.file}{role}: cannot be used: {facts.error}"
        if facts.hint:
            yield f"  {facts.hint}"
        return
    yield f"{facts.file}{role}: {facts.rows} {'row' if facts.rows == 1 else 'rows'}, format {facts.format}"
    if facts.columns:
        named = ",".join(f"{key}={column}" for key, column in facts.columns.items())
        yield f"  columns guessed: --columns {shlex.quote(named)}"
    for part, (least, middle, most) in facts.words.items():
        yield (
            f"  {part}: {least} to {most} words, {middle:g} in the median"
            if least < most
            else f"  {part}: {most} {'word' if most == 1 else 'words'}"
        )
    if facts.role == "retain" and facts.rows < FEW_ROWS:
        yield f"  few rows to keep: with {FEW_ROWS} and more, some can be held out to judge what is kept"
    if facts.repeated:
        yield f"  same as another row: {_some(facts.repeated)}"
    if facts.contradicting:
        yield f"  one question, several answers: {_some(facts.contradicting)}"
    if facts.unread:
        yield f"  not read: {', '.join(f'{column} ({rows} rows)' for column, rows in facts.unread.items())}"
    if facts.not_known is not None:
        known_rows = facts.rows - len(facts.not_known)
        unknown_rows = [f"{place} ({value:.2g})" for place, value in facts.not_known.items()]
        yield f"  known to {model}: {known_rows} of {facts.rows} rows" + (
            f"; not: {_some(unknown_rows)}" if unknown_rows else ""
        )
        if unknown_rows:
            yield "  in a row that is not known there is nothing to forget, or the model words its answer otherwise"


def _some(texts: Sequence[str]) -> str:
    return "; ".join(texts[:LISTED]) + (f"; and {len(texts) - LISTED} more" if len(texts) > LISTED else "")
