"""Measurements out of other projects' logs: TOFU's `eval_log_aggregated.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.errors import UnlearnError
from unlearn_cli.measured import Measured

SPLITS = {
    "eval_log_forget.json": "forget",
    "eval_log.json": "retain",
    "eval_real_author_wo_options.json": "real_authors",
    "eval_real_world_wo_options.json": "world_facts",
}
# What such a log allows: it holds losses and answers, and nothing of single tokens.
METRICS = (
    "probability", "nll", "normalized_probability", "rouge_l", "truth_ratio", "truth_ratio_arith", "truth_ratio_prob",
    "forget_quality", "model_utility", "repetition", "ngram_entropy", "empty_answers",
)  # fmt: skip


def read_log(path: Path) -> dict[str, Measured]:
    """Splits of a log, by name; values by row number, or in a list.

    Raises:
        UnlearnError: not such a log.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UnlearnError(f"{path}: {error}", "--measured takes a run folder or TOFU's eval_log_aggregated.json") from None
    found = {split: read[name] for name, split in SPLITS.items() if isinstance(read, dict) and name in read}
    if not found:
        raise UnlearnError(f"{path} is no log of TOFU's", f"it would hold {', '.join(SPLITS)}")
    return {split: _measured(split, values, path) for split, values in found.items()}


def _measured(split: str, log: Mapping[str, Any], path: Path) -> Measured:
    try:
        losses, ids = _column(log["avg_gt_loss"])
        texts, _ = _column(log["generated_text"])
        wrong, _ = _column(log["average_perturb_loss"])
        own = _column(log["avg_paraphrased_loss"])[0] if "avg_paraphrased_loss" in log else None
    except KeyError as error:
        raise UnlearnError(f"{path}: {split} has no {error}", "an older form of the log, or one cut short") from None
    rows = len(losses)
    # One pseudo-token a row, whose log-probability is the mean over the answer: the log holds no more.
    return Measured(
        split=split,
        ids=ids,
        prompts=tuple(text[0] for text in texts),
        golds=tuple(text[2] for text in texts),
        generations=tuple(text[1] for text in texts),
        token_logps=-np.array(losses, dtype=np.float64),
        hits=np.zeros(rows, dtype=bool),
        mu=np.zeros(rows, dtype=np.float32),
        sigma=np.zeros(rows, dtype=np.float32),
        offsets=np.arange(rows + 1),
        ends=np.zeros(rows, dtype=bool),
        rows_in_split=rows,
        # On real authors and world facts the log's "paraphrase" is the true answer, scored a second time.
        paraphrased_logps=None if own is None else -np.array(own, dtype=np.float64),
        perturbed_logps=-np.array(wrong, dtype=np.float64),
    )


def _column(values: Any) -> tuple[list[Any], tuple[str, ...]]:
    if isinstance(values, Mapping):
        names = sorted(values, key=int)
        return [values[name] for name in names], tuple(names)
    return list(values), tuple(map(str, range(len(values))))
