"""`unlearn evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import EvaluateConfig
    from unlearn_cli.console import Reporter

NAME = "evaluate"
SETTINGS = "EvaluateConfig"
POSITIONAL = ("run",)
USUAL = (
    "run",
    "model",
    "forget",
    "retain",
    "baseline",
    "benchmark",
    "metrics",
    "fail_if",
    "show",
    "output_dir",
    "json_output",
)
HELP = """Measure a run folder, or any model, on forget and retain rows.

Data, template and precision come from the run's report unless they are given. Exit code 3 if a --fail-if expression holds.

[bold]Examples[/]

  unlearn evaluate runs/npo

  unlearn evaluate runs/npo --fail-if 'forget.probability > 0.1' --fail-if 'retain.rouge_l < 0.9'

  unlearn evaluate models/npo --lineage runs/npo --load-in-4bit

  unlearn evaluate --measured eval_log_aggregated.json --baseline retain90.json -o scores

  unlearn evaluate --model ./model --baseline ./retain-only --benchmark tofu:forget10 -o scores

  unlearn evaluate --model ./model --forget forget.jsonl --retain retain.jsonl --json | jq .scores.forget
"""


def run(config: EvaluateConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.errors import EXIT_GATE  # noqa: PLC0415
    from unlearn_cli.report import dumps  # noqa: PLC0415

    if config.measured:
        from unlearn_cli.recipes.scoring.rescore import run as measure  # noqa: PLC0415 - imports no torch
    else:
        from unlearn_cli.recipes.evaluate import run as measure  # noqa: PLC0415 - the lazy boundary
    with _with_folder(config) as placed:
        report, path = measure(placed, sources, argv, reporter)
    report.config |= config.model_dump(mode="json", include={"output_dir", "full_table"})  # as the user gave them
    reporter.data(dumps(report) if config.json_output else str(path))
    return EXIT_GATE if any(gate.failed for gate in report.gates) else 0


@contextmanager
def _with_folder(config: EvaluateConfig) -> Iterator[EvaluateConfig]:
    """The settings with an output folder. With --json alone that folder is temporary: only stdout gets the report."""
    if config.output_dir or (config.run and not config.measured):
        yield config
        return
    from pathlib import Path  # noqa: PLC0415
    from tempfile import TemporaryDirectory  # noqa: PLC0415

    from unlearn_cli.errors import EXIT_INTERRUPTED, EXIT_TERMINATED, Terminated  # noqa: PLC0415

    with TemporaryDirectory() as folder:
        try:
            # The whole table: no report stays that could show more.
            yield config.model_copy(update={"output_dir": Path(folder), "full_table": True})
        except Exception as error:
            stops = {EXIT_INTERRUPTED: KeyboardInterrupt, EXIT_TERMINATED: Terminated}
            if stop := stops.get(getattr(error, "exit_code", -1)):
                raise stop from None  # nothing is kept, although the recipe says so
            raise
