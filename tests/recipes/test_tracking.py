"""`--report-to`, with a tracker of this test's own in the place of one that is not installed."""

from __future__ import annotations

import importlib.util
import json

import accelerate.tracking
import pytest

from tests.cli.running import QUICK, data_arguments, unlearn
from unlearn_cli.recipes import tracking


class Written(accelerate.tracking.GeneralTracker):
    name, requires_logging_directory = "trackio", False
    told: list = []  # noqa: RUF012

    def __init__(self, run_name: str) -> None:
        super().__init__()

    @property
    def tracker(self):
        return self

    def start(self) -> None:
        self.told.append("start")

    def store_init_configuration(self, values: dict) -> None:
        self.told.append(values)

    def log(self, values: dict, step: int | None) -> None:
        self.told.append((step, values))

    def finish(self) -> None:
        self.told.append("finish")


def test_every_step_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "trackio", Written)
    monkeypatch.setattr(tracking, "find_spec", lambda name: True)
    result = unlearn("forget", *data_arguments(tmp_path), *QUICK, "--report-to", "trackio", "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    start, settings, *steps, finish = Written.told
    assert (start, finish) == ("start", "finish") and settings["method"] == "npo"
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(step, told["forget_loss"]) for step, told in steps] == [(x["step"], x["forget_loss"]) for x in lines]
    assert all(isinstance(value, (int, float)) for _, told in steps for value in told.values())


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_refused_at_once(name, tmp_path):
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    result = unlearn("forget", *data_arguments(tmp_path), "--report-to", name, "-o", tmp_path / "run")
    assert result.exit_code == 2 and f"pip install {name}" in result.stderr and not (tmp_path / "run").exists()
