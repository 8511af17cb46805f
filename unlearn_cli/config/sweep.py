"""Settings of `unlearn sweep`."""

from __future__ import annotations

from pathlib import Path

from unlearn_cli.config.expressions import Score
from unlearn_cli.config.forget import ForgettingOptions
from unlearn_cli.config.option import Grids, Names, Seeds, option
from unlearn_cli.values import MANY


class SweepConfig(ForgettingOptions):
    """Settings of `unlearn sweep`: those of forget, and what varies."""

    output_dir: Path | None = option(None, "holds a run folder for each setting", "Output", short="-o", metavar="DIR")
    overwrite: bool = option(False, "run settings anew whose folder holds something else", "Output", runtime=True)
    methods: Names = option((), "methods to run; default: --method", "Method", metavar="NAMES", names="methods")
    parameters: Grids = option(
        {},
        "values of a parameter, of all methods or of one: -p npo.beta=0.05,0.1",
        "Method",
        short="-p",
        flag="--parameter",
        metavar="[METHOD.]NAME=VALUES",
        consent="files",
    )
    grid: Grids = option(
        {}, "values of an option, repeatable: --grid learning_rate=1e-4,3e-4", "Method", metavar="NAME=VALUES",
        consent="grid",
    )  # fmt: skip
    seeds: Seeds = option((), "each setting once for each; default: --seed", "Training", metavar="NUMBERS")
    score: Score = option(
        "retain.probability - forget.probability", "by which runs are ranked, larger is better", "Output", metavar="EXPR",
        validate_default=True,
    )  # fmt: skip
    halving: bool = option(
        False, "all settings at a quarter of the epochs or steps, the better half at half, and so on", "Training"
    )
    budget_minutes: float | None = option(None, "start no run after so many minutes", "Training", gt=0, le=MANY)
    jobs: int = option(1, "runs at a time, each on a device of its own; 0: one on every device", "Training", ge=0, le=1024)
