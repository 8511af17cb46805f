"""`unlearn reproduce`: run again from a report, and compare the two runs."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from unlearn_cli.atomic import write_atomically
from unlearn_cli.config import ForgetConfig, ReproduceConfig, resolve, runtime_fields
from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import to_json
from unlearn_cli.lineage import DATA, SETTING, read_chain
from unlearn_cli.models.environment import environment
from unlearn_cli.models.process import undisturbed
from unlearn_cli.recipes import forget
from unlearn_cli.recipes.auditing.chain import model_hashes
from unlearn_cli.recipes.auditing.likeness import (
    IN_WORDS,
    Difference,
    Likeness,
    environment_differences,
    input_differences,
    likeness,
)
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun, resolve_run
from unlearn_cli.rendering.tables import digits
from unlearn_cli.report import FILE, RunReport, read_report

RESULT = "reproduction.json"
OWN = ("device", "device_map", "max_memory", "trust_remote_code", "allow_pickle")  # set by the user here, not by the report
MOVABLE = ("model", "base", "forget", "retain", "retain_eval", "holdout", "chat_template", "method")  # by --place


@undisturbed()
def run(config: ReproduceConfig, command_line: list[str], reporter: Reporter) -> tuple[dict[str, Any], bool]:
    """Run again and compare. Returns the comparison, and whether the run is reproduced.

    Raises:
        UnlearnError: the folder has no run of `unlearn forget`, or its settings cannot be used here.
    """
    first = read_report(config.run)
    if first.command != "forget":
        raise UnlearnError(f"{config.run} is not a run of `unlearn forget`", "give the folder that `unlearn forget` wrote")
    with tempfile.TemporaryDirectory() as scratch:
        resolved = _resolved(config, Path(scratch), reporter)
        if differences := [*_other_settings(first, resolved), *_other_inputs(config.run, resolved)]:
            reporter.say("not run again: these inputs differ from those of the run")
            for difference in differences:
                reporter.say(f"  {difference.in_words}")
            return {"reproduced": False, "inputs": [vars(difference) for difference in differences]}, False
        reporter.say("inputs: the same files and rows")
        for difference in environment_differences(first.environment, environment()):
            reporter.say(f"environment, {IN_WORDS[difference.matters]}: {difference.in_words}")
        second = forget.write_run(resolved, command_line)[0]
        result = likeness(first, second)
        summary = {"run": str(config.run), "inputs": [], **result.as_dict()}
        if config.output_dir:
            write_atomically(config.output_dir / RESULT, to_json(summary) + "\n")
    _say(result, reporter)
    return summary, result.reproduced


def _resolved(config: ReproduceConfig, scratch: Path, reporter: Reporter) -> ResolvedRun:
    """A run with the settings of the report, which writes into `scratch` unless an output folder is given.

    Raises:
        UnlearnError: --place has a name that no run reads, or the settings cannot be used here.
    """
    if unknown := [name for name in config.place if name not in MOVABLE]:
        raise UnlearnError(f"--place {unknown[0]}: a run reads nothing of this name", f"names: {', '.join(MOVABLE)}")
    flags: dict[str, Any] = {name: str(path) for name, path in config.place.items()}
    flags |= {name: getattr(config, name) for name in OWN if name in config.model_fields_set}
    flags |= {"output_dir": config.output_dir or scratch / "run", "overwrite": config.overwrite}
    settings, sources = resolve(ForgetConfig, flags, config.run / FILE, environment=False)
    return resolve_run(settings, sources, reporter)


def _other_settings(first: RunReport, resolved: ResolvedRun) -> list[Difference]:
    """Settings that differ, for example because another version has other defaults. Files are compared by their hashes."""
    new_config = resolved.config.model_dump(mode="json")
    compared = set(ForgetConfig.model_fields) - runtime_fields(ForgetConfig) - {*MOVABLE, *OWN}
    return [
        Difference(f"setting {name}", first.config[name], new_config[name])
        for name in sorted(compared)
        if name in first.config and first.config[name] != new_config[name]
    ]


def _other_inputs(run: Path, resolved: ResolvedRun) -> list[Difference]:
    """Files and rows that differ from those of the run.

    Raises:
        UnlearnError: the run has no lineage, which names the files that it read.
    """
    links = read_chain(run)
    if not links:
        raise UnlearnError(
            f"{run} has no lineage: the files that it read are not known",
            f"unlearn forget --config {shlex.quote(str(run / FILE))} -o DIR",
        )
    hashes = model_hashes(resolved.outline.source)[0]
    hashes |= {f"{DATA}/{name}": data.report().sha256 for name, data in resolved.inputs.items()}
    hashes |= {f"{SETTING}/{name}": sha for name, sha in resolved.spec.files.items()}
    return input_differences(links[0], hashes)


def _say(result: Likeness, reporter: Reporter) -> None:
    """Show the result in a few lines."""
    equal_files = sum(result.files.values())
    reporter.say(f"artifact: {equal_files} of {len(result.files)} files have the same bytes")
    if result.status[0] != result.status[1]:
        reporter.say(f"status: {result.status[0]} -> {result.status[1]}")
    equal_scores = sum(pair.first == pair.second for pair in result.scores)
    reporter.say(
        f"scores: {equal_scores} of {len(result.scores)} are the same number, "
        f"{len(result.outside)} are outside of their 95 % interval"
    )
    reporter.say("reproduced" if result.reproduced else "NOT reproduced")


def scores_table(summary: dict[str, Any]) -> Table:
    """Scores that differ between the runs; those outside of their interval first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("score", overflow="fold")
    for name in ("first", "95 % interval", "second"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    words = {True: "within", False: "OUTSIDE", None: "no interval"}
    pairs = [pair for pair in summary.get("scores", ()) if pair["first"] != pair["second"]]
    for pair in sorted(pairs, key=lambda pair: (pair["within"] is not False, pair["name"])):
        interval = " to ".join(map(digits, pair["ci"])) if pair["ci"] else ""
        verdict = Text(words[pair["within"]], style="bold red" if pair["within"] is False else "")
        table.add_row(pair["name"], digits(pair["first"]), interval, digits(pair["second"]), verdict)
    return table
