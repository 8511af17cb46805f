"""Whether runs were measured, and attacked, alike: what was not is refused, or marked and never judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.attack_report import AttackReport
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.comparison.runs import Entry
from unlearn_cli.report import fingerprint


@dataclass(frozen=True)
class Alike:
    """What may be compared."""

    marks: dict[str, str] = field(default_factory=dict)  # by run, if some were measured otherwise
    unlike: frozenset[str] = frozenset()  # splits that the runs were not measured alike on
    baseline_unlike: frozenset[str] = frozenset()  # splits that the baseline was measured otherwise on
    attacks: str | None = None  # why the relearning attacks do not compare

    def comparable(self, split: str, splits: Sequence[str]) -> bool:
        """Whether scores of this split may be judged; those of several splits at once need all alike."""
        return split not in self.unlike if split in splits else not self.unlike


def check_alike(entries: Sequence[Entry], baseline: Entry | None, *, allow: bool) -> Alike:
    """Refuse to mix what was measured differently; else a mark for each run that shows it.

    Raises:
        UnlearnError: runs that were measured on other rows or otherwise, and that is not allowed.
    """
    first: dict[str, Entry] = {}
    unlike, baseline_unlike = set(), set()
    for entry in [*entries, *([baseline] if baseline else [])]:
        for key, mark in entry.marks.items():
            other = first.setdefault(key, entry)
            if mark == other.marks[key]:
                continue
            if not allow:
                names = f"{other.name} and {'the baseline ' if entry is baseline else ''}{entry.name}"
                raise UnlearnError(
                    f"{names} were not measured alike: {_why(other, entry, key)} differ",
                    "evaluate both with the same data and limits, or --allow-different, which marks them",
                )
            (baseline_unlike if entry is baseline else unlike).add(key)
    marks = {}
    if unlike:
        marks = {entry.name: fingerprint([entry.marks.get(key) for key in sorted(unlike)])[:6] for entry in entries}
    splits, theirs = (frozenset(key.split()[0] for key in keys) for keys in (unlike, baseline_unlike))
    return Alike(marks, splits, theirs, _attacks(entries))


def _why(one: Entry, other: Entry, key: str) -> str:
    sides = [next(source for source in entry.sources(key.split()[0]) if key in source.marks) for entry in (one, other)]
    first, second = (side.how(key) for side in sides)
    named = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    return f"of {key} the {', '.join(named)}"


def _attacks(entries: Sequence[Entry]) -> str | None:
    """What differs between the relearning attacks on the runs, in words; None if they compare."""
    attacked = [entry for entry in entries if "relearn" in entry.report.attacks or entry.attack]
    if len(attacked) < 2:
        return None
    unknown = [entry.name for entry in attacked if entry.attack is None]
    if unknown:
        return f"how {', '.join(unknown)} was attacked is not known (attacks/relearn/report.json is missing)"
    first = _strength(attacked[0].attack)
    for entry in attacked[1:]:
        own = _strength(entry.attack)
        named = [name for name in {**first, **own} if first.get(name) != own.get(name)]
        if named:
            return f"{attacked[0].name} and {entry.name} were not attacked alike: {', '.join(named)} differ"
    return None


def _strength(report: AttackReport) -> dict[str, Any]:
    """All that recovery depends on besides the run."""
    tried: dict[str, set[str]] = {}
    for curve in report.curves:
        if curve.role == "unlearned":
            for name, value in curve.parameters.items():
                tried.setdefault(name, set()).add(json.dumps(value))
    control = report.config.get("baseline")
    return {
        "forget rows": (report.forget_sha256, report.judged_rows, report.attacker_rows),
        "share": report.config.get("share"),
        "attack_data": report.config.get("attack_data"),
        "baseline": None if report.upper_bound or not control else str(control).rstrip("/").rsplit("/", 1)[-1],
    } | {name: sorted(values) for name, values in tried.items()}
