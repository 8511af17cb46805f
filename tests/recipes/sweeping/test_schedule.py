"""How the runs of a sweep rank, from statuses and scores alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from unlearn_cli.config import ForgetConfig
from unlearn_cli.expressions.parser import Missing
from unlearn_cli.recipes.storage.run_spec import RunSpec
from unlearn_cli.recipes.sweeping import schedule as module
from unlearn_cli.recipes.sweeping.grid import Setting
from unlearn_cli.recipes.sweeping.schedule import ScheduledRun, better_half, ranked

SPEC = RunSpec({}, "model", {}, {})
RUNS = {  # status and score of each seed
    "lucky": [("completed", 0.9), ("completed", 0.1)],
    "steady": [("completed", 0.6), ("completed", 0.7)],
    "wrecked": [("collapsed", 1.0), ("diverged", 1.0)],
    "half": [("completed", 0.8), ("collapsed", 0.8)],
    "untold": [("completed", None), ("completed", None)],
    "negative": [("stopped", -0.5), ("stopped", -0.4)],
}


@pytest.fixture
def runs(monkeypatch) -> list[ScheduledRun]:
    scheduled, reports = [], {}
    for group, seeds in RUNS.items():
        for seed, (status, score) in enumerate(seeds):
            folder = Path(f"{group}-seed={seed}")
            reports[folder] = SimpleNamespace(status=status, scores=score)
            setting = Setting(folder.name, group, {})
            scheduled.append(ScheduledRun(setting, folder, ForgetConfig(output_dir=folder), {}, 1.0, SPEC, "finished"))
    monkeypatch.setattr(module, "read_report", reports.get)
    monkeypatch.setattr(module, "lookup_in", lambda scores: scores)
    return scheduled


def score(value: float | None) -> float:
    if value is None:
        raise Missing("no value")
    return value


def test_settings_rank_by_the_mean_of_their_seeds_and_failures_last(runs):
    best = ranked(runs, score)
    assert list(dict.fromkeys(one.setting.group for one in best)) == [
        "steady", "lucky", "negative", "untold", "half", "wrecked",
    ]  # fmt: skip
    assert [one.setting.name for one in best[:4]] == ["steady-seed=1", "steady-seed=0", "lucky-seed=0", "lucky-seed=1"]


def test_the_better_half_keeps_all_seeds(runs):
    """Also one that has no report this time."""
    settings = [one.setting for one in runs]
    better = better_half(ranked(runs[1:], score), settings)
    assert sorted(setting.name for setting in better) == sorted(
        f"{group}-seed={seed}" for group in ("steady", "lucky", "negative") for seed in (0, 1)
    )
