"""`unlearn relearn-attack`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import AttackConfig
    from unlearn_cli.console import Reporter

NAME = "relearn-attack"
SETTINGS = "AttackConfig"
POSITIONAL = ("run",)
USUAL = ("run", "baseline", "attack", "suite", "parameters", "seeds", "fail_if", "plot", "json_output")
HELP = """Attack a run: does what was forgotten come back?

The forget rows are those of the run's report: the attacker gets half, the other half judges. The same attack on a model that
was trained without the rows (--baseline) separates recovery from teaching and guessing. Without a baseline all knowledge
counts, which gives an upper bound. Finished curves are kept: the same command continues where it was stopped. Exit code 3
if a --fail-if expression holds.

[bold]Examples[/]

  unlearn relearn-attack runs/npo

  unlearn relearn-attack runs/npo --baseline ./retain-only --fail-if 'relearn.recovery.max > 0.3'

  unlearn relearn-attack runs/npo --suite quick --plot curves.svg

  unlearn relearn-attack runs/npo --attack quantize,prompts --json | jq .attacks.quantize.recovery
"""


def run(config: AttackConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.attack_report import dumps  # noqa: PLC0415
    from unlearn_cli.errors import EXIT_GATE  # noqa: PLC0415
    from unlearn_cli.recipes import relearn_attack as recipe  # noqa: PLC0415 - the lazy boundary

    reports, paths = recipe.run(config, sources, argv, reporter)
    reporter.data(dumps(reports) if config.json_output else "\n".join(map(str, paths)))
    return EXIT_GATE if any(gate.failed for report in reports for gate in report.gates) else 0
