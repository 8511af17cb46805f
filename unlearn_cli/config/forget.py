"""Settings of `unlearn forget`, and of `unlearn demo`, which runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unlearn_cli.config.expressions import OneCondition
from unlearn_cli.config.groups import DataOptions, MeasuringOptions, ModelOptions, OutputOptions, ShownOptions
from unlearn_cli.config.option import MaybeRunFolder, Names, Repository, option
from unlearn_cli.config.recipes import RecipeName
from unlearn_cli.config.training import LoraOptions, MethodOptions, TrainingOptions


class ForgettingOptions(
    OutputOptions, MeasuringOptions, TrainingOptions, MethodOptions, LoraOptions, DataOptions, ModelOptions
):
    """Settings that a run of `unlearn forget` and the runs of a sweep share."""

    until: OneCondition | None = option(
        None, "the forget half of the target; default: forget.probability at the level of answers that the model never "
        "knew", "Method", metavar="EXPR",
    )  # fmt: skip
    keep: OneCondition | None = option(
        None, "the retain half of the target; default: 'retain.probability >= 0.95*before'", "Method", metavar="EXPR"
    )
    baseline: str | None = option(
        None, "a model trained without the forget rows, folder or Hub id: its probability of them is the level to reach",
        "Method", metavar="MODEL", path=True,
    )  # fmt: skip
    no_target: bool = option(
        False, "train over the method's fixed schedule, as papers do, not until the target is reached", "Method"
    )
    threads: int | None = option(
        None, "threads on a CPU; default: OMP_NUM_THREADS, else as many as a short trial finds fastest", "Training",
        ge=1, le=4096, metavar="N", runtime=True,
    )  # fmt: skip
    allow_overlap: bool = option(
        False,
        "accept rows that are in both the forget and the retain split, in one of them and the holdout, or that an "
        "earlier run forgot and this run retains",
        "Data",
    )
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = option(
        "none", "a tracker that also gets every step; metrics.jsonl is always written", "Output", runtime=True,
        consent="trackers",
    )  # fmt: skip
    dry_run: bool = option(False, "read everything but the weights, print the plan, and stop", "Output", runtime=True)


class ForgetConfig(ForgettingOptions):
    """Settings of `unlearn forget`."""

    run: MaybeRunFolder = option(
        None, "a finished run to go on from: its model forgets more, and what it forgot before is measured again", "Model",
        metavar="RUN",
    )  # fmt: skip
    about: str | None = option(
        None, "forget a subject without rows: the model writes what it knows of this name, and rows about others to keep",
        "Data", metavar="NAME",
    )  # fmt: skip
    neighbors: Names = option(
        (), "with --about: subjects to keep; default: those that the model names", "Data", metavar="NAMES"
    )
    recipe: RecipeName | None = option(
        None, "a set of settings, which other options override: quick (a first look), balanced (the defaults), durable "
        "(slower, memory for several models; an attack brings least back, shown on small models)", "Method",
    )  # fmt: skip
    push_to_hub: Repository | None = option(
        None,
        "upload the finished run as `unlearn push` does: private, without rows",
        "Output",
        metavar="REPO",
        runtime=True,
        consent="set",
    )
    resume: bool = option(False, "continue from the newest checkpoint in the output folder", "Output", runtime=True)


class DemoConfig(ShownOptions):
    """Settings of `unlearn demo`."""

    keep: Path | None = option(
        None, "write model, data and run into this folder; default: a temporary one", "Output", metavar="DIR"
    )
    html: Path | None = option(None, "write the result as one HTML page", "Output", metavar="FILE")
