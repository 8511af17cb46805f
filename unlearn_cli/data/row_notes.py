"""Notes on the rows before any work: values that no format reads, and forget rows that repeat or contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from unlearn_cli.data.example import Example, Split
from unlearn_cli.data.formats._row import REASONING
from unlearn_cli.data.overlap import content, plain, shared_rows
from unlearn_cli.data.tokenize import Row

SHOWN = 3  # rows listed in a note


def notes(splits: Mapping[str, Split]) -> list[str]:
    """Notes on the rows, each a sentence."""
    lines = []
    for name, split in splits.items():
        if name == "retain_trained":  # its file is that of `retain`
            continue
        if unread := split.origin.unread:
            listed = ", ".join(f"{column} ({rows} of {split.origin.rows_in_source} rows)" for column, rows in unread)
            way = " (--reasoning score reads it)" if any(key.endswith(REASONING) and "." in key for key, _ in unread) else ""
            lines.append(f"{name} data: not read: {listed}{way}")
        if repeated_ids := split.origin.repeated_ids:
            shown = ", ".join(repeated_ids[:SHOWN]) + (", ..." if len(repeated_ids) > SHOWN else "")
            lines.append(f"{name} data: several rows have the same id (first: {shown}): all rows are named by their numbers")
    lines += _not_pinned(splits)
    forget = splits["forget"].examples if "forget" in splits else ()
    if same := repeated(forget):
        lines.append(f"{sum(map(len, same))} forget rows are the same as another one: {places(same)}")
    if different := contradicting(forget):
        questions = "question has" if len(different) == 1 else "questions have"
        lines.append(f"{len(different)} forget {questions} several answers: {places(different)}")
    lines += [f"{words}: {places(rows)}" for words, rows in shared_rows(splits)]
    retain = [example for name in ("retain_trained", "retain") if name in splits for example in splits[name].examples]
    if opposed := opposing(forget, retain):
        lines.append(f"{opposed_in_words(len(opposed))}: {places(opposed)}")
    return lines


def opposed_in_words(count: int) -> str:
    """What is wrong with this number of questions that are to be forgotten with one answer and kept with another."""
    questions = "1 question is" if count == 1 else f"{count} questions are"
    return (
        f"{questions} in the forget and in the retain rows, with different answers, so forgetting and retaining work "
        "against each other"
    )


def _not_pinned(splits: Mapping[str, Split]) -> list[str]:
    """A note for each data set of the Hub of which no commit was asked for: it may have other rows tomorrow."""
    origins = [split.origin for split in splits.values() if split.origin.pinned is False]
    read = {"/".join(origin.spec.removeprefix("hf:").split(":")[0].split("/")[:2]): origin.revision for origin in origins}
    return [
        f"{repository}: no commit is pinned, so the newest was read, {commit}; the same name with @{commit} reads it again"
        for repository, commit in read.items()
    ]


def cut_notes(rows: Mapping[str, Sequence[Row]], max_length: int) -> list[str]:
    """Notes on rows that are longer than `max_length` tokens: how many of each split, and how many tokens they lose."""
    cut = {name: [row.truncated for row in given if row.truncated > 0] for name, given in rows.items()}
    return [
        f"cut at --max-length {max_length}: {len(lost)} of {len(rows[name])} {name} rows ({sum(lost)} tokens lost)"
        for name, lost in cut.items()
        if lost
    ]


def repeated(examples: Sequence[Example]) -> list[list[Example]]:
    """Groups of rows that are the same."""
    return [rows for rows in _grouped(examples, content) if len(rows) > 1]


def contradicting(examples: Sequence[Example]) -> list[list[Example]]:
    """Rows with the same question and different answers; one row for each answer."""
    groups = _grouped([example for example in examples if example.turns], _question)
    different = [[rows[0] for rows in _grouped(group, content)] for group in groups]
    return [rows for rows in different if len(rows) > 1]


def opposing(forget: Sequence[Example], retain: Sequence[Example]) -> list[list[Example]]:
    """Pairs of a forget row and a retain row with the same question and different answers; one pair for each question."""
    kept: dict[str, list[Example]] = {}
    for row in retain:
        if row.turns:
            kept.setdefault(_question(row), []).append(row)
    pairs: dict[str, list[Example]] = {}
    for row in forget:
        question = _question(row) if row.turns else ""
        if other := next((one for one in kept.get(question, ()) if content(one) != content(row)), None):
            pairs.setdefault(question, [row, other])
    return list(pairs.values())


def _question(example: Example) -> str:
    return plain(*(text for _, text in example.turns))


def _grouped(examples: Sequence[Example], key: Callable[[Example], str]) -> list[list[Example]]:
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(key(example), []).append(example)
    return list(groups.values())


def places(groups: Sequence[Sequence[Example]]) -> str:
    """Where the rows of each group stand; of many the first."""
    listed = "; ".join(", ".join(row.where for row in rows[:SHOWN]) for rows in groups[:SHOWN])
    return listed + ("; ..." if len(groups) > SHOWN else "")
