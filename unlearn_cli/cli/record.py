"""`unlearn report RUN`: the command `record` of the group `report`, which runs where no other of its commands is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import RecordConfig
    from unlearn_cli.console import Reporter

NAME = "record"
GROUP = "report"
SETTINGS = "RecordConfig"
POSITIONAL = ("run",)
HELP = """Write the record of a run: one page for people who were not there. `unlearn report RUN` is the same.

The page says in one of three wordings what may be claimed, by rule from the evidence, and against whom; what was done, to
which rows (by hash, without their text); scores before and after; the worst rows; a verdict for each person; attacks with
their budgets, and those not tried; the state of every file; how to run it again. Measure and attack the run first: the
record is made from what lies in its folder.

[bold]Examples[/]

  unlearn report runs/npo --html record.html

  unlearn report runs/npo --html record.html --request-id 2026-114 --subject-id id
"""


def run(config: RecordConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.jsonfile import to_json  # noqa: PLC0415
    from unlearn_cli.recipes import record as recipe  # noqa: PLC0415 - the lazy boundary

    summary = recipe.run(config, argv, reporter)
    if config.json_output:
        reporter.data(to_json(summary))
    else:
        reporter.data(str(config.html or config.pdf))
    return 0
