"""Measurements out of other projects' logs: TOFU's `eval_log_aggregated.json`, open-unlearning's `TOFU_EVAL.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import read_object
from unlearn_cli.measured import Measured

SPLITS = {
    "eval_log_forget.json": "forget",
    "eval_log.json": "retain",
    "eval_real_author_wo_options.json": "real_authors",
    "eval_real_world_wo_options.json": "world_facts",
}
# What such a log allows: it has losses and answers, but no values of single tokens.
METRICS = (
    "probability", "nll", "normalized_probability", "rouge_l", "truth_ratio", "truth_ratio_arith", "truth_ratio_prob",
    "forget_quality", "model_utility", "repetition", "ngram_entropy", "empty_answers", "rouge_1", "rouge_l_f1",
    "refusal_rate", "choice_accuracy",
)  # fmt: skip
KNOWN = "--measured takes a run folder, TOFU's eval_log_aggregated.json, or open-unlearning's TOFU_EVAL.json"
PREFIXES = {"forget": "forget", "retain": "retain", "ra": "real_authors", "wf": "world_facts"}


def read_log(path: Path) -> dict[str, Measured]:
    """Splits of a log, by name. TOFU's log has values by row number, or in a list.

    Raises:
        UnlearnError: the file is not such a log.
    """
    read = read_object(path, KNOWN)
    splits = {split: _tofu(read[name], path, split) for name, split in SPLITS.items() if name in read}
    splits |= {
        split: _open_unlearning(read, prefix, path) for prefix, split in PREFIXES.items() if f"{prefix}_Q_A_Prob" in read
    }
    if not splits:
        raise UnlearnError(f"{path} is not a log of TOFU or open-unlearning", KNOWN)
    return {split: _measured(split, columns) for split, columns in splits.items()}


Columns = dict[str, Any]


def _tofu(log: Mapping[str, Any], path: Path, split: str) -> Columns:
    try:
        losses, ids = _column(log["avg_gt_loss"])
        texts, _ = _column(log["generated_text"])
        wrong, _ = _column(log["average_perturb_loss"])
        # On real authors and world facts the log's "paraphrase" is the true answer, scored a second time.
        paraphrased = _column(log["avg_paraphrased_loss"])[0] if "avg_paraphrased_loss" in log else None
    except KeyError as error:
        raise UnlearnError(f"{path}: {split} has no {error}", "an older form of the log, or one cut short") from None
    return {"ids": ids, "losses": losses, "paraphrased": paraphrased, "wrong": wrong, "texts": texts}


def _open_unlearning(log: Mapping[str, Any], prefix: str, path: Path) -> Columns:
    """Rows of `PREFIX_Q_A_Prob`, with what the log holds of their other answers."""

    def rows(kind: str) -> dict[str, Any] | None:
        name = f"{prefix}_Q_A_{kind}"
        if name not in log:
            return None
        try:
            return {str(key): value for key, value in log[name]["value_by_index"].items()}
        except (KeyError, TypeError, AttributeError):
            raise UnlearnError(
                f"{path}: {name} has no value_by_index", "a summary holds no rows; give the full log"
            ) from None

    def losses(by_row: dict[str, Any] | None) -> list[Any] | None:
        return None if by_row is None else [by_row[i]["avg_loss"] for i in ids]

    probability, answers = rows("Prob"), rows("ROUGE")
    ids = tuple(sorted(probability or {}, key=int))
    try:
        texts = (
            [(answers[i]["input"], answers[i]["generation"], answers[i]["ground_truth"]) for i in ids] if answers else None
        )
        return {
            "ids": ids,
            "losses": losses(probability),
            "paraphrased": losses(rows("PARA_Prob")),
            "wrong": losses(rows("PERT_Prob")),
            "texts": texts or [("", None, "")] * len(ids),
        }
    except KeyError as error:
        raise UnlearnError(
            f"{path}: {prefix} rows lack {error}", "the log was cut short, or is of another version"
        ) from None


def _measured(split: str, columns: Columns) -> Measured:
    rows, paraphrased, wrong = len(columns["ids"]), columns["paraphrased"], columns["wrong"]
    # One pseudo-token a row, whose log-probability is the mean over the answer: the logs give no more.
    return Measured(
        split=split,
        ids=tuple(columns["ids"]),
        prompts=tuple(text[0] for text in columns["texts"]),
        references=tuple(text[2] for text in columns["texts"]),
        generations=tuple(text[1] for text in columns["texts"]),
        token_logps=-np.array(columns["losses"], dtype=np.float64),
        is_argmax=np.zeros(rows, dtype=bool),
        mu=np.zeros(rows, dtype=np.float32),
        sigma=np.zeros(rows, dtype=np.float32),
        offsets=np.arange(rows + 1),
        ends=np.zeros(rows, dtype=bool),
        rows_in_split=rows,
        paraphrased_logps=None if paraphrased is None else -np.array(paraphrased, dtype=np.float64),
        perturbed_logps=None if wrong is None else -np.array(wrong, dtype=np.float64).reshape(rows, -1),
    )


def _column(values: Any) -> tuple[list[Any], tuple[str, ...]]:
    if isinstance(values, Mapping):
        names = sorted(values, key=int)
        return [values[name] for name in names], tuple(names)
    return list(values), tuple(map(str, range(len(values))))
