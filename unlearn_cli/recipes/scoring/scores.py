"""The report's scores from measurements of several moments. Loads no model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from unlearn_cli.atomic import write_atomically
from unlearn_cli.config import MeasuringOptions
from unlearn_cli.contract import METRICS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.paired import difference as paired_difference
from unlearn_cli.evaluation.score import row_values, score
from unlearn_cli.measured import Measured, differing
from unlearn_cli.recipes.scoring.ability import JUDGED
from unlearn_cli.recipes.scoring.metric_parameters import by_metric
from unlearn_cli.report import Change, Compared, Score, Scores
from unlearn_cli.report_parts import PassReport

BOOTSTRAP_SEED = 0  # the same for all commands, so that equal measurements have equal intervals


def compared(
    moments: Mapping[str, Mapping[str, Measured]], options: MeasuringOptions, metrics: tuple[str, ...] = ()
) -> Scores:
    """Scores of all moments: split -> metric -> before, after, baseline.

    Raises:
        UnlearnError: two moments of a split have different protocols; `comparable_moments` leaves such splits out.
    """
    if differences := protocol_differences(moments):
        raise UnlearnError(
            "; ".join(differences.values()), "measure both with the same rows, template, limits and precision"
        )
    names = [METRICS.canonical(name) for name in metrics] or METRICS.names()
    scored = {
        moment: score(
            names,
            measured,
            samples=options.bootstrap_samples,
            seed=BOOTSTRAP_SEED,
            beside={name: moments[name] for name in _compared_with(moment) if name in moments},
            parameters=by_metric(options.metric_parameters),
        )
        for moment, measured in moments.items()
    }
    scores = merge(scored)
    for split, judged in JUDGED.items():
        for name in judged:
            if name in scores.get(split, {}) and all(split in moments.get(moment, {}) for moment in ("before", "after")):
                scores[split][name].change = _change(name, moments["before"][split], moments["after"][split], options)
    return scores


def _change(name: str, before: Measured, after: Measured, options: MeasuringOptions) -> Change | None:
    """The change of a metric's value, after minus before; None if the metric has no value for each row."""
    parameters = METRICS.get(name).resolve(by_metric(options.metric_parameters).get(name, {}))
    values = [row_values(name, measured, parameters) for measured in (after, before)]
    if values[0] is None or values[1] is None:
        return None
    paired = paired_difference(values[0], values[1], samples=options.bootstrap_samples, seed=BOOTSTRAP_SEED)
    return None if paired is None else Change(value=paired.value, ci=paired.ci)


def _compared_with(moment: str) -> tuple[str, ...]:
    """The moments that metrics of a moment may compare with. The baseline has no baseline."""
    return ("before",) if moment == "baseline" else ("before", "baseline")


def protocol_differences(moments: Mapping[str, Mapping[str, Measured]]) -> dict[tuple[str, str], str]:
    """(moment, split) -> a sentence, for each protocol that differs from that of the model under test."""
    differences = {}
    for moment, splits in moments.items():
        for split, measured in splits.items():
            after = moments["after"].get(split)
            if after is not None and (parts := differing(measured, after)):
                differences[moment, split] = f"the {split} {moment} was measured differently ({', '.join(parts)} differ)"
    return differences


def comparable_moments(
    moments: Mapping[str, dict[str, Measured]], note: Callable[[str], None]
) -> dict[str, dict[str, Measured]]:
    """The moments without the splits whose protocol differs from that of the model under test. `note` prints each."""
    differences = protocol_differences(moments)
    for difference in differences.values():
        note(f"{difference}: its scores are left out")
    comparable = {
        moment: {split: measured for split, measured in splits.items() if (moment, split) not in differences}
        for moment, splits in moments.items()
    }
    return {moment: splits for moment, splits in comparable.items() if splits}


def write_rows(measured: Mapping[str, Measured], options: MeasuringOptions, metrics: tuple[str, ...], path: Path) -> None:
    """Write every metric's value for every row: a line for each row with split, id and numbers, without text."""
    given, lines = by_metric(options.metric_parameters), []
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
    """The cost of measuring: split -> moment -> counts of tokens."""
    costs: dict[str, dict[str, PassReport]] = {}
    for moment, splits in moments.items():
        for split, measured in splits.items():
            counts = {field: getattr(measured, field) for field in PassReport.model_fields}
            costs.setdefault(split, {})[moment] = PassReport(**counts)
    return costs


def merge(scored: Mapping[str, Mapping[str, Mapping[str, Score]]]) -> Scores:
    """From moment -> split -> metric -> Score to split -> metric -> Compared."""
    merged: dict[str, dict[str, dict[str, Score]]] = {}
    for moment, splits in scored.items():
        for split, metrics in splits.items():
            for metric, value in metrics.items():
                merged.setdefault(split, {}).setdefault(metric, {})[moment] = value
    return {
        split: {
            name: Compared(before=scores.get("before"), after=scores.get("after"), baseline=scores.get("baseline"))
            for name, scores in metrics.items()
        }
        for split, metrics in merged.items()
    }
