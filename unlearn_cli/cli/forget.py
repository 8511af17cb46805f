"""`unlearn forget`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.config import ForgetConfig
    from unlearn_cli.console import Reporter

NAME = "forget"
SETTINGS = "ForgetConfig"
POSITIONAL = ("run",)
USUAL = (
    "run",
    "model",
    "forget",
    "retain",
    "about",
    "columns",
    "method",
    "recipe",
    "load_in_4bit",
    "until",
    "keep",
    "seed",
    "output_dir",
    "dry_run",
    "resume",
)
HELP = """Make a model forget rows, and measure it before and after.

Writes a run folder: a LoRA adapter that loads with plain PEFT, report.json, and a model card. The path of the report goes to
stdout.

[bold]Examples[/]

  unlearn forget -m HuggingFaceTB/SmolLM2-360M-Instruct -f forget.jsonl -r retain.jsonl --load-in-4bit -o runs/npo

  unlearn forget -m ./model -f forget.csv -r hf:org/name:train --columns question=q,answer=a --method simnpo

  unlearn forget runs/npo -f more.jsonl -o runs/npo-2

  unlearn forget --config runs/npo/report.json --seed 1 -o runs/npo-1

[bold]Row formats[/], known by their keys: question+answer · prompt+completion · messages · text · prompt+chosen+rejected
"""


def run(config: ForgetConfig, sources: dict[str, str], argv: list[str], reporter: Reporter) -> None:
    from unlearn_cli.recipes import forget  # noqa: PLC0415 - the lazy boundary
    from unlearn_cli.report import FILE, dumps  # noqa: PLC0415

    report = forget.run(config, sources, argv, reporter)
    if report is not None:
        reporter.data(dumps(report) if config.json_output else f"{report.config['output_dir']}/{FILE}")
