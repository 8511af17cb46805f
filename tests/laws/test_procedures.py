"""What every procedure owes the settings: a schedule that was asked for is followed, or refused."""

from __future__ import annotations

from functools import partial

import pytest

from tests.cli.running import data_arguments, unlearn
from tests.training.test_loop import adapted, trainer_of
from unlearn_cli.contract import METHODS, Procedure
from unlearn_cli.training.optimizer import rate_at
from unlearn_cli.training.workbench import Workbench

PROCEDURES = [p for p in map(METHODS.get, METHODS.names()) if isinstance(p, Procedure)]
SMALL = {"rounds": 3, "inner": 2, "components": 4, "epochs": 3.0}  # of the parameters that a procedure has


def rates(procedure: Procedure, folder, shape: str) -> list[float]:
    """Learning rates of the steps that a procedure takes under a schedule of this shape."""
    loaded = adapted()
    schedule = partial(rate_at, shape=shape, warmup_ratio=0.0)
    bench = Workbench(loaded, trainer_of(loaded, folder), epochs=3.0, peak=1e-3, schedule=schedule)
    given = {name: value for name, value in SMALL.items() if name in procedure.parameters}
    return [record.learning_rate for record in procedure(bench, **procedure.resolve(given))]


@pytest.mark.parametrize("procedure", [p for p in PROCEDURES if p.scheduled], ids=lambda p: p.name)
def test_the_schedule_is_that_of_the_settings(procedure, tmp_path) -> None:
    """Under a linear schedule rates fall within every stage; under a constant one each peak is kept."""
    linear, constant = rates(procedure, tmp_path / "a", "linear"), rates(procedure, tmp_path / "b", "constant")
    assert len(linear) == len(constant) and linear[0] == constant[0] and linear[1] < constant[1]
    assert len(set(constant)) <= 2, "one peak for the base method, one for the procedure's own steps"
    if procedure.name != "repselect":  # its own steps are shares of the weights' length
        assert linear[-1] < constant[-1]


@pytest.mark.parametrize("procedure", [p for p in PROCEDURES if not p.scheduled], ids=lambda p: p.name)
def test_a_schedule_that_nothing_follows_is_refused(procedure, tmp_path) -> None:
    refused = unlearn(
        "forget", *data_arguments(tmp_path), "--method", procedure.name, "--lr-scheduler-type", "linear",
        "--dry-run", "--output-dir", tmp_path / "run",
    )  # fmt: skip
    assert refused.exit_code == 2 and "has a constant step size" in refused.stderr
