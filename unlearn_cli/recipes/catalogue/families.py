"""`unlearn list methods`: where to start, the methods by family, and a mark for those that failed on one small model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from unlearn_cli import methods
from unlearn_cli.contract import FAMILIES, METHODS
from unlearn_cli.recipes.scoring.outcome import forget_outcome, retain_outcome
from unlearn_cli.report import Compared, Score

MEASURED = Path(methods.__file__).parent / "measured.json"  # by tests/benchmarks/method_table.py
START = {
    "npo": "the default; its loss is bounded and uses the model before as a reference",
    "simnpo": "bounded as well, and needs no reference",
    "rehearsal": "slower, for a small model; an attack brought back least after it here",
}
OTHERS = "others"  # methods of other packages
MARKS = {"not forgotten": "did little", "wrecked": "wrecked the model"}


def lines() -> Iterator[str]:
    """Lines for people: where to start, then each family with its methods."""
    names = METHODS.names()
    width = max(map(len, names))
    yield "start here"
    yield from (f"  {name:<{width}}  {why}" for name, why in START.items())
    for family, what in {**FAMILIES, OTHERS: "of other packages"}.items():
        if members := [name for name in names if family_of(name) == family]:
            yield f"\n{family}: {what}"
            for name in members:
                mark = f" [{marked}]" if (marked := mark_of(name)) else ""
                yield f"  {name:<{width}}  {METHODS.summary(name).rstrip('.')}{mark}"
    yield "\n[...]: result with its defaults on one small model (docs/reference/methods.md); details: `unlearn show npo`"


def dumps() -> str:
    """The methods as a JSON array, in alphabetical order."""
    entries = [
        {
            "name": name,
            "summary": METHODS.summary(name).rstrip("."),
            "family": family_of(name),
            "start_here": name in START,
            "mark": mark_of(name),
        }
        for name in METHODS.names()
    ]
    return json.dumps(entries, indent=2, ensure_ascii=False)


def family_of(name: str) -> str:
    """The family that a method declares; `OTHERS` where it declares none that is known."""
    family = METHODS.declared(name, "family")
    return family if family in FAMILIES else OTHERS


def mark_of(name: str) -> str | None:
    """The failure of a method in the table of all methods; None if it did not fail, or was not measured."""
    table = _measured()
    if name not in table["after"]:
        return None
    forget, retain = (
        Compared(before=Score(value=before, n=1), after=Score(value=after, n=1))
        for before, after in zip(table["before"], table["after"][name], strict=True)
    )
    return MARKS.get(retain_outcome(retain) or "") or MARKS.get(forget_outcome(forget) or "")


@cache
def _measured() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return table
