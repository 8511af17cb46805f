"""How the runs of a sweep rank, from statuses and scores alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from unlearn_cli.config import ForgetConfig
from unlearn_cli.expressions.parser import Missing
from unlearn_cli.recipes.storage.run_spec import RunSpec
from unlearn_cli.recipes.sweeping import objective
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


LEVEL, KEEP = 0.06, 0.95
AIMED = {  # forget probability after unlearning, share of the retain probability that is left
    "at the level": (0.05, 0.99),
    "far below the level": (0.0001, 0.96),
    "above the level": (0.2, 1.0),
    "hardly anything forgotten": (0.9, 1.0),
    "forgets, keeps too little": (0.01, 0.9),
}


@pytest.mark.parametrize("aimed", [True, False], ids=["with a target", "without a target"])
def test_without_a_score_the_target_ranks(monkeypatch, aimed):
    """Of runs that reach the level the best keeps most. To forget below the level wins nothing."""

    def report(folder: Path) -> SimpleNamespace:
        forget, share = AIMED[str(folder)]
        moments = {"forget": (0.6, forget), "retain": (1.0, share)}
        values = {name: [SimpleNamespace(value=value) for value in pair] for name, pair in moments.items()}
        scores = {name: {"probability": SimpleNamespace(before=b, after=a)} for name, (b, a) in values.items()}
        target = SimpleNamespace(
            forget=forget, level=LEVEL, forget_reached=forget <= LEVEL, rows_above=int(forget > LEVEL), rows=4,
            retain_share=share, keep=KEEP, retain_reached=share >= KEEP,
        )  # fmt: skip
        return SimpleNamespace(status="completed", scores=scores, target=target if aimed else None)

    monkeypatch.setattr(module, "read_report", report)
    monkeypatch.setattr(objective, "KEPT", KEEP)
    runs = [ScheduledRun(Setting(n, n, {}), Path(n), ForgetConfig(output_dir=n), {}, 1.0, SPEC, "finished") for n in AIMED]
    best = ranked(reversed(runs), None)
    assert [one.setting.name for one in best] == list(AIMED)
    assert best[0].score == pytest.approx(-0.01) and best[-1].lacks
