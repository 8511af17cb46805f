"""`unlearn report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlearn_cli.cli.help import App
from unlearn_cli.cli.plain import execute_plain

if TYPE_CHECKING:
    from unlearn_cli.console import Reporter

NAMES = ("report",)


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = App(help="The report's schema, and reports as tables.", no_args_is_help=True)
    group.command("schema")(schema)
    group.command("show")(show)
    app.add_typer(group, name="report", rich_help_panel="Commands")


def schema() -> None:
    """Print the JSON Schema of report.json."""

    def run(reporter) -> None:
        import json  # noqa: PLC0415

        from unlearn_cli.report import RunReport  # noqa: PLC0415 - the lazy boundary

        reporter.data(json.dumps(RunReport.model_json_schema(), indent=2))

    execute_plain(run)


def show(
    run_folder: Annotated[Path, typer.Argument(help="run folder or report.json, also of an attack", metavar="RUN")],
    json_output: Annotated[bool, typer.Option("--json", help="the scores as one JSON object")] = False,
    full_table: Annotated[bool, typer.Option("--full-table", help="show every metric")] = False,
) -> None:
    """Print a run's scores, or an attack's curve, as a table on stdout."""

    def run(reporter) -> None:
        from unlearn_cli.attack_report import is_attack  # noqa: PLC0415 - the lazy boundary
        from unlearn_cli.report import dumps, read_report  # noqa: PLC0415

        if is_attack(run_folder):
            _show_attack(run_folder, json_output, reporter)
            return
        report = read_report(run_folder)
        if json_output:
            reporter.data(dumps(report, only={"command", "status", "scores"}))
            return
        from unlearn_cli.rendering.tables import scores_table  # noqa: PLC0415

        reporter.say(f"{report.command} {report.config.get('method', '')}: {report.status}")
        reporter.product(scores_table(report, run_folder, everything=full_table))

    execute_plain(run)


def _show_attack(path: Path, json_output: bool, reporter: Reporter) -> None:
    from unlearn_cli.attack_report import dumps, read_attack  # noqa: PLC0415 - the lazy boundary
    from unlearn_cli.rendering.attacks import attack_table  # noqa: PLC0415

    report = read_attack(path)
    if json_output:
        reporter.data(dumps([report]))
        return
    reporter.say(report.verdict)
    reporter.product(attack_table(report))
