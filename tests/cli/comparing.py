"""Run folders made of numbers alone, for tests of `unlearn compare`: no model is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.cli.running import unlearn
from unlearn_cli.attack_report import SCORED, AttackReport
from unlearn_cli.config import EvaluateConfig, ForgetConfig
from unlearn_cli.report import Compared, RunReport, Score, write_report
from unlearn_cli.report_parts import DataReport, ModelReport

TARGETS = {"forget": "min", "retain": "max", "holdout": None}


def write_run(folder: Path, values: Mapping[str, Any], *, command: str = "forget", sha: Mapping[str, str] | None = None,
         template: str = "t", targets: Mapping[str, str | None] | None = None, training: Mapping[str, Any] | None = None,
         **config: Any) -> Path:  # fmt: skip
    """A run folder.

    Args:
        folder: where.
        values: SPLIT.METRIC to values of rows, or to a Score.
        command: forget or evaluate.
        sha: of splits' rows, where they are not the usual ones.
        template: fingerprint of the chat template.
        targets: of metrics, where they are not the split's.
        training: the report's part on training.
        config: settings.
    """
    scores: dict[str, dict[str, Compared]] = {}
    rows: dict[tuple[str, int], dict[str, float]] = {}
    count: dict[str, int] = {}
    for metric, row_values in values.items():
        split, _, name = metric.partition(".")
        if isinstance(row_values, Score):
            scores.setdefault(split, {})[name] = Compared(after=row_values)
            continue
        count[split] = len(row_values)
        for row, value in enumerate(row_values):
            rows.setdefault((split, row), {})[name] = float(value)
        target = (targets or {}).get(metric, TARGETS.get(split))
        scores.setdefault(split, {})[name] = Compared(
            after=Score(value=float(np.mean(row_values)), n=len(row_values), target=target)
        )
    model = ModelReport(
        model="m", revision=None, architecture="a", parameters=1, trainable_parameters=1, dtype="float32", quantization=None,
        layout="packed", chat_template_sha256=template, weights_sha256=None,
    )  # fmt: skip
    data = {
        split: DataReport(
            spec=split, files=[], format="f", revision=None, sha256=(sha or {}).get(split, split), rows=n, rows_in_source=n,
            sequences=n, tokens=n, answer_tokens=n, truncated_rows=0, truncated_tokens=0, measured_rows=n,
        )
        for split, n in count.items()
    }  # fmt: skip
    settings = (ForgetConfig if command == "forget" else EvaluateConfig)().model_dump(mode="json") | config
    report = RunReport(
        command=command, status="completed", command_line=[command], started="2026-01-01T00:00:00", config=settings,
        config_sources={}, environment={}, model=model, data=data, scores=scores, training=training,
    )  # fmt: skip
    write_report(report, folder)
    lines = [json.dumps({"split": split, "id": f"{split}-{row}", **row_values}) for (split, row), row_values in rows.items()]
    (folder / "rows.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


def attack_report(name: str = "relearn", **changes: Any) -> AttackReport:
    """Of an attack with a baseline and a control: two models at two places under one setting."""
    setting = {"learning_rate": 1e-4, "seed": 0}
    points = [{"at": at, "forget": dict.fromkeys(SCORED, 0.1), "retain": {"probability": 0.9}} for at in (0, 5)]
    recovery = {
        "start": 0.1, "max": 0.3, "ci": [0.2, 0.4], "at": 5, "parameters": {"learning_rate": 1e-4}, "gain": 0.0,
        "points": [{"at": at, "parameters": {"learning_rate": 1e-4}, "value": 0.3, "ci": [0.2, 0.4]} for at in (0, 5)],
    }  # fmt: skip
    return AttackReport.model_validate({
        "attack": name, "along": "step", "run": "run", "verdict": "30% came back", "upper_bound": False,
        "config": {"baseline": ["b"]}, "environment": {}, "forget_sha256": "f", "judged_rows": 2, "attacker_rows": 2,
        "overlap": 0, "curves": [{"role": r, "parameters": setting, "points": points} for r in ("unlearned", "baseline")],
        "recovery": dict.fromkeys(SCORED, recovery), "seconds": 1.0,
        "budget": {"curves": 1, "steps": 5, "learning_rates": [1e-4], "seeds": [0], "rows": 2},
        "control": {"run": "weak", "start": 0.1, "max": 0.9, "at": 5, "succeeded": True},
    } | changes)  # fmt: skip


def around(mean: float, rows: int = 50, seed: int = 0, noise: float = 0.01) -> np.ndarray:
    """Values of rows with exactly this mean; the same rows for every call, and noise of its own for each seed."""
    drawn = np.random.default_rng(99).normal(0, 0.05, rows) + np.random.default_rng(seed).normal(0, noise, rows)
    return drawn - drawn.mean() + mean


def both(forget: float, retain: float, seed: int = 0, rows: int = 50) -> dict[str, np.ndarray]:
    """Probabilities of both splits."""
    return {"forget.probability": around(forget, rows, seed), "retain.probability": around(retain, rows, seed)}


def compared(*arguments: object) -> dict:
    """What `compare --json` says."""
    result = unlearn("compare", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(*arguments: object) -> str:
    """The words of a comparison that is refused."""
    result = unlearn("compare", *arguments)
    assert result.exit_code == 2, result.stdout + result.stderr
    return " ".join(result.stderr.split())


def values(summary: dict, metric: str, what: str = "value") -> dict[str, Any]:
    """One metric of every row, by name."""
    return {run["name"]: run["values"][metric][what] for run in summary["runs"]}


def verdicts(summary: dict, metric: str) -> dict[str, str | None]:
    """What is said of each row: `best`, a verdict, or None."""
    words = {}
    for run in summary["runs"]:
        score = run["values"][metric]
        words[run["name"]] = "best" if score["best"] else (score["difference"] or {}).get("verdict")
    return words


def names(summary: dict) -> Sequence[str]:
    """Rows in their order."""
    return [run["name"] for run in summary["runs"]]
