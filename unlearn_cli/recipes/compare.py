"""`unlearn compare`: runs side by side, with what is noise and what is not. No model, no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unlearn_cli.config import CompareConfig, given, resolve
from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.gates import Missing, parse
from unlearn_cli.recipes.grouping import Row, grouped
from unlearn_cli.recipes.ranking import Column, columns, judged
from unlearn_cli.recipes.runs import RELEARNING, Entry, check_same, differing, read_entries
from unlearn_cli.registry import unknown
from unlearn_cli.rendering.compare import as_csv, as_markdown, compare_table
from unlearn_cli.report import GateReport, finite, write_text

USUAL = (
    "forget.probability", "forget.rouge_l", "forget.extraction_strength", "forget.forget_quality", "privacy.loss_auc",
    "retain.probability", "retain.rouge_l", "utility.model_utility", RELEARNING,
)  # fmt: skip


def run(config: CompareConfig, sources: dict[str, str], reporter: Reporter) -> tuple[dict[str, Any], bool]:
    """Compare. Returns everything that was found, as plain values, and whether a gate failed.

    Raises:
        UnlearnError: anything the user can mend.
    """
    entries = read_entries(config.runs)
    marks = check_same(entries, allow=config.allow_different)
    keys = differing(entries)
    rows = grouped(entries, config.group_by, keys)
    baseline = read_entries([config.baseline])[0] if config.baseline else None
    made = columns(rows, _wanted(config, entries), config, baseline)
    found = judged(rows, made, config)
    shown = [key for key in keys if key not in config.group_by]
    rows = _sorted(rows, made, config)
    for note in _notes(entries, marks):
        reporter.note(note)
    told = {
        "command": "compare",
        "runs": [_plain(row, made, found, shown, marks) for row in rows],
        "metrics": {column.name: column.described() for column in made},
        "front": {"x": config.front[0], "y": config.front[1], "runs": [r.name for r in rows if r.name in found.front]},
        "notes": reporter.notes,
    }
    gates = _gates(config, entries)
    told["gates"] = [gate.model_dump() for gate in gates]
    reporter.show(compare_table(rows, made, found, shown, marks, reporter.width))
    for gate in gates:
        reporter.say(
            f"gate {'FAILED' if gate.failed else 'passed'}: {gate.expression}" + (f" ({gate.reason})" if gate.reason else "")
        )
    _write(config, reporter, as_csv(rows, made, found, shown, marks), as_markdown(rows, made, found, shown, marks))
    if config.html:
        from unlearn_cli.recipes.page import compare_page  # noqa: PLC0415 - jinja2 is not needed for a table

        write_text(config.html, compare_page(entries, rows, made, found, shown, marks, baseline, config, told))
        reporter.say(f"page: {config.html}")
    if config.plot:
        from unlearn_cli.rendering.plots import plot_front  # noqa: PLC0415 - matplotlib is an extra

        plot_front([(r.name, *(r.value(m) for m in config.front)) for r in rows], found.front, config.front, config.plot)
        reporter.say(f"drawn: {config.plot}")
    return told, any(gate.failed for gate in gates)


def _wanted(config: CompareConfig, entries: list[Entry]) -> list[str]:
    known = {RELEARNING} | {
        f"{split}.{name}"
        for entry in entries
        for report in (entry.report, entry.evaluation)
        if report
        for split, metrics in report.scores.items()
        for name in metrics
    }
    for name in (*config.metrics, *config.front, *([config.sort] if config.sort else [])):
        if name not in known:
            raise unknown("metric", name, known)
    if len(config.front) != 2:
        raise UnlearnError("--front takes two metrics", "--front forget.probability,retain.probability")
    if config.metrics:
        return list(config.metrics)
    return [name for name in USUAL if any(entry.score(name) for entry in entries)]


def _sorted(rows: list[Row], made: list[Column], config: CompareConfig) -> list[Row]:
    if not config.sort:
        return rows
    way = next((entry.score(config.sort) for row in rows for entry in row.entries if entry.score(config.sort)), None)
    largest_first = way is not None and way.target == "max"
    known = [row for row in rows if row.value(config.sort) is not None]
    unknown_ = [row for row in rows if row.value(config.sort) is None]
    return sorted(known, key=lambda row: row.value(config.sort), reverse=largest_first) + unknown_


def _notes(entries: list[Entry], marks: dict[str, str]) -> list[str]:
    notes = []
    if marks:
        notes.append("these runs were not measured alike (column 'measured'): values across different marks do not compare")
    without = [entry.name for entry in entries if not entry.rows]
    if without:
        notes.append(f"no values of single rows, so no intervals of differences: {', '.join(without)} (evaluate them again)")
    failed = [f"{e.name}: {e.report.status}" for e in entries if e.report.status not in ("completed", "stopped")]
    return notes + ([f"not every run ended well: {', '.join(failed)}"] if failed else [])


def _plain(row: Row, made: list[Column], found: Any, shown: list[str], marks: dict[str, str]) -> dict[str, Any]:
    return finite(
        {
            "name": row.name,
            "members": [entry.name for entry in row.entries],
            "status": row.entries[0].report.status,
            "settings": {key: row.setting(key) for key in shown},
            "measured": marks.get(row.entries[0].name),
            "on_front": row.name in found.front,
            "values": {
                column.name: {
                    "value": row.value(column.name),
                    "spread": row.spread(column.name),
                    "best": row.name == column.best,
                    "difference": found.described(column.name, row.name),
                }
                for column in made
            },
            "trajectory": [
                t.model_dump() for t in (row.entries[0].report.training.trajectory if row.entries[0].report.training else [])
            ],
        }
    )


def _gates(config: CompareConfig, entries: list[Entry]) -> list[GateReport]:
    """A gate fails if it holds for any run, or cannot be told for one."""
    reports = [report for entry in entries for report in (entry.report, entry.evaluation) if report]
    known = {name for report in reports for metrics in report.scores.values() for name in metrics} | {"recovery"}
    gates = []
    for text in config.fail_if:
        expression = parse(text, metrics=sorted(known))
        failed, why = [], []
        for entry in entries:
            try:
                held = expression.holds(lambda split, metric, moment, e=entry: _value(e, split, metric, moment))
            except Missing as error:
                why.append(f"{entry.name}: {error}")
                held = True
            if held:
                failed.append(entry.name)
        reason = "; ".join(why) or (", ".join(failed) or None)
        gates.append(GateReport(expression=text, failed=bool(failed), reason=reason))
    return gates


def _value(entry: Entry, split: str, metric: str, moment: str) -> float | None:
    found = entry.score(f"{split}.{metric}", moment)
    return None if found is None else found.value


def _write(config: CompareConfig, reporter: Reporter, csv: str, markdown: str) -> None:
    for path, text in ((config.csv, csv), (config.markdown, markdown)):
        if path is not None and str(path) == "-":
            reporter.data(text.rstrip("\n"))
        elif path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_text(Path(path), text)


def from_python(
    runs: tuple[str | Path, ...], settings: CompareConfig | None, *, quiet: bool, **more: Any
) -> dict[str, Any]:
    """See `unlearn_cli.compare`."""
    named = {"runs": tuple(Path(path) for path in runs)} if runs else {}
    config, sources = resolve(CompareConfig, given(CompareConfig, settings, more | named), None)
    return run(config, sources, Reporter(quiet=quiet))[0]


def dumps(told: dict[str, Any]) -> str:
    """Everything as one JSON object."""
    return json.dumps(finite(told), indent=2, ensure_ascii=False, allow_nan=False)
