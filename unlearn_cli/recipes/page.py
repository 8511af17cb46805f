"""What stands on the page of a comparison: words, charts, and examples if they were asked for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from unlearn_cli import __version__
from unlearn_cli.attack_report import AttackReport, read_attack
from unlearn_cli.config import CompareConfig
from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._truth import log_ratio
from unlearn_cli.recipes.grouping import Row
from unlearn_cli.recipes.ranking import Column, Found
from unlearn_cli.recipes.runs import RELEARNING, Entry, settings
from unlearn_cli.rendering.compare import FRONT, LEGEND, NOISE, digits, heading, mark, setting_text
from unlearn_cli.rendering.page import page
from unlearn_cli.rendering.svg import Axis, Series, around, chart, legend, place

MAX_LINES = 8  # as many as there are colours


def compare_page(
    entries: Sequence[Entry], rows: Sequence[Row], columns: Sequence[Column], found: Found, keys: Sequence[str],
    marks: dict[str, str], baseline: Entry | None, config: CompareConfig, told: dict[str, Any],
) -> str:  # fmt: skip
    """The whole page."""
    shown = list(entries)[:MAX_LINES]
    head = ["run", *(heading(column) for column in columns), *keys, *(["measured"] if marks else [])]
    made = [
        _front(rows, found, config),
        *_training(shown),
        _trajectories(shown),
        _relearning(shown),
        _truth(shown, baseline),
    ]
    return page(
        title=f"{len(entries)} runs compared" if len(entries) != 1 else f"Run {entries[0].name}",
        subtitle=_subtitle(entries),
        summary=_summary(rows, columns, found, config),
        head=head,
        scores=range(1, 1 + len(columns)),
        body=_body(rows, columns, found, keys, marks),
        key=LEGEND,
        figures=[figure for figure in made if figure],
        samples=_samples(entries, config.include_samples),
        runs=[_described(entry) for entry in entries],
        notes=told["notes"],
        version=__version__,
    )


def _subtitle(entries: Sequence[Entry]) -> str:
    report = entries[0].report
    model = report.model.model.rsplit("/", 1)[-1] if report.model else "measurements"
    data = ", ".join(f"{d.measured_rows} of {d.sequences} {name} rows" for name, d in report.data.items())
    return f"{model}; measured: {data}; first run started {report.started[:16].replace('T', ' ')} UTC"


def _summary(rows: Sequence[Row], columns: Sequence[Column], found: Found, config: CompareConfig) -> list[str]:
    """The comparison in words."""
    lines = []
    for column in columns:
        if column.best is None or column.name not in (*config.front, RELEARNING):
            continue
        best = next(row for row in rows if row.name == column.best)
        same = [row.name for row in rows if found.noise(column.name, row.name)]
        way = {"min": "lowest", "max": "highest", "baseline": "closest to the never-trained model"}[column.target or "min"]
        tail = f"; no difference was found for {', '.join(same)}" if same else ""
        lines.append(f"{column.name} is {way} in {best.name}: {digits(best.value(column.name))}{tail}.")
    front = [row.name for row in rows if row.name in found.front]
    if len(rows) > 1 and front:
        lines.append(
            f"No other run is at least as good in both {config.front[0]} and {config.front[1]}: {', '.join(front)}."
        )
    for column in columns:
        below = [r.name for r in rows if column.baseline is not None and (r.value(column.name) or 0.0) < column.baseline]
        if column.name == "forget.probability" and below:
            lines.append(
                f"Over-forgotten, below what a model without these rows gives ({digits(column.baseline)}): "
                + ", ".join(below)
            )
    if not any(column.baseline is not None for column in columns):
        lines.append("Not known: how a model that never saw the forget rows scores (--baseline).")
    if not any(column.name == RELEARNING for column in columns):
        lines.append("Not known: whether it comes back (unlearn relearn-attack RUN).")
    return lines


def _body(
    rows: Sequence[Row], columns: Sequence[Column], found: Found, keys: Sequence[str], marks: dict[str, str]
) -> list[dict[str, Any]]:
    def cell(text: str, best: bool = False) -> dict[str, Any]:
        return {"text": text, "best": best}

    body = []
    for row in rows:
        name = f"{row.name} {FRONT}" if row.name in found.front else row.name
        own = [cell(marks.get(row.entries[0].name, ""))] if marks else []
        values = [
            cell(
                f"{digits(row.value(c.name), row.spread(c.name))}{mark(c, row, found).replace(NOISE, ' ' + NOISE)}",
                row.name == c.best,
            )
            for c in columns
        ]
        cells = [cell(name), *values, *(cell(setting_text(row.setting(key))) for key in keys), *own]
        body.append({"cells": cells, "never": False})
    if any(c.baseline is not None for c in columns):
        blank = [cell("") for _ in range(len(keys) + bool(marks))]
        held = [cell(digits(c.baseline) if c.baseline is not None else "") for c in columns]
        body.append({"cells": [cell("never trained on them"), *held, *blank], "never": True})
    return body


Figure = dict[str, str] | None


def _front(rows: Sequence[Row], found: Found, config: CompareConfig) -> Figure:
    points = [(i, row, row.value(config.front[0]), row.value(config.front[1])) for i, row in enumerate(rows)]
    points = [p for p in points if p[2] is not None and p[3] is not None]
    if not points:
        return None
    x, y = around([p[2] for p in points], config.front[0]), around([p[3] for p in points], config.front[1])
    series = [Series(row.name, [(a, b)], i, "point", row.name in found.front) for i, row, a, b in points]
    edge = sorted((a, b) for _, row, a, b in points if row.name in found.front)
    at = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(a, b, x, y) for a, b in edge))
    extra = f'<polyline class="front" points="{at}"/>' if len(edge) > 1 else ""
    said = "; ".join(f"{row.name} {a:.3f} and {b:.3f}" for _, row, a, b in points)
    return {
        "title": "Forgetting against utility",
        "svg": chart(series, x, y, alt=f"{config.front[0]} and {config.front[1]} of each run: {said}", extra=extra),
        "legend": "",
        "caption": "Rings and the dotted line: runs that no other beats in both.",
    }


def _training(entries: Sequence[Entry]) -> list[Figure]:
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {"forget_loss": {}, "retain_loss": {}}
    for entry in entries:
        path = entry.folder / "metrics.jsonl"
        if not path.is_file():
            continue
        steps = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for kind, held in lines.items():
            held[entry.name] = [(s["step"], s[kind]) for s in steps if s.get(kind) is not None]
    made: list[Figure] = []
    for kind, held in lines.items():
        series = [Series(name, _thinned(points), i) for i, (name, points) in enumerate(held.items()) if points]
        if not series:
            continue
        values = [b for one in series for _, b in one.points]
        x = Axis("step", 0, max(a for one in series for a, _ in one.points))
        title = kind.replace("_", " ")
        made.append(
            {
                "title": f"Training: {title}",
                "svg": chart(
                    series, x, around(values, title), alt=f"{title} over the steps of training, one line for each run"
                ),
                "legend": legend(series),
                "caption": "Losses of different methods have different units: read each line by its shape.",
            }
        )
    return made


def _thinned(points: list[tuple[float, float]], count: int = 60) -> list[tuple[float, float]]:
    """Means over as many stretches."""
    if len(points) <= count:
        return points
    parts = np.array_split(np.array(points), count)
    return [(float(part[-1, 0]), float(part[:, 1].mean())) for part in parts]


def _trajectories(entries: Sequence[Entry]) -> Figure:
    series = []
    for i, entry in enumerate(entries):
        held = entry.report.training.trajectory if entry.report.training else []
        points = [(t.step, t.scores.get("forget", {}).get("probability")) for t in held]
        points = [(float(a), b) for a, b in points if b is not None]
        if points:
            series.append(Series(entry.name, points, i))
    if not series:
        return None
    x = Axis("step", 0, max(a for one in series for a, _ in one.points))
    return {
        "title": "Forgetting on the way",
        "svg": chart(series, x, Axis("forget.probability", 0, 1), alt="probability of forget answers during training"),
        "legend": legend(series),
        "caption": "Measured during training (--eval-every).",
    }


def _relearning(entries: Sequence[Entry]) -> Figure:
    reports: list[tuple[int, Entry, AttackReport]] = []
    for i, entry in enumerate(entries):
        path = entry.folder / "attacks" / "relearn" / "report.json"
        if path.is_file():
            reports.append((i, entry, read_attack(path)))
    series = [Series(entry.name, _curve(report, "unlearned"), i) for i, entry, report in reports]
    baseline = next((_curve(report, "baseline") for *_, report in reports if _curve(report, "baseline")), [])
    if baseline:
        series.append(Series("never trained", baseline, 6))
    series = [one for one in series if one.points]
    if not series:
        return None
    x = Axis("steps of the attack", 0, max(a for one in series for a, _ in one.points))
    said = "; ".join(f"{one.name} from {one.points[0][1]:.3f} to {one.points[-1][1]:.3f}" for one in series)
    return {
        "title": "Does it come back?",
        "svg": chart(series, x, Axis("forget.probability", 0, 1), alt=f"forget probability under relearning: {said}"),
        "legend": legend(series),
        "caption": "Fine-tuning on half of the forget rows, judged by the other half, at the attack's worst setting.",
    }


def _curve(report: AttackReport, role: str) -> list[tuple[float, float]]:
    wanted = report.recovery["probability"].parameters
    held: dict[float, list[float]] = {}
    for curve in report.curves:
        if curve.role == role and {k: v for k, v in curve.parameters.items() if k != "seed"} == wanted:
            for point in curve.points:
                value = point.forget.get("probability")
                if value is not None and isinstance(point.at, (int, float)):
                    held.setdefault(float(point.at), []).append(value)
    return [(at, sum(values) / len(values)) for at, values in sorted(held.items())]


def _measured(entry: Entry, moment: str) -> Measured | None:
    return load_measured(entry.folder / "measured", f"{moment}-forget")


def _truth(entries: Sequence[Entry], baseline: Entry | None) -> Figure:
    """Distributions of the log truth ratio: what the test behind forget quality looks at."""
    held = [(i, entry, _ratios(_measured(entry, "after"))) for i, entry in enumerate(entries)]
    held = [(i, entry, values) for i, entry, values in held if len(values)]
    other = _ratios(_measured(baseline, "after")) if baseline else np.array([])
    if not len(other):
        found = (_ratios(_measured(entry, "baseline")) for entry in entries)
        other = next((values for values in found if len(values)), np.array([]))
    if not held:
        return None
    every = np.concatenate([values for *_, values in held] + ([other] if len(other) else []))
    x = Axis("log truth ratio", float(np.percentile(every, 1)), float(np.percentile(every, 99)))
    series = [Series(entry.name, _steps(values), i, "step") for i, entry, values in held]
    extra, caption = "", "To the right wrong answers are likelier than the right one."
    if len(other):
        series.append(Series("never trained", _steps(other), 6, "step"))
        tests = [(entry.name, ks_2samp(values, other)) for _, entry, values in held]
        caption += (
            " Largest gap to the never-trained model, D: " + ", ".join(f"{n} {t.statistic:.2f}" for n, t in tests) + "."
        )
        extra = _gap(held[0][2], other, tests[0][1].statistic_location, x)
    return {
        "title": "Truth ratio of single rows",
        "svg": chart(
            series,
            x,
            Axis("share of rows below", 0, 1),
            alt=f"cumulative distributions of log truth ratios. {caption}",
            extra=extra,
        ),
        "legend": legend(series),
        "caption": caption,
    }


def _ratios(measured: Measured | None) -> np.ndarray:
    if measured is None:
        return np.array([])
    values = log_ratio(measured)
    return values[~np.isnan(values)]


def _steps(values: np.ndarray) -> list[tuple[float, float]]:
    ordered = np.sort(values)
    return [(float(v), (i + 1) / len(ordered)) for i, v in enumerate(ordered)]


def _gap(ours: np.ndarray, theirs: np.ndarray, where: float, x: Axis) -> str:
    """A line where the first run lies furthest from the never-trained model."""
    y = Axis("", 0, 1)
    shares = [float((values <= where).mean()) for values in (ours, theirs)]
    (a, b), (c, d) = (place(float(where), share, x, y) for share in shares)
    return f'<line class="gap" x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}"/>'


def _samples(entries: Sequence[Entry], count: int) -> list[dict[str, Any]]:
    """Forget questions whose answers overlap most with the truth in any run."""
    if not count:
        return []
    held = {entry.name: measured for entry in entries if (measured := _measured(entry, "after")) is not None}
    worst: dict[str, float] = {}
    for entry in entries:
        for (split, row), values in entry.rows.items():
            if split == "forget" and "rouge_l" in values:
                worst[row] = max(worst.get(row, 0.0), values["rouge_l"])
    made = []
    for row in sorted(worst, key=lambda r: -worst[r])[:count]:
        said, question, truth = [], "", ""
        for name, measured in held.items():
            if row in measured.ids:
                at = measured.ids.index(row)
                question, truth = measured.prompts[at], measured.golds[at]
                said.append({"run": name, "text": measured.generations[at] or "(not generated)"})
        made.append({"question": question, "truth": truth, "said": said})
    return made


def _described(entry: Entry) -> dict[str, Any]:
    report = entry.report
    parts = [f"status {report.status}", *(f"{k} {v}" for k, v in report.environment.items() if isinstance(v, str))]
    if report.training:
        parts.append(f"{report.training.steps} steps, {report.training.tokens:,} tokens")
    if "train" in report.seconds:
        parts.append(f"{report.seconds['train']:.0f} s of training")
    return {
        "name": entry.name,
        "command": shlex.join(["unlearn", *report.command_line]),
        "about": "; ".join(parts),
        "settings": [
            (name, setting_text(value)) for name, value in settings(entry).items() if value not in (None, "", [], {})
        ],
    }
