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

The page states what may be claimed, and against whom: one of three wordings, chosen by rule from the evidence. It shows
what was done to which rows (hashes, no text), the scores before and after, the worst rows, a verdict for each person, the
attacks with their budgets, the attacks not tried, the state of every file, and how to run it again. Measure and attack the
run first: the record uses only what is in its folder.

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
