"""Commands without settings, which run nothing: `unlearn list`, `show`, `report schema`, `report show` and `env`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unlearn_cli.console import Reporter


def add(app: typer.Typer, report: typer.Typer) -> None:
    """Add the commands to the application and to its group `report`."""
    app.command("list", rich_help_panel="Commands")(list_names)
    app.command("show", rich_help_panel="Commands")(show)
    report.command("schema")(report_schema)
    report.command("show")(report_show)
    app.command("env", rich_help_panel="Commands")(env)


def _execute(run: Callable[[Reporter], None]) -> None:
    """Call `run(reporter)`. An error becomes a message on stderr and an exit code, as for the other commands."""
    from unlearn_cli.cli.options import errors_as_messages  # noqa: PLC0415 - pydantic, which the overview does not need
    from unlearn_cli.console import Reporter  # noqa: PLC0415
    from unlearn_cli.quiet import quiet_libraries  # noqa: PLC0415

    with errors_as_messages(debug=None), quiet_libraries():
        run(Reporter())


def _kinds(incomplete: str) -> list[str]:
    from unlearn_cli.recipes.catalogue.entries import KINDS  # noqa: PLC0415 - the lazy boundary

    return [*KINDS, "benchmarks"]


def _names(incomplete: str) -> list[str]:
    from unlearn_cli.recipes.catalogue.entries import KINDS, names  # noqa: PLC0415 - the lazy boundary

    return [name for kind in KINDS for name in names(kind)]


def list_names(
    kind: Annotated[
        str,
        typer.Argument(
            help="methods, retain-terms, robust-rules, metrics, attacks or benchmarks",
            metavar="KIND",
            autocompletion=_kinds,
        ),
    ] = "methods",
    json_output: Annotated[bool, typer.Option("--json", help="a JSON array of objects with name and summary")] = False,
) -> None:
    """List methods by family, with those to start with and those that did little here; or retain terms, metrics, ..."""

    def run(reporter: Reporter) -> None:
        from unlearn_cli.recipes.catalogue import entries, families  # noqa: PLC0415 - the lazy boundary

        if kind in ("method", "methods"):
            reporter.data(families.dumps() if json_output else "\n".join(families.lines()))
        else:
            reporter.data(entries.dumps(kind) if json_output else "\n".join(entries.lines(kind)))

    _execute(run)


def show(
    name: Annotated[
        str, typer.Argument(help="a method, retain term, metric, attack or benchmark", metavar="NAME", autocompletion=_names)
    ],
    json_output: Annotated[
        bool, typer.Option("--json", help="a JSON array, one object for each entry of this name")
    ] = False,
) -> None:
    """Show a method's or metric's formula, parameters, defaults and paper, or a benchmark's splits and published numbers."""

    def run(reporter: Reporter) -> None:
        from unlearn_cli.recipes.catalogue import entries  # noqa: PLC0415 - the lazy boundary

        reporter.data(entries.page_dumps(name) if json_output else entries.page(name))

    _execute(run)


def report_schema() -> None:
    """Print the JSON Schema of report.json."""

    def run(reporter: Reporter) -> None:
        from unlearn_cli.report import RunReport  # noqa: PLC0415 - the lazy boundary

        reporter.data(json.dumps(RunReport.model_json_schema(), indent=2))

    _execute(run)


def report_show(
    run_folder: Annotated[Path, typer.Argument(help="run folder or report.json, also of an attack", metavar="RUN")],
    json_output: Annotated[bool, typer.Option("--json", help="the scores as one JSON object")] = False,
    full_table: Annotated[bool, typer.Option("--full-table", help="show every metric")] = False,
) -> None:
    """Print a run's scores, or an attack's curve, as a table on stdout."""

    def run(reporter: Reporter) -> None:
        from unlearn_cli.attack_report import is_attack  # noqa: PLC0415 - the lazy boundary
        from unlearn_cli.recipes.scoring.verdict import verdict_of  # noqa: PLC0415
        from unlearn_cli.report import dumps, read_report  # noqa: PLC0415

        if is_attack(run_folder):
            _show_attack(run_folder, json_output, reporter)
            return
        report = read_report(run_folder)
        verdict = verdict_of(report, run_folder.parent if run_folder.is_file() else run_folder)
        if json_output:
            reporter.data(
                dumps(report.model_copy(update={"verdict": verdict}), only={"command", "status", "verdict", "scores"})
            )
            return
        from unlearn_cli.rendering.tables import scores_table  # noqa: PLC0415

        reporter.say(f"{report.command} {report.config.get('method', '')}: {report.status}")
        reporter.table(scores_table(report, run_folder, everything=full_table))
        if verdict:
            from unlearn_cli.rendering.verdicts import verdict_block  # noqa: PLC0415

            reporter.show(verdict_block(verdict), folded=False)

    _execute(run)


def _show_attack(path: Path, json_output: bool, reporter: Reporter) -> None:
    from unlearn_cli.attack_report import dumps, read_attack  # noqa: PLC0415 - the lazy boundary
    from unlearn_cli.rendering.attacks import attack_table  # noqa: PLC0415

    report = read_attack(path)
    if json_output:
        reporter.data(dumps([report]))
        return
    reporter.say(report.verdict)
    reporter.table(attack_table(report))


def env(
    json_output: Annotated[bool, typer.Option("--json", help="one JSON object; default: a line for each fact")] = False,
) -> None:
    """Print versions and devices, for bug reports."""

    def run(reporter: Reporter) -> None:
        from unlearn_cli.models.environment import environment, lines  # noqa: PLC0415 - the lazy boundary

        facts = environment()
        reporter.data(json.dumps(facts, indent=2) if json_output else "\n".join(lines(facts)))

    _execute(run)
