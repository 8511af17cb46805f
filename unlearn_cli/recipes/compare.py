"""`unlearn compare`: runs side by side, with what is noise and what is not. No model, no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlearn_cli.config import CompareConfig, given, resolve
from unlearn_cli.console import Reporter
from unlearn_cli.contract import ATTACKS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.baseline import METRIC, check_baseline
from unlearn_cli.expressions.parser import Lookup
from unlearn_cli.recipes.comparison.comparability import Alike, check_alike
from unlearn_cli.recipes.comparison.grouping import Row, grouped, grouping_keys
from unlearn_cli.recipes.comparison.ranking import (
    Column,
    Comparison,
    Found,
    baselines,
    check_judgeable,
    columns,
    judged,
    on_front,
    over_forgotten,
)
from unlearn_cli.recipes.comparison.runs import RELEARNING, Entry, differing, read_baseline, read_entries
from unlearn_cli.recipes.scoring import gates as verdicts
from unlearn_cli.recipes.storage.output_files import check_targets, write
from unlearn_cli.registry import unknown
from unlearn_cli.rendering.cells import grid, listed
from unlearn_cli.rendering.compare import as_csv, as_markdown, compare_table
from unlearn_cli.rendering.plots import plot_front
from unlearn_cli.report import FAILED, FILE, GateReport, finite

USUAL = (
    "forget.probability", "forget.rouge_l", "forget.extraction_strength", "forget.forget_quality", "privacy.loss_auc",
    "retain.probability", "retain.rouge_l", "utility.model_utility", RELEARNING,
)  # fmt: skip


def run(
    config: CompareConfig, sources: dict[str, str], reporter: Reporter, *, product: bool = False
) -> tuple[dict[str, Any], bool]:
    """Compare. Returns everything that was found, as plain values, and whether a gate failed.

    Args:
        config: what is asked for.
        sources: where each setting came from.
        reporter: who tells it.
        product: the table is what the caller's command is for, so it goes to stdout unless something else does.

    Raises:
        UnlearnError: anything the user can mend.
    """
    piped = check_targets(config)
    made = _compared(config)
    too_far, about_too_far = over_forgotten(made)
    for note in [*_ended_badly(made.entries), *about_too_far, *_notes(made)]:
        reporter.note(note)
    gates = _gates(config, made.entries)
    told = _told(made, config, gates, reporter.notes) | {"over_forgotten": too_far}
    cells = grid(made, config.front, reporter.notes)
    if not product or piped:
        reporter.show(compare_table(cells, reporter.width, notes=False))  # stderr has them already
    elif not config.quiet:
        reporter.product(compare_table(cells, reporter.product_width, notes=not reporter.one_screen))
    verdicts.tell(gates, reporter)
    write(config.csv, as_csv(made), reporter)
    write(config.markdown, as_markdown(cells), reporter)
    if config.html:
        from unlearn_cli.recipes.comparison.page import compare_page  # noqa: PLC0415 - jinja2 is not needed for a table

        write(config.html, compare_page(made, cells, config), reporter)
        reporter.say(f"page: {config.html}")
    if config.plot:
        points = [(row.name, *(row.value(metric) for metric in made.pair)) for row in made.rows]
        failed = {row.name for row in made.rows if row.failed}
        plot_front(points, made.found.front, failed, made.pair, config.plot)
        reporter.say(f"drawn: {config.plot}")
    return told, any(gate.failed for gate in gates)


def _compared(config: CompareConfig) -> Comparison:
    """Read, check, group, rank and judge."""
    entries = read_entries(config.runs)
    baseline = read_baseline(config.baseline, entries) if config.baseline else None
    alike = check_alike(entries, baseline, allow=config.allow_different)
    if baseline is not None and "forget" not in alike.baseline_unlike:
        for entry in entries:
            check_baseline(baseline.score(f"forget.{METRIC}"), entry.score(f"forget.{METRIC}", "before"))
    wanted = _wanted(config, entries, alike)
    keys, by = differing(entries), grouping_keys(entries, config.group_by)
    rows = grouped(entries, by, keys, alike.marks)
    pair = _front(config, rows)
    splits = {split for entry in entries for report in entry.reports for split in report.data}
    ranked = columns(rows, [*wanted, *pair, *filter(None, [config.sort])], baseline, alike, sorted(splits))
    if "front" in config.model_fields_set:
        for name in pair:
            check_judgeable("--front", ranked[name])
    if config.plot and not any(pair and all(row.value(name) is not None for name in pair) for row in rows):
        raise UnlearnError("--plot: no run has both metrics of the front", "--front X,Y names two that the runs have")
    rows, made = _sorted(rows, config.sort, ranked), [ranked[name] for name in wanted]
    found = Found(
        judged(rows, made, baseline, config.bootstrap_samples), on_front(rows, [ranked[n] for n in pair]) if pair else set()
    )
    return Comparison(entries, rows, made, found, [key for key in keys if key not in by], pair, alike, baseline)


def _told(made: Comparison, config: CompareConfig, gates: list[GateReport], notes: list[str]) -> dict[str, Any]:
    """All of it as plain values."""
    on_it = [row.name for row in made.rows if row.name in made.found.front]
    return {
        "command": "compare",
        "runs": [_plain(row, made) for row in made.rows],
        "metrics": {column.name: column.described() for column in made.columns},
        "front": {"x": config.front[0], "y": config.front[1], "runs": on_it},
        "notes": notes,
        "gates": [gate.model_dump() for gate in gates],
    }


def _wanted(config: CompareConfig, entries: list[Entry], alike: Alike) -> list[str]:
    """The columns: those that were asked for, or the usual ones that any run has."""
    ranked_by = [*(config.front if "front" in config.model_fields_set else ()), *filter(None, [config.sort])]
    named = [*config.metrics, *ranked_by]
    reports = [report for entry in entries for report in entry.reports]
    known = {RELEARNING} | {f"{s}.{name}" for report in reports for s, metrics in report.scores.items() for name in metrics}
    for name in named:
        if name not in known:
            raise unknown("metric", name, known)
        if name in ranked_by and not any(entry.score(name) for entry in entries):
            raise UnlearnError(f"no run has a value of {name}", "choose one that the table shows")
    if len(config.front) != 2:
        raise UnlearnError("--front takes two metrics", "--front forget.probability,retain.probability")
    if RELEARNING in named and alike.attacks and not config.allow_different:
        raise UnlearnError(alike.attacks, "attack all runs with the same settings, or --allow-different, which marks it")
    usual = [name for name in USUAL if any(entry.score(name) for entry in entries)]
    if alike.attacks and not config.allow_different:
        usual = [name for name in usual if name != RELEARNING]
    return list(dict.fromkeys(config.metrics)) or usual


def _front(config: CompareConfig, rows: Sequence[Row]) -> tuple[str, ...]:
    """The front's metrics; none where only the default was meant and no run has both."""
    given = "front" in config.model_fields_set
    return config.front if given or any(all(row.value(name) is not None for name in config.front) for row in rows) else ()


def _sorted(rows: list[Row], name: str | None, ranked: dict[str, Column]) -> list[Row]:
    """The best first; rows without a value, or of runs that do not all have one or did not end well, last."""
    if name is None:
        return rows
    check_judgeable("--sort", ranked[name])
    far = {row.name: ranked[name].distance(row.whole(name)) for row in rows}
    return sorted(rows, key=lambda row: (row.failed, far[row.name] is None, far[row.name] or 0.0))


def _notes(made: Comparison) -> list[str]:
    entries, alike = made.entries, made.alike
    notes = []
    if alike.marks:
        splits = ", ".join(sorted(alike.unlike))
        notes.append(f"these runs were not measured alike (column 'measured'): nothing is called best on {splits}")
    if alike.baseline_unlike:
        notes.append(
            f"the baseline was measured otherwise, so it is left out, on {', '.join(sorted(alike.baseline_unlike))}"
        )
    notes += [
        f"{entry.name}: `unlearn evaluate` measured {', '.join(sorted(entry.unlike))} otherwise than the run; the run's own "
        "scores are shown there"
        for entry in entries
        if entry.unlike
    ]
    if alike.attacks:
        shown = any(column.name == RELEARNING for column in made.columns)
        notes.append(f"{alike.attacks}: {RELEARNING} is {'shown, but not judged' if shown else 'left out'}")
    if made.baseline is None and any(len(baselines(made.rows, column.name)) > 1 for column in made.columns):
        notes.append("the runs were evaluated against different baselines: none is shown (--baseline DIR)")
    without = [entry.name for entry in entries if not entry.has_rows]
    if without:
        notes.append(f"no values of single rows, so no intervals of differences: {', '.join(without)} (evaluate them again)")
    return notes


def _ended_badly(entries: Sequence[Entry]) -> list[str]:
    """A sentence on runs that are never called best: scores of a wrecked model may look so, and of one that did nothing."""
    failed = [f"{e.name} ({e.report.status.replace('_', ' ')})" for e in entries if e.report.status in FAILED]
    return [f"Did not end well, so not judged: {listed(failed)}."] if failed else []


def _plain(row: Row, made: Comparison) -> dict[str, Any]:
    training = row.entries[0].report.training
    values = {
        column.name: {
            "value": row.value(column.name),
            "spread": row.spread(column.name),
            "runs": len(row.scores(column.name)),
            "best": row.name in column.best,
            "difference": made.found.described(column.name, row.name),
        }
        for column in made.columns
    }
    return finite(
        {
            "name": row.name,
            "members": [entry.name for entry in row.entries],
            "status": row.entries[0].report.status,
            "settings": {key: row.setting(key) for key in made.keys},
            "measured": made.alike.marks.get(row.entries[0].name),
            "on_front": row.name in made.found.front,
            "values": values,
            "trajectory": [point.model_dump() for point in training.trajectory] if training else [],
        }
    )


def _gates(config: CompareConfig, entries: list[Entry]) -> list[GateReport]:
    """A gate fails if it holds for any run, or cannot be told for one."""
    reports = [report for entry in entries for report in entry.reports]
    known = {name for report in reports for metrics in report.scores.values() for name in metrics} | {"recovery"}
    gates = []
    for gate in verdicts.parsed(config.fail_if, also=tuple(sorted(known))):
        found = {entry.name: verdicts.judge(gate, *_looked_up(entry)) for entry in entries}
        failed = {name: one.told for name, one in found.items() if one.failed}
        told = "; ".join(f"{name}: {words}" for name, words in failed.items()) or f"{gate.text} holds for no run"
        gates.append(GateReport(expression=gate.text, failed=bool(failed), reason=", ".join(failed) or None, told=told))
    return gates


def _looked_up(entry: Entry) -> tuple[Lookup, verdicts.Why]:
    """Values of one run by name, and why there is none: its scores, and the recovery of every attack that it keeps."""
    scores = {name: metrics for report in entry.reports for name, metrics in report.scores.items()}

    def find(split: str, metric: str, moment: str) -> float | None:
        attack = entry.attacked(split) if ATTACKS.has(split) else None
        if attack is not None:
            return verdicts.recovered(attack, metric, moment)
        line = entry.report.attacks.get(split.replace("_", "-"))
        if line is not None and metric == "recovery":  # its report was not kept
            return line.recovery if moment in ("after", "max") else None
        found = entry.score(f"{split}.{metric}", moment)
        return None if found is None else found.value

    def why(split: str, metric: str, moment: str) -> str | None:
        if not ATTACKS.has(split):
            return verdicts.why_in(scores)(split, metric, moment)
        attack = entry.attacked(split)
        if attack is None:
            return f"not attacked: attacks/{split.replace('_', '-')}/{FILE} is not there"
        return verdicts.why_not_recovered(attack, moment)

    return find, why


def from_python(runs: tuple[str | Path, ...], settings: CompareConfig | None, *, quiet: bool, **more: Any) -> dict[str, Any]:
    """See `unlearn_cli.compare`."""
    named = {"runs": tuple(Path(path) for path in runs)} if runs else {}
    config, sources = resolve(CompareConfig, given(CompareConfig, settings, more | named), None, called="python")
    return run(config, sources, Reporter(quiet=quiet))[0]


def dumps(told: dict[str, Any]) -> str:
    """Everything as one JSON object."""
    return json.dumps(finite(told), indent=2, ensure_ascii=False, allow_nan=False)
