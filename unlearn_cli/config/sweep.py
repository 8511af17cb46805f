"""Settings of `unlearn sweep`."""

from __future__ import annotations

from unlearn_cli.config.forget import ForgetConfig
from unlearn_cli.config.option import Grids, Names, option


class SweepConfig(ForgetConfig):
    """Settings of `unlearn sweep`: those of forget, and what varies."""

    methods: Names = option((), "methods to run; default: --method", "Method", metavar="NAMES", names="methods")
    parameters: Grids = option(
        {},
        "values of a parameter, of all methods or of one: -p npo.beta=0.05,0.1",
        "Method",
        short="-p",
        flag="--parameter",
        metavar="[METHOD.]NAME=VALUES",
    )
    grid: Grids = option(
        {}, "values of an option, repeatable: --grid learning_rate=1e-4,3e-4", "Method", metavar="NAME=VALUES"
    )
    seeds: Names = option((), "each setting once for each; default: --seed", "Training", metavar="NUMBERS")
    score: str = option(
        "retain.probability - forget.probability", "by which runs are ranked, larger is better", "Output", metavar="EXPR"
    )
    halving: bool = option(False, "all settings at a quarter of the epochs, the better half at half, and so on", "Training")
    budget_minutes: float | None = option(None, "start no run after so many minutes", "Training", gt=0)
