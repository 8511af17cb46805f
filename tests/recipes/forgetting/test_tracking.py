"""`--report-to`, with a tracker of this test's own in the place of one that is not installed."""

from __future__ import annotations

import json

import accelerate.tracking
import pytest

from tests.cli.running import QUICK, data_arguments, unlearn
from unlearn_cli.recipes.forgetting import tracking


class Written(accelerate.tracking.GeneralTracker):
    name, requires_logging_directory = "trackio", False
    calls: list = []

    def __init__(self, run_name: str, name: str) -> None:
        super().__init__()
        self.calls.append((run_name, name))

    @property
    def tracker(self):
        return self

    def start(self) -> None:
        self.calls.append("start")

    def store_init_configuration(self, values: dict) -> None:
        self.calls.append(values)

    def log(self, values: dict, step: int | None) -> None:
        self.calls.append((step, values))

    def finish(self) -> None:
        self.calls.append("finish")


def test_every_step_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "trackio", Written)
    monkeypatch.setattr(tracking, "find_spec", lambda name: True)
    result = unlearn("forget", *data_arguments(tmp_path), *QUICK, "--report-to", "trackio", "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    named, start, settings, *steps, finish = Written.calls
    assert named == ("unlearn", "run") and (start, finish) == ("start", "finish") and settings["method"] == "npo"
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(step, message["forget_loss"]) for step, message in steps] == [(x["step"], x["forget_loss"]) for x in lines]
    assert all(isinstance(value, (int, float)) for _, message in steps for value in message.values())


def test_tensorboard_reads_what_it_was_told(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = unlearn("forget", *data_arguments(tmp_path), *QUICK, "--report-to", "tensorboard", "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    (file,) = (tmp_path / "run" / "tracking").glob("events*")
    read = EventAccumulator(str(file)).Reload()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    message = [(event.step, event.value) for event in read.Scalars("forget_loss")]
    assert message == [(line["step"], pytest.approx(line["forget_loss"], rel=1e-6)) for line in lines]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_refused_at_once(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda module: None if module == name else True)
    result = unlearn("forget", *data_arguments(tmp_path), "--report-to", name, "-o", tmp_path / "run")
    assert result.exit_code == 2 and f"pip install {name}" in result.stderr and not (tmp_path / "run").exists()
