"""`unlearn sweep`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import SweepConfig
    from unlearn_cli.console import Reporter

NAME = "sweep"
SETTINGS = "SweepConfig"
USUAL = (
    "model",
    "forget",
    "retain",
    "method",
    "methods",
    "grid",
    "search",
    "seeds",
    "score",
    "budget_minutes",
    "jobs",
    "output_dir",
    "dry_run",
)
HELP = """Run many settings of forget on one base in memory, and compare them.

Every setting gets its own run folder inside --output-dir. The paths go to stdout, best first. Finished runs are skipped, so
the same command continues where it was stopped. All options of forget apply to every run. Exit code 4 if no run
ended well.

[bold]Examples[/]

  unlearn sweep --model M --forget F --retain R --methods npo,simnpo,rmu -o sweep

  unlearn sweep --model M --forget F --retain R --methods npo --grid learning_rate=1e-4,3e-4 -p npo.beta=0.05,0.1 -o sweep

  unlearn sweep ... --methods npo,simnpo --grid learning_rate=1e-4:1e-2:log --search 20 -o search

  unlearn sweep ... --methods npo,simnpo,ceu,me-gd --halving --budget-minutes 60 -o sweep

  unlearn sweep ... --methods npo,simnpo --seeds 0,1,2 --jobs 4 -o sweep
"""


def run(config: SweepConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int:
    from unlearn_cli.jsonfile import to_json  # noqa: PLC0415
    from unlearn_cli.recipes import sweep  # noqa: PLC0415 - the lazy boundary

    result, best = sweep.run(config, sources, argv, reporter)
    if not config.dry_run:
        reporter.data(to_json(result) if config.json_output else "\n".join(str(run.folder) for run in best))
    return sweep.exit_code(result)
