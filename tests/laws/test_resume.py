"""Law: interrupted anywhere, by any signal, with any option, a resumed run equals the uninterrupted one float by float."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import unlearn_cli
from tests.cli.running import MODEL, write_rows
from tests.laws.interrupting import differences, killed_at_every_point, signaled
from unlearn_cli.demo.facts import splits
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.forgetting.interrupt import Interrupted

FEW = {
    "model": MODEL, "max_steps": 4, "batch_size": 2, "save_every": 2, "generate_limit": 1, "max_new_tokens": 2,
    "bootstrap_samples": 10, "eval_limit": 2, "learning_rate": 2e-3, "no_general": True,
}  # fmt: skip
EPOCHS = {"max_steps": None, "epochs": 0.5}
STOPS = {"eval_every": 1, "stop_when": "forget.probability < 0.96", "save_every": 4}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "eval-every": {"eval_every": 1, "no_general": False},
    "stop-when": STOPS,
    "forget-loss-floor": {"method": "grad-ascent", "learning_rate": 5e-3, "forget_loss_floor": -0.2, "save_every": 4},
    "calibrate": {"calibrate": "forget.probability >= 0.97*before"},
    "robust sam": {"robust": "sam"},
    "robust gru": {"robust": "gru"},
    "robust lat": {"robust": "lat"},
    "accumulation": {"batch_size": 1, "gradient_accumulation_steps": 2},
    "a procedure": {"method": "layered", "parameters": {"folds": 2}, **EPOCHS},
    "a procedure that writes a model": {"method": "undo", **EPOCHS},
    "composition uld": {"method": "uld", "eval_every": 2},
    "composition whp": {"method": "whp"},
    "composition offset": {"method": "offset"},
    "a dual variable": {"method": "pdu"},
    "a weight that follows the steps": {"method": "rr"},
    "a negated adapter": {"method": "task-vector"},
    "random numbers": {"lora_dropout": 0.2},
    "lora-init": {"lora_init": "fila"},
    "alternatives": {"method": "altpo"},
    "retain rows that the model writes": {"retain": "auto"},
    "every weight": {"full": True, "learning_rate": 1e-4},
}
# Points that are tried without -m slow: with one option many, with the others those where it could matter.
POINTS = {
    "eval-every": (
        "measured before-forget",
        "preparing",
        "measured step-1-forget",
        "measured at step 1",
        "step 2",
        "checkpoint 2",
        "measured at step 2",
        "step 3",
        "checkpoint 4",
        "saving",
        "saved",
        "measured after-forget",
        "scored",
        "reporting",
        "reported",
    ),
    "stop-when": ("measured at step 2", "checkpoint 2", "saving"),
    "forget-loss-floor": ("checkpoint 3",),
    "a procedure": ("step 2",),
    "calibrate": ("step 3", "saving", "measured scale-0.5-forget"),
    "composition uld": ("step 3", "saved"),
    "lora-init": ("step 3", "saving"),
}
STEPS = [f"step {number}" for number in (1, 2, 3, 4)]
QUICK = [
    ("eval-every", signal.SIGINT, "step 3"),
    ("eval-every", signal.SIGTERM, "step 2"),
    ("eval-every", signal.SIGINT, "measured at step 1"),
    ("eval-every", signal.SIGINT, "measured after-forget"),
    ("stop-when", signal.SIGINT, "measured at step 1"),
    ("stop-when", signal.SIGTERM, "checkpoint 2"),
    ("a procedure", signal.SIGINT, "step 2"),
    ("composition uld", signal.SIGTERM, "step 3"),
    ("calibrate", signal.SIGINT, "saving"),
]
tried: list[tuple[str, str, str]] = []  # (option, signal, point)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[str, str]:
    folder, counts = tmp_path_factory.mktemp("rows"), {"forget": 4, "retain": 8}
    return {name: str(write_rows(folder / f"{name}.jsonl", splits()[name][:count])) for name, count in counts.items()}


def forget(rows: dict[str, str], option: str, run: Path, **more: Any) -> None:
    """A run with an option; one that diverged or changed nothing is a whole run as well."""
    try:
        unlearn_cli.forget(**{**FEW, **rows, **OPTIONS[option], "output_dir": run, **more})
    except UnlearnError as error:
        if error.exit_code != 4:
            raise


@pytest.fixture(scope="module")
def wholes(rows, tmp_path_factory):
    """Option -> an uninterrupted run, and the states that SIGKILL leaves at each of its points."""
    known: dict[str, tuple[Path, dict[str, Path]]] = {}

    def whole(option: str) -> tuple[Path, dict[str, Path]]:
        if option not in known:
            folder = tmp_path_factory.mktemp("whole")
            run = folder / "run"
            known[option] = run, killed_at_every_point(lambda: forget(rows, option, run), run, folder / "states")
        return known[option]

    return whole


def resumed(rows: dict[str, str], option: str, state: Path, run: Path) -> None:
    shutil.copytree(state, run)
    forget(rows, option, run, resume=True)


def killed(rows, wholes, option: str, tmp_path: Path, chosen) -> None:
    whole, states = wholes(option)
    before = len(tried)
    for number, (point, state) in enumerate(states.items()):
        if not chosen(point):
            continue
        run = tmp_path / f"{number}"
        resumed(rows, option, state, run)
        assert differences(run, whole) == [], f"SIGKILL at {point}"
        tried.append((option, "SIGKILL", point))
    assert len(tried) > before, f"none of these points: {list(states)}"


# A run with the first keeps nothing between steps that one with the second does not: a checkpoint without it fails there.
ALIKE = {
    "plain": "eval-every", "robust sam": "eval-every", "composition whp": "composition uld",
    "composition offset": "composition uld",
}  # fmt: skip


@pytest.mark.parametrize("option", [pytest.param(o, marks=pytest.mark.slow) if o in ALIKE else o for o in OPTIONS])
def test_killed(rows, wholes, option, tmp_path):
    killed(rows, wholes, option, tmp_path, lambda point: point in POINTS.get(option, ("step 3",)))


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
def test_killed_at_every_point(rows, wholes, option, tmp_path):
    killed(rows, wholes, option, tmp_path, lambda point: True)


def sweep(rows: dict[str, str], folder: Path) -> None:
    unlearn_cli.sweep(**FEW, **rows, seeds=(0, 1), output_dir=folder)


@pytest.fixture(scope="module")
def whole_sweep(rows, tmp_path_factory) -> tuple[Path, dict[str, Path]]:
    folder = tmp_path_factory.mktemp("sweep")
    return folder / "s", killed_at_every_point(lambda: sweep(rows, folder / "s"), folder / "s", folder / "states")


SWEEP_POINTS = ("npo-seed=0: saving", "npo-seed=1: step 3", "npo-seed=1: reporting")


@pytest.mark.parametrize("point", SWEEP_POINTS)
def test_a_sweep_that_was_killed(rows, whole_sweep, point, tmp_path):
    """The same command goes on, and each of its runs is as it would have been."""
    whole, states = whole_sweep
    shutil.copytree(states[point], tmp_path / "s")
    sweep(rows, tmp_path / "s")
    for run in ("npo-seed=0", "npo-seed=1"):
        assert differences(tmp_path / "s" / run, whole / run) == [], run
    tried.append(("a run of a sweep", "SIGKILL", point))


def test_a_sweep_that_was_stopped(rows, whole_sweep, tmp_path):
    with signaled(signal.SIGINT, "step 3") as delivered, pytest.raises(Interrupted):
        sweep(rows, tmp_path / "s")
    assert delivered
    sweep(rows, tmp_path / "s")
    for run in ("npo-seed=0", "npo-seed=1"):
        assert differences(tmp_path / "s" / run, whole_sweep[0] / run) == [], run
    tried.append(("a run of a sweep", "SIGINT", "step 3"))


def stopped_and_resumed(rows, wholes, option: str, number: signal.Signals, point: str, tmp_path: Path) -> None:
    whole, states = wholes(option)
    if point not in states:
        pytest.skip(f"no '{point}' in a run with {option}")
    run = tmp_path / "run"
    with signaled(number, point) as delivered, pytest.raises((Interrupted, KeyboardInterrupt)):
        forget(rows, option, run)
    assert delivered and not (run / "report.json").exists()
    forget(rows, option, run, resume=True)
    assert differences(run, whole) == []
    tried.append((option, number.name, point))


@pytest.mark.parametrize(("option", "number", "point"), QUICK)
def test_stopped(rows, wholes, option, number, point, tmp_path):
    stopped_and_resumed(rows, wholes, option, number, point, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    ("number", "point"),
    [(number, step) for number in (signal.SIGINT, signal.SIGTERM) for step in STEPS]
    # Outside of training SIGTERM ends the process at once, as SIGKILL does.
    + [(signal.SIGINT, point) for point in ("preparing", "measured at step 1", "saving", "saved", "measured after-forget")],
)
def test_stopped_anywhere(rows, wholes, option, number, point, tmp_path):
    stopped_and_resumed(rows, wholes, option, number, point, tmp_path)


def test_the_options_come_to_what_they_are_here_for(wholes):
    """Otherwise equal runs would prove nothing."""
    import json

    def report(option: str) -> dict:
        return json.loads((wholes(option)[0] / "report.json").read_text())

    assert report("stop-when")["training"]["steps"] == 2
    assert report("forget-loss-floor")["training"]["steps"] < 4
    assert 0 < report("calibrate")["calibration"]["scale"] < 1
    assert len(report("eval-every")["training"]["trajectory"]) == 3
