"""The runs behind `docs/reference/reproductions.md`: which rows, which flags, and which numbers are kept of each.

A cell is one run with one seed. Cells of one experiment share their rows, and differ in method and flags.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unlearn_cli.config import ForgetConfig, resolve
from unlearn_cli.console import Reporter
from unlearn_cli.data.batch import pack
from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.measured import Measured
from unlearn_cli.models.adapter import reference_weights
from unlearn_cli.models.forward import answer_logits
from unlearn_cli.models.load import load_model
from unlearn_cli.recipes.forgetting.prepare import PreparedRun, prepare
from unlearn_cli.recipes.forgetting.resolved_run import resolve_run

MODELS = {"small": "tofu-mini-full", "real": "smollm2-tofu-full"}
BASELINES = {"small": "tofu-mini-retain90", "real": "smollm2-tofu-retain"}
FLAGS = (
    "--no-target", "--no-general", "--retain-held-out", "0", "--eval-limit", "80", "--generate-limit", "24",
    "--max-new-tokens", "48", "--bootstrap-samples", "100", "--offline", "--quiet",
)  # fmt: skip
# All methods go as far, and what it cost is compared; a method that never gets there stops at --max-steps.
TO_ONE_LEVEL = ("--stop-when", "forget.probability < 0.1", "--eval-every", "5", "--max-steps", "150")
FIXED_RATE = ("--lr-scheduler-type", "constant", "--warmup-ratio", "0")
KEPT = {
    "forget": ("probability", "rouge_l", "gibberish", "repetition", "ngram_entropy"),
    "retain": ("probability", "rouge_l", "gibberish", "repetition"),
}
PUBLISHED_BETA = 0.1  # of NPO; SimNPO's weights are taken at its own default
MARKS = (0, 1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100)  # steps at which the distance from the start is taken
KL_ROWS = 24


@dataclass(frozen=True)
class Cell:
    """One run: `experiment/name/seed`."""

    experiment: str
    name: str
    flags: tuple[str, ...]
    seed: int = 0
    model: str = "small"
    forget: int = 40  # rows to forget
    retain: int = 160  # rows to keep that training sees
    kind: str = "run"  # run, curve, attack
    share: int | None = None  # per cent of one set of 320 rows that is to be forgotten; the rest is kept

    @property
    def key(self) -> str:
        """The name of the cell in the file."""
        return f"{self.experiment}/{self.name}/{self.model}/{self.seed}"


def rows(shared: Path, cell: Cell, folder: Path) -> list[str]:
    """--forget, --retain and --retain-eval for a cell; what judges is trained on in no cell."""
    data = shared / "data" / ("tofu-mini" if cell.model == "small" else "tofu-real")
    forget, retain = (
        [json.loads(line) for line in (data / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("forget", "retain")
    )
    judged = retain[-100:] if cell.model == "small" else retain[-60:]
    if cell.share is None:
        parts = {"forget": forget[: cell.forget], "retain": retain[: min(cell.retain, len(retain) - len(judged))]}
    else:
        whole, cut = retain[:320], round(320 * (1 - cell.share / 100))
        parts = {"forget": whole[cut:], "retain": whole[:cut]}
    parts["judged"] = judged
    for name, some in parts.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    return [
        "--forget", str(folder / "forget.jsonl"), "--retain", str(folder / "retain.jsonl"),
        "--retain-eval", str(folder / "judged.jsonl"),
    ]  # fmt: skip


def place(shared: Path, real: Path | None, model: str, kinds: dict[str, str]) -> Path:
    """The folder of a model."""
    if model == "small":
        return shared / "models" / kinds["small"]
    if real is None:
        raise SystemExit("--real DIR is needed: it holds what ../shared/real/build.py DIR makes")
    return real / kinds["real"]


def measured_cell(cell: Cell, shared: Path, real: Path | None) -> dict[str, Any]:
    """Run one cell; its numbers."""
    with tempfile.TemporaryDirectory(prefix="reproduce-") as work:
        folder = Path(work)
        model = place(shared, real, cell.model, MODELS)
        arguments = [
            "--model", str(model), *rows(shared, cell, folder), *FLAGS, "--seed", str(cell.seed), *cell.flags,
            "--output-dir", str(folder / "run"),
        ]  # fmt: skip
        if cell.kind == "curve":
            return curve(arguments)
        numbers = command_line(arguments, folder / "run")
        if cell.kind == "attack" and numbers["status"] in ("completed", "stopped"):
            baseline = place(shared, real, cell.model, BASELINES)
            numbers |= attacked(folder / "run", baseline)
        return numbers


def command_line(arguments: Sequence[str], run: Path) -> dict[str, Any]:
    """`unlearn forget` in a process of its own; what its report says."""
    command = [sys.executable, "-m", "unlearn_cli", "forget", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if not (run / "report.json").is_file():
        return {"status": "failed", "message": done.stderr.strip()[-300:]}
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    numbers: dict[str, Any] = {"status": report["status"]}
    for split, metrics in KEPT.items():
        for metric in metrics:
            both = report["scores"].get(split, {}).get(metric, {})
            for moment in ("before", "after"):
                if both.get(moment):
                    numbers[f"{split}.{metric}.{moment}"] = rounded(both[moment]["value"])
    training = report["training"]
    numbers |= {
        "steps": training["steps"],
        "tokens": training["tokens"],
        "train_seconds": rounded(report["seconds"].get("train", 0.0), 1),
        "step_seconds": step_seconds(run / "metrics.jsonl"),
        "trained_weights": report["model"]["trainable_parameters"],
    }
    if report.get("calibration"):
        numbers["scale"] = rounded(report["calibration"]["scale"])
    before, after = (load_measured(run / "measured", f"{moment}-forget") for moment in ("before", "after"))
    if before is not None and after is not None:
        numbers |= unevenness(before, after)
    return numbers


def step_seconds(metrics: Path) -> float | None:
    """Seconds of an undisturbed step: the fastest quarter ends here. Other work on the machine makes the rest slower."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    seconds = [line["seconds"] for line in lines if "seconds" in line]
    return rounded(float(np.quantile(seconds, 0.25))) if seconds else None


def attacked(run: Path, baseline: Path) -> dict[str, Any]:
    """The recovery of probability under the tool's own relearning attack."""
    command = [
        sys.executable, "-m", "unlearn_cli", "relearn-attack", str(run), "--baseline", str(baseline), "--quiet",
        "--suite", "quick", "--attack", "relearn", "--eval-limit", "40", "--generate-limit", "-1", "--skip-original",
        "--bootstrap-samples", "100",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    path = run / "attacks" / "relearn" / "report.json"
    if not path.is_file():
        return {"attack": done.stderr.strip()[-300:]}
    recovery = json.loads(path.read_text(encoding="utf-8"))["recovery"]["probability"]
    return {"recovery": rounded(recovery["max"])}


def unevenness(before: Measured, after: Measured) -> dict[str, Any]:
    """How evenly the forget rows were forgotten, and how a method weighs them at its first step and at its last.

    NPO's gradient is that of ascent times 2 p^b / (p^b + p0^b), of whole answers; SimNPO's times 2 q^b / (1 + q^b) with the
    mean log-probability of a token, log q, and divided by the answer's length.
    """
    lengths = after.lengths.astype(float)
    summed = {"before": before.mean_logps * lengths, "after": after.mean_logps * lengths}
    npo_end = 2 / (1 + np.exp(-PUBLISHED_BETA * (summed["after"] - summed["before"])))
    beta = 4.5  # of SimNPO in its published TOFU setting
    start = 2 / (1 + np.exp(-beta * before.mean_logps)) / lengths
    kept = np.exp(after.mean_logps)
    hard = before.mean_logps
    return {
        "rows.std": rounded(float(np.std(kept))),
        "rows.most": rounded(float(np.max(kept))),
        "rows.by_length": rounded(rank_correlation(kept, lengths)),
        "rows.by_difficulty": rounded(rank_correlation(kept, hard)),
        "weights.npo.start": 1.0,  # of every row: policy and reference are the same
        "weights.npo.end_ratio": rounded(float(np.max(npo_end) / max(np.min(npo_end), 1e-12))),
        "weights.npo.by_length": rounded(rank_correlation(npo_end, lengths)),
        "weights.simnpo.start_ratio": rounded(float(np.max(start) / np.min(start))),
        "weights.simnpo.start_by_length": rounded(rank_correlation(start, lengths)),
    }


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho; 0 where one side is constant."""
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (a, b)]
    if any(np.std(rank) == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A number for the file."""
    return (
        None
        if value is None or not np.isfinite(value)
        else float(f"{value:.{digits}g}")
        if digits == 4
        else round(value, digits)
    )


def curve(arguments: Sequence[str]) -> dict[str, Any]:
    """KL(start || policy) of an answer token in nats, on rows to forget and to keep, along the steps of training."""
    flags = {
        name.removeprefix("--").replace("-", "_"): value for name, value in zip(arguments, arguments[1:], strict=False)
        if name.startswith("--")
    }  # fmt: skip
    flags = {name: True if value.startswith("--") else value for name, value in flags.items()}
    config, sources = resolve(ForgetConfig, flags, None)
    run = prepare(resolve_run(config, sources, Reporter(quiet=True)), load_model, None)
    distances: dict[str, list[tuple[int, float]]] = {"forget": [], "retain": []}
    started = time.perf_counter()

    def look(step: int) -> None:
        for name, points in distances.items():
            points.append((step, rounded(distance(run, name)) or 0.0))

    look(0)
    for record in run.records(0):
        if record.step in MARKS or record.step == run.steps:
            look(record.step)
    return {"status": "completed", "kl": distances, "seconds": round(time.perf_counter() - started, 1)}


@torch.no_grad()
def distance(run: PreparedRun, split: str) -> float:
    """Mean over answer tokens of KL(start || policy) on rows of one split."""
    passes = run.trainer.passes
    chosen = run.resolved.inputs[split].measured_rows[:KL_ROWS]
    total, tokens = 0.0, 0
    training = passes.model.training
    passes.model.eval()
    for first in range(0, len(chosen), 8):
        batch = pack({split: chosen[first : first + 8]}).to(passes.device)
        now = answer_logits(passes.model, batch, passes.layout).log_softmax(-1)
        with reference_weights(passes.model):
            start = answer_logits(passes.model, batch, passes.layout).log_softmax(-1)
        total += float((start.exp() * (start - now)).sum())
        tokens += len(now)
    passes.model.train(training)
    return total / tokens
