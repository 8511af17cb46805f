"""Curves and distributions on the page of a comparison: each from plain values to a chart with legend and caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from unlearn_cli.rendering.svg import Axis, Figure, Points, Series, around, between, chart, finite, legend, place

POINTS = 60  # of a training curve
# Lines in the picture of a target: their names, and the keys of what probes saw and of what the controller changes.
PROBED = (("forget rows", "forget"), ("retain rows, share that is left", "retain"), ("likeliest forget row", "worst"))
CHANGED = (("learning rate", "learning_rate"), ("retain weight", "retain_weight"))


def losses(kind: str, series: Sequence[Series], *, same_unit: bool) -> Figure | None:
    """A loss over the steps of training; where the runs' losses have different units, each line in its own range."""
    drawn = finite(series)
    if not drawn:
        return None
    drawn = [Series(one.name, _thinned(one.points), one.number) for one in drawn]
    caption = ""
    if not same_unit:
        drawn = [Series(one.name, _scaled(one.points), one.number) for one in drawn]
        caption = "These losses have different units: each line goes from its own least value (0) to its own greatest (1)."
    x = between("step", 0, max(a for one in drawn for a, _ in one.points))
    y = around([b for one in drawn for _, b in one.points], kind)
    svg = chart(drawn, x, y, alt=f"{kind} over the steps of training, one line for each run. {caption}".strip())
    return Figure(f"Training: {kind}", svg, legend(drawn), caption)


def _scaled(points: Points) -> Points:
    low, high = (pick(b for _, b in points) for pick in (min, max))
    return [(a, (b - low) / (high - low) if high > low else 0.0) for a, b in points]


def _thinned(points: Points) -> Points:
    """Means over stretches."""
    if len(points) <= POINTS:
        return points
    return [(float(part[-1, 0]), float(part[:, 1].mean())) for part in np.array_split(np.array(points), POINTS)]


def trajectories(series: Sequence[Series]) -> Figure | None:
    """The forget rows at each measurement during training."""
    drawn = finite(series)
    if not drawn:
        return None
    x = between("step", 0, max(a for one in drawn for a, _ in one.points))
    svg = chart(drawn, x, Axis("forget.probability", 0, 1), alt="probability of forget answers during training")
    return Figure("Forgetting on the way", svg, legend(drawn), "Measured during training (--eval-every).")


def pursuit(run: str, lines: Sequence[dict[str, Any]], level: float, keep: float) -> Figure | None:
    """How a run went for its target: what its probes saw, what the controller changed, and what it said.

    Args:
        run: its name.
        lines: of `metrics.jsonl`, of steps and of probes.
        level: probability that the forget rows were to come down to.
        keep: share of the retain rows' probability that was to stay.
    """
    probes, steps = ([line for line in lines if key in line] for key in ("probe", "loss"))
    if not probes or not steps:
        return None
    end = float(steps[-1]["step"])
    seen = {name: [(p["step"], v) for p in probes if (v := p["probe"].get(key)) is not None] for name, key in PROBED}
    drawn = [Series(name, points, number) for number, (name, points) in enumerate(seen.items())]
    limits = (("level of the forget rows", level), ("share to keep", keep))  # both dotted: the numbers say which is which
    drawn += [Series(f"{name}: {at:.3g}", [(0.0, at), (end, at)], None) for name, at in limits if at <= 1]
    for number, (name, key) in enumerate(CHANGED, len(seen)):
        values = [(line["step"], value) for line in steps if (value := line.get(key)) is not None]
        greatest = max((value for _, value in values), default=0.0)
        if greatest and any(value != greatest for _, value in values):
            shares = [(step, value / greatest) for step, value in values]
            drawn.append(Series(f"{name}, as a share of its largest ({greatest:.3g})", shares, number, "step"))
    drawn = finite(drawn)
    decided = [f"step {line['step']:g}: {line['decision']}" for line in lines if line.get("decision")]
    caption = ". ".join(decided) + "." if decided else "The controller changed nothing."
    svg = chart(
        drawn, between("step", 0, end), Axis("probability, share", 0, 1), alt=f"{run} on the way to its target. {caption}"
    )
    return Figure(f"On the way to the target: {run}", svg, legend(drawn), caption)


def relearning(series: Sequence[Series], caption: str) -> Figure | None:
    """The forget rows under relearning, and under the same attack on the baseline."""
    drawn = finite(series)
    if not drawn:
        return None
    x = between("steps of the attack", 0, max(a for one in drawn for a, _ in one.points))
    values = "; ".join(f"{one.name} from {one.points[0][1]:.3f} to {one.points[-1][1]:.3f}" for one in drawn)
    svg = chart(drawn, x, Axis("forget.probability", 0, 1), alt=f"forget probability under relearning: {values}")
    return Figure("Does it come back?", svg, legend(drawn), caption)


def truth(runs: Sequence[tuple[str, int, np.ndarray]], baseline: np.ndarray) -> Figure | None:
    """Distributions of the log truth ratio: what the test behind forget quality compares.

    Args:
        runs: name, number and values of single rows of each run.
        baseline: values of the baseline's rows; may be empty.
    """
    runs = [(name, number, _finite(values)) for name, number, values in runs]
    runs, control = [run for run in runs if len(run[2])], _finite(baseline)
    if not runs:
        return None
    low, high = np.percentile(np.concatenate([*(values for *_, values in runs), control]), [1, 99])
    x = between("log truth ratio", float(low), float(high))
    series = [Series(name, _steps(values), number, "step") for name, number, values in runs]
    extra, caption = "", "Above 0 the wrong answers are likelier than the right one, below 0 the right one is."
    if len(control):
        series.append(Series("baseline", _steps(control), None, "step"))
        tests = [(name, ks_2samp(values, control)) for name, _, values in runs]
        caption += " Largest gap to the baseline, D: " + _gaps([(name, test.statistic) for name, test in tests]) + "."
        extra = _gap(runs[0][2], control, float(tests[0][1].statistic_location), x)
    alt = f"cumulative distributions of log truth ratios. {caption}"
    svg = chart(series, x, Axis("share of rows below", 0, 1), alt=alt, extra=extra)
    return Figure("Truth ratio of single rows", svg, legend(series), caption)


def _gaps(gaps: Sequence[tuple[str, float]]) -> str:
    """Each row's gap, or from its smallest to its largest over the runs of a group."""
    by_name: dict[str, list[float]] = {}
    for name, gap in gaps:
        by_name.setdefault(name, []).append(gap)
    spans = {name: sorted({f"{gap:.2f}" for gap in values}) for name, values in by_name.items()}
    return ", ".join(f"{name} {' to '.join(dict.fromkeys((span[0], span[-1])))}" for name, span in spans.items())


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _steps(values: np.ndarray) -> list[tuple[float, float]]:
    """From no row to all rows."""
    ordered = np.sort(values)
    return [(float(ordered[0]), 0.0), *((float(v), (i + 1) / len(ordered)) for i, v in enumerate(ordered))]


def _gap(run: np.ndarray, baseline: np.ndarray, where: float, x: Axis) -> str:
    """A line where the distribution of a run lies farthest from the baseline's."""
    y = Axis("", 0, 1)
    shares = [float((values <= where).mean()) for values in (run, baseline)]
    (a, b), (c, d) = (place(where, share, x, y) for share in shares)
    return f'<line class="gap" x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}"/>'


def curve(points: dict[Any, float | None]) -> list[tuple[float, float]]:
    """An attack's places and values as points, in order; places that are no numbers are left out."""
    return sorted((float(at), value) for at, value in points.items() if value is not None and isinstance(at, (int, float)))
