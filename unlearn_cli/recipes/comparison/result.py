"""The result of a comparison, also as plain values for `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unlearn_cli.display import Displayed, TableRow
from unlearn_cli.jsonfile import finite
from unlearn_cli.recipes.comparison.comparability import Comparability
from unlearn_cli.recipes.comparison.grouping import Row
from unlearn_cli.recipes.comparison.ranking import Column
from unlearn_cli.recipes.comparison.runs import Entry
from unlearn_cli.recipes.comparison.verdicts import Verdicts
from unlearn_cli.report_parts import GateReport


@dataclass(frozen=True)
class Comparison:
    """Everything that was compared, and the result."""

    entries: list[Entry]  # in the order of the command line
    rows: list[Row]  # in the order of the table
    columns: list[Column]
    verdicts: Verdicts
    front_metrics: tuple[str, ...]  # two; none if there is no front
    front: set[str]  # names of the rows on it
    setting_keys: list[str]  # settings that differ
    comparability: Comparability
    baseline: Entry | None


def as_dict(
    comparison: Comparison, front: Sequence[str], notes: list[str], gates: list[GateReport], over_forgotten: list[str] | None
) -> dict[str, Any]:
    """The result as plain values.

    Args:
        comparison: the result.
        front: the two metrics of the front, even if no run has both.
        notes: notes that a reader needs before the numbers.
        gates: verdicts on `--fail-if`.
        over_forgotten: names of the rows below the baseline; None if this is not known.
    """
    return {
        "command": "compare",
        "runs": [_row_as_dict(row, comparison) for row in comparison.rows],
        "metrics": {column.name: column.as_dict() for column in comparison.columns},
        "front": {
            "x": front[0],
            "y": front[1],
            "runs": [row.name for row in comparison.rows if row.name in comparison.front],
        },
        "notes": notes,
        "gates": [gate.model_dump() for gate in gates],
        "over_forgotten": over_forgotten,
    }


def _row_as_dict(row: Row, comparison: Comparison) -> dict[str, Any]:
    report = row.entries[0].report
    plain = {
        "name": row.name,
        "members": [entry.name for entry in row.entries],
        "status": report.status,
        "verdicts": [entry.verdict.model_dump() if entry.verdict else None for entry in row.entries],
        "settings": {key: row.setting(key) for key in comparison.setting_keys},
        "measured": comparison.comparability.run_hashes.get(row.entries[0].name),
        "on_front": row.name in comparison.front,
        "values": {column.name: _value_as_dict(row, column, comparison) for column in comparison.columns},
        "trajectory": [point.model_dump() for point in report.training.trajectory] if report.training else [],
    }
    return finite(plain)


def _value_as_dict(row: Row, column: Column, comparison: Comparison) -> dict[str, Any]:
    verdict = comparison.verdicts.get((column.name, row.name))
    return {
        "value": row.value(column.name),
        "spread": row.spread(column.name),
        "runs": len(row.values(column.name)),
        "best": row.name in column.best,
        "difference": None if verdict is None else verdict.as_dict(),
    }


class ComparisonResult(Displayed, dict[str, Any]):
    """The result as plain values, which prints as a line and shows itself as a table."""

    def headline(self) -> str:
        """The names of the compared runs, and of those on the front."""
        front = self["front"]
        named = f"; best trade-offs: {', '.join(front['runs'])}" if front["runs"] else ""
        return f"{', '.join(run['name'] for run in self['runs'])}{named}"

    def table(self) -> list[TableRow]:
        """A row for each run: its status and the value of each metric."""
        return [
            {"run": run["name"], "status": run["status"], **{name: one["value"] for name, one in run["values"].items()}}
            for run in self["runs"]
        ]
