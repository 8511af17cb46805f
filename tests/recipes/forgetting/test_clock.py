"""The seconds of a run's phases."""

from __future__ import annotations

import pytest

from unlearn_cli.recipes.forgetting import resolved_run
from unlearn_cli.recipes.forgetting.resolved_run import Clock


@pytest.fixture
def now(monkeypatch):
    """Reads and sets the time."""
    times = [100.0]
    monkeypatch.setattr(resolved_run.time, "perf_counter", lambda: times[0])

    def later(seconds: float) -> None:
        times[0] += seconds

    return later


def test_a_phase_inside_another_counts_once(now):
    """2 + 3 of training around two probes of 10 and 20: 35 in all, and not 65."""
    clock = Clock()
    now(7)
    with clock.phase("train"):
        now(2)
        for probe in (10, 20):
            with clock.phase("probes"):
                now(probe)
        now(3)
    now(50)
    assert clock.seconds == {"train": 5, "probes": 30}


def test_seconds_of_an_open_phase_and_of_an_earlier_session(now):
    clock = Clock()
    with clock.phase("train"):
        now(4)
        clock.count()
        assert clock.seconds == {"train": 4}
        now(1)
    clock.add({"train": 10, "load": 2})
    assert clock.seconds == {"train": 15, "load": 2}


def test_a_phase_that_fails_is_counted(now):
    clock = Clock()
    with pytest.raises(ValueError, match="no"), clock.phase("load"):
        now(3)
        raise ValueError("no")
    with clock.phase("train"):
        now(1)
    assert clock.seconds == {"load": 3, "train": 1}
