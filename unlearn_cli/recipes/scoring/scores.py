"""From measurements of several moments to the report's scores; no model is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.atomic import write_atomically
from unlearn_cli.config import MeasuringOptions
from unlearn_cli.contract import METRICS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.score import row_values, score
from unlearn_cli.measured import Measured, differing
from unlearn_cli.report import Compared, PassReport, Score, Scores

BOOTSTRAP_SEED = 0  # one for all commands: equal measurements have equal intervals


def compared(
    moments: Mapping[str, Mapping[str, Measured]], options: MeasuringOptions, metrics: tuple[str, ...] = ()
) -> Scores:
    """Scores of all moments side by side: split -> metric -> before, after, baseline.

    Raises:
        UnlearnError: two of them were measured otherwise; `measured_alike` leaves such splits out and says so.
    """
    if unlike := not_alike(moments):
        raise UnlearnError("; ".join(unlike.values()), "measure both with the same rows, template, limits and precision")
    names = [METRICS.canonical(name) for name in metrics] or METRICS.names()
    scored = {
        moment: score(
            names,
            measured,
            samples=options.bootstrap_samples,
            seed=BOOTSTRAP_SEED,
            baseline=moments.get("baseline") if moment != "baseline" else None,
            before=moments.get("before"),
            parameters=_by_metric(options.metric_parameters),
        )
        for moment, measured in moments.items()
    }
    return merge(scored)


def not_alike(moments: Mapping[str, Mapping[str, Measured]]) -> dict[tuple[str, str], str]:
    """By moment and split, in words, what was measured otherwise than the model under test."""
    told = {}
    for moment, splits in moments.items():
        for split, measured in splits.items():
            after = moments["after"].get(split)
            if after is not None and (parts := differing(measured, after)):
                told[moment, split] = f"the {split} {moment} was measured otherwise ({', '.join(parts)} differ)"
    return told


def measured_alike(
    moments: Mapping[str, dict[str, Measured]], notes: Callable[[str], None]
) -> dict[str, dict[str, Measured]]:
    """The moments without those splits that were measured otherwise than the model under test, which is said."""
    unlike = not_alike(moments)
    for words in unlike.values():
        notes(f"{words}: its scores are left out")
    left = {
        moment: {split: measured for split, measured in splits.items() if (moment, split) not in unlike}
        for moment, splits in moments.items()
    }
    return {moment: splits for moment, splits in left.items() if splits}


def _by_metric(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`rouge_l.stem=false` as {"rouge_l": {"stem": false}}.

    Raises:
        UnlearnError: no metric of that name, or no parameter named.
    """
    made: dict[str, dict[str, Any]] = {}
    for key, value in given.items():
        name, dot, parameter = key.partition(".")
        if not dot:
            raise UnlearnError(f"--metric-parameter {key}: which metric's?", "for example rouge_l.stem=false")
        made.setdefault(METRICS.canonical(name).replace("-", "_"), {})[parameter] = value
    return made


def write_rows(measured: Mapping[str, Measured], options: MeasuringOptions, metrics: tuple[str, ...], path: Path) -> None:
    """Every metric's value for every row, one line a row: its split, its id, and numbers; no text."""
    given, lines = _by_metric(options.metric_parameters), []
    declared = [METRICS.get(name) for name in metrics or METRICS.names()]
    for split, values in measured.items():
        columns = {
            m.name: row_values(m.name, values, m.resolve(given.get(m.name, {})))
            for m in declared
            if m.needs == ("split",) and (not m.splits or split in m.splits)
        }
        for row, name in enumerate(values.ids):
            numbers = {m: float(c[row]) for m, c in columns.items() if c is not None and np.isfinite(c[row])}
            lines.append(json.dumps({"split": split, "id": name, **numbers}))
    write_atomically(path, "\n".join(lines) + "\n")


def passes(moments: Mapping[str, Mapping[str, Measured]]) -> dict[str, dict[str, PassReport]]:
    """What measuring cost: split -> moment."""
    made: dict[str, dict[str, PassReport]] = {}
    for moment, splits in moments.items():
        for split, m in splits.items():
            counted = {field: getattr(m, field) for field in PassReport.model_fields}
            made.setdefault(split, {})[moment] = PassReport(**counted)
    return made


def merge(scored: Mapping[str, Mapping[str, Mapping[str, Score]]]) -> Scores:
    """moment -> split -> metric -> Score to split -> metric -> Compared."""
    made: dict[str, dict[str, dict[str, Score]]] = {}
    for moment, splits in scored.items():
        for split, metrics in splits.items():
            for metric, value in metrics.items():
                made.setdefault(split, {}).setdefault(metric, {})[moment] = value
    return {split: {m: Compared(**moments) for m, moments in metrics.items()} for split, metrics in made.items()}
