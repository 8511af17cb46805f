"""`unlearn compare`: runs side by side, and which of their differences are noise. Loads neither a model nor torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearn_cli.config import CompareConfig, given, resolve
from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.baseline import METRIC, check_baseline
from unlearn_cli.recipes.checking.command import check
from unlearn_cli.recipes.comparison.comparability import check_comparability
from unlearn_cli.recipes.comparison.fail_if import judge_gates
from unlearn_cli.recipes.comparison.grid import as_csv, comparison_grid
from unlearn_cli.recipes.comparison.grouping import group_runs, grouping_keys
from unlearn_cli.recipes.comparison.notes import comparison_notes, over_forgotten
from unlearn_cli.recipes.comparison.ranking import check_rankable, pareto_front, rank_columns, sort_rows
from unlearn_cli.recipes.comparison.result import Comparison, ComparisonResult, as_dict
from unlearn_cli.recipes.comparison.runs import check_another, read_baseline, read_entries
from unlearn_cli.recipes.comparison.selection import front_metrics, shown_metrics
from unlearn_cli.recipes.comparison.settings import differing_settings
from unlearn_cli.recipes.comparison.verdicts import judge_rows
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.recipes.storage.output_files import check_targets, write
from unlearn_cli.rendering.compare import Grid, as_markdown, compare_table


def run(
    config: CompareConfig, sources: dict[str, str], reporter: Reporter, *, table_on_stdout: bool = False
) -> tuple[dict[str, Any], bool]:
    """Compare. Returns the result as plain values, and whether a gate failed.

    Args:
        config: the settings.
        sources: where each setting came from.
        reporter: prints messages and the table.
        table_on_stdout: print the table on stdout, unless another document goes there.

    Raises:
        UnlearnError: a problem that the user can fix.
    """
    piped = check_targets(config)
    comparison = _compare(config)
    for note in comparison_notes(comparison):
        reporter.note(note)
    gate_reports = judge_gates(config.fail_if, comparison.entries)
    result = as_dict(comparison, config.front, reporter.notes, gate_reports, over_forgotten(comparison))
    grid = comparison_grid(comparison, reporter.notes)
    if not table_on_stdout or piped:
        reporter.show(compare_table(grid, reporter.width, notes=False))  # the notes are on stderr already
    elif not config.quiet:
        reporter.table(compare_table(grid, reporter.table_width, notes=not reporter.one_screen))
    gates.show(gate_reports, reporter)
    _write_files(comparison, grid, config, reporter)
    return result, any(gate.failed for gate in gate_reports)


def _compare(config: CompareConfig) -> Comparison:
    """Read the runs, check that they are comparable, group, rank and judge them."""
    entries = read_entries(config.runs)
    baseline = read_baseline(config.baseline, entries) if config.baseline else None
    if baseline is not None:
        check_another(baseline, entries)
    comparability = check_comparability(entries, baseline, allow=config.allow_different)
    if baseline is not None and "forget" not in comparability.baseline_differing:
        for entry in entries:
            check_baseline(baseline.score(f"forget.{METRIC}"), entry.score(f"forget.{METRIC}", "before"))
    shown = shown_metrics(config, entries, comparability)
    keys, by = differing_settings(entries), grouping_keys(entries, config.group_by)
    rows = group_runs(entries, by, keys, comparability.run_hashes)
    pair = front_metrics(config, rows)
    splits = {split for entry in entries for report in entry.reports for split in report.data}
    ranked = rank_columns(rows, [*shown, *pair, *filter(None, [config.sort])], baseline, comparability, splits)
    if "front" in config.model_fields_set:
        for name in pair:
            check_rankable("--front", ranked[name])
    if config.plot and not any(pair and all(row.value(name) is not None for name in pair) for row in rows):
        raise UnlearnError("--plot: no run has both metrics of the front", "--front X,Y names two that the runs have")
    rows, columns = sort_rows(rows, config.sort, ranked), [ranked[name] for name in shown]
    return Comparison(
        entries=entries,
        rows=rows,
        columns=columns,
        verdicts=judge_rows(rows, columns, baseline, config.bootstrap_samples),
        front_metrics=pair,
        front=pareto_front(rows, [ranked[name] for name in pair]),
        setting_keys=[key for key in keys if key not in by],
        comparability=comparability,
        baseline=baseline,
    )


def _write_files(comparison: Comparison, grid: Grid, config: CompareConfig, reporter: Reporter) -> None:
    write(config.csv, as_csv(comparison), reporter)
    write(config.markdown, as_markdown(grid), reporter)
    if config.html:
        from unlearn_cli.recipes.comparison.page import compare_page  # noqa: PLC0415 - jinja2 and scipy, for the page alone

        write(config.html, compare_page(comparison, grid, config), reporter)
        reporter.say(f"page: {config.html}")
    if config.plot:
        from unlearn_cli.recipes.comparison.pictures import picture_of_front  # noqa: PLC0415 - scipy, for pictures alone
        from unlearn_cli.rendering.plots import plot_front  # noqa: PLC0415 - matplotlib is an extra

        picture = picture_of_front(comparison)
        assert picture is not None  # a run has both metrics, see `_compare`
        plot_front(picture, config.plot)
        reporter.say(f"drawn: {config.plot}")


def from_python(
    runs: tuple[str | Path, ...], settings: CompareConfig | None, *, quiet: bool, **more: Any
) -> ComparisonResult:
    """See `unlearn_cli.compare`."""
    named = {"runs": tuple(Path(path) for path in runs)} if runs else {}
    config, sources = resolve(CompareConfig, given(CompareConfig, settings, more | named), None, called="python")
    check(config)
    return ComparisonResult(run(config, sources, Reporter(quiet=quiet))[0])
