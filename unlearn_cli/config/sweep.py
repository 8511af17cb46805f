"""Settings of `unlearn sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unlearn_cli.config.expressions import Score
from unlearn_cli.config.forget import ForgettingOptions
from unlearn_cli.config.option import Grids, Names, Pairs, Seeds, option
from unlearn_cli.values import MANY


class SweepConfig(ForgettingOptions):
    """Settings of `unlearn sweep`: those of forget, and what varies."""

    output_dir: Path | None = option(
        None, "folder for the run folders, one for each setting", "Output", short="-o", metavar="DIR"
    )
    overwrite: bool = option(False, "run a setting again if its folder holds something else", "Output", runtime=True)
    methods: Names = option((), "methods to run; default: --method", "Method", metavar="NAMES", names="methods")
    parameters: Grids = option(
        {},
        "values of a parameter, for all methods or for one: -p npo.beta=0.05,0.1",
        "Method",
        short="-p",
        flag="--parameter",
        metavar="[METHOD.]NAME=VALUES",
        consent="files",
    )
    grid: Grids = option(
        {}, "values of an option, repeatable: --grid learning_rate=1e-4,3e-4; with --search also a range: 1e-4:1e-2:log",
        "Method", metavar="NAME=VALUES", consent="grid",
    )  # fmt: skip
    search: int | None = option(
        None, "run this many settings, each chosen from the results so far (pip install unlearn-cli[search])", "Method",
        metavar="N", ge=1, le=10_000,
    )  # fmt: skip
    seeds: Seeds = option((), "run each setting with each of these seeds; default: --seed", "Training", metavar="NUMBERS")
    score: Score | None = option(
        None, "rank the runs by this, larger is better; default: first those that reach the target, the most kept first",
        "Output", metavar="EXPR",
    )  # fmt: skip
    halving: bool = option(
        False, "run all settings with a quarter of the epochs or steps, the better half with half, and so on", "Training"
    )
    budget_minutes: float | None = option(None, "start no run after this many minutes", "Training", gt=0, le=MANY)
    jobs: int = option(
        1, "runs at the same time, each on its own device; 0: one on every device; with --launcher: all", "Training",
        ge=0, le=1024,
    )  # fmt: skip
    launcher: Literal["none", "submitit", "ray"] = option(
        "none", "each run is a job of a cluster. submitit: Slurm's queue (pip install unlearn-cli[cluster]); ray: a Ray "
        "cluster (pip install unlearn-cli[ray])", "Training",
        runtime=True, consent="launchers",
    )  # fmt: skip
    launcher_options: Pairs = option(
        {}, "what a job asks its cluster for, repeatable: timeout_min=120, slurm_partition=NAME; "
        "with ray: address=auto, num_cpus=4", "Training",
        flag="--launcher-option", metavar="NAME=VALUE", runtime=True, consent="commands",
    )  # fmt: skip
