"""What a command cannot do without, and options that exclude each other."""

from __future__ import annotations

import os
from pathlib import Path

from unlearn_cli.config import EvaluateConfig, ForgetConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.scoring import benchmark_splits


def check_required(config: ForgetConfig) -> None:
    """Check that a run of `unlearn forget` has rows and a model, and that its options do not exclude each other.

    Raises:
        UnlearnError: it has not, or they do.
    """
    benchmark = benchmark_splits.chosen(config)
    if benchmark and not config.forget:
        benchmark.trained()
    if config.neighbors and not config.about:
        raise UnlearnError("--neighbors is for --about", "--about NAME")
    if not (config.forget or benchmark or config.about):
        raise UnlearnError("no rows to forget are given", "--forget forget.jsonl; `unlearn forget --help` shows the formats")
    if not (config.model or config.run):
        raise UnlearnError("no model is given", "--model FOLDER_OR_HUB_ID")
    if config.resume and config.overwrite:
        raise UnlearnError("--resume and --overwrite exclude each other", "--resume continues, --overwrite starts anew")
    if config.load_in_4bit and config.load_in_8bit:
        raise UnlearnError("--load-in-4bit and --load-in-8bit exclude each other", "leave one of the two out")


def check_measurable(config: EvaluateConfig) -> None:
    """Check that `unlearn evaluate` has one model to measure, and a folder to write into.

    Raises:
        UnlearnError: it has not.
    """
    if not (config.run or config.model or config.measured):
        raise UnlearnError("nothing to evaluate", "unlearn evaluate RUN, or --model FOLDER_OR_HUB_ID")
    named = {"RUN": config.run, "--model": config.model, "--measured": config.measured}
    given = [name for name, value in named.items() if value]
    same = config.run and config.model and Path(config.model).resolve() == config.run.resolve()
    if len(given) > 1 and not (same and not config.measured):
        exported = [f"UNLEARN_{name.strip('-').upper()}" for name in given]
        raise UnlearnError(
            f"{' and '.join(given)} are given, but only one model is measured",
            f"leave one out; a variable counts as given: unset {' '.join(n for n in exported if n in os.environ)}"
            if any(n in os.environ for n in exported)
            else "leave one out",
        )
    if config.output_dir is None and (config.measured or not config.run) and not config.json_output:
        raise UnlearnError(
            "missing --output-dir", "-o DIR keeps the measurements and the report; --json prints the report alone"
        )
