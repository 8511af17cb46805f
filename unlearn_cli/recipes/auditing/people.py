"""Which row is about which person, and a verdict for each of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlearn_cli.data.load import read_column
from unlearn_cli.data.readers import READERS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.extraction import in_any_of, leaks_of, limits
from unlearn_cli.jsonfile import read_json
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._bounds import word_for_word
from unlearn_cli.recipes.auditing.claim import LEVELS, Claim, row_level
from unlearn_cli.recipes.auditing.evidence import Evidence
from unlearn_cli.report_parts import DataReport

EVERYBODY = "all rows"
FILE_FORM = 'a JSON object {"ROW_ID": "PERSON"}, or a table with the columns id and subject'


@dataclass(frozen=True)
class Queries:
    """How often an adversary asks each question, and how sure a bound has to be."""

    count: int
    confidence: float


@dataclass(frozen=True)
class Person:
    """The verdict on the rows of one person."""

    name: str
    rows: int
    verdict: str
    before: float | None  # mean probability of the answers
    after: float
    worst_row: str
    worst: float
    exact: float  # chance that any of the queries gives an answer of theirs word for word
    sampled: float | None  # upper limit of the chance that one answer reveals a row; None: nothing was sampled
    sampled_any: float | None  # of any of the queries
    draws: int  # sampled answers for each row


def subjects(spec: str | None, data: DataReport, limit: int | None) -> dict[str, str]:
    """Row id -> person: from a column of the forget rows, or from a file. Without a spec all rows are of one.

    Raises:
        UnlearnError: the file or the rows cannot be read, or have no such column.
    """
    if spec is None:
        return {}
    path = Path(spec)
    if not path.is_file():
        moved = not Path(data.spec).exists() and len(data.files) == 1  # a relative path, from another folder
        return read_column(data.files[0] if moved else data.spec, spec, limit=limit)
    if path.suffix == ".json" and isinstance(content := read_json(path, FILE_FORM), dict):
        return {str(row): str(person) for row, person in content.items()}
    if path.suffix not in READERS:
        raise UnlearnError(f"--subject-id {path}: {path.suffix or 'no'} files are not read", FILE_FORM)
    rows = READERS[path.suffix](path)
    if not rows or not {"id", "subject"} <= set(rows[0]):
        raise UnlearnError(f"--subject-id {path} has no columns id and subject", FILE_FORM)
    return {str(row["id"]): str(row["subject"]) for row in rows}


def verdicts(evidence: Evidence, claim: Claim, who: Mapping[str, str], queries: Queries) -> list[Person]:
    """A verdict for each person, those with the likeliest row first.

    Raises:
        UnlearnError: the measurements of rows are gone, or rows have no person.
    """
    after = evidence.measured.get("after")
    if after is None:
        raise UnlearnError(
            f"{evidence.folder} holds no measurements of the forget rows",
            f"unlearn evaluate {shlex.quote(str(evidence.folder))}",
        )
    if who and (lost := [row for row in after.ids if row not in who]):
        raise UnlearnError(
            f"{len(lost)} rows have no person, such as row {lost[0]}", "--subject-id has to name one for every row"
        )
    rows: dict[str, list[int]] = {}
    for number, row in enumerate(after.ids):
        rows.setdefault(who.get(row, EVERYBODY), []).append(number)
    people = [_person(name, own, after, evidence, claim, queries) for name, own in rows.items()]
    return sorted(people, key=lambda person: -person.worst)


def _person(name: str, rows: list[int], after: Measured, evidence: Evidence, claim: Claim, queries: Queries) -> Person:
    likely = after.probabilities[rows]
    worst = int(np.argmax(likely))
    drawn = leaks_of(after, evidence.leak_at)
    leaks = [drawn[row] for row in rows if row in drawn]
    known = len(leaks) == len(rows)  # a row without samples has no bound, and then the person has none
    upper = limits(leaks, queries.confidence) if known else []
    return Person(
        name=name,
        rows=len(rows),
        verdict=_verdict(likely, any(evidence.leaked(row, drawn[row][0]) for row in rows if row in drawn), evidence, claim),
        before=_mean_before(after, evidence.measured.get("before"), rows),
        after=float(likely.mean()),
        worst_row=after.ids[rows[worst]],
        worst=float(likely[worst]),
        exact=in_any_of(word_for_word(after)[rows], queries.count),
        sampled=max(upper) if known else None,
        sampled_any=in_any_of(upper, queries.count) if known else None,
        draws=min((count for _, count in leaks), default=0),
    )


def _verdict(likely: np.ndarray, leaked: bool, evidence: Evidence, claim: Claim) -> str:
    """The words for one person: never stronger than the claim, and weaker where a row of theirs is still there."""
    above = int((likely > row_level(evidence)).sum())
    if above:
        return f"not forgotten: {above} of {len(likely)} rows are still likely"
    if leaked:
        return "no claim: sampled answers overlap with the truth, more often than those of a model that never had the rows"
    return (
        LEVELS[claim.level] if claim.level else "no row is likely any more; no claim, for the reasons that the run has none"
    )


def _mean_before(after: Measured, before: Measured | None, rows: list[int]) -> float | None:
    if before is None:
        return None
    at = {name: number for number, name in enumerate(before.ids)}
    numbers = [at[after.ids[row]] for row in rows if after.ids[row] in at]
    return float(before.probabilities[numbers].mean()) if numbers else None
