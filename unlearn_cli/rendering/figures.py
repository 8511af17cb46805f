"""The pictures on the page of a comparison: each from plain values to a chart with legend and caption."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from unlearn_cli.rendering.svg import REST, Axis, Series, around, between, chart, finite, legend, place

SHORT = 22  # characters of a name that still stands beside its point
NAMED = 8  # as many as there are colours; further points have no name beside them
POINTS = 60  # of a training curve
Figure = dict[str, str]
Points = Sequence[tuple[float, float]]


def front(
    names: Sequence[str],
    values: Sequence[tuple[float | None, ...]],
    on: set[str],
    pair: Sequence[str],
    failed: Set[str] = frozenset(),
) -> Figure | None:
    """Forgetting against utility; runs that no other beats are ringed and joined, those that did not end well are grey.

    Names are those of the table. Where one is too long to stand beside its point, numbers do, with a key under the chart.
    """
    held = [(i, *v) for i, v in enumerate(values) if None not in v]
    if not held:
        return None
    x, y = around([a for _, a, _ in held], pair[0]), around([b for *_, b in held], pair[1])
    named = {i for i, *_ in held if i < NAMED or names[i] in on}
    numbered = any(len(names[i]) > SHORT for i in named)
    series = [
        Series(
            names[i], [(a, b)], i if i in named and names[i] not in failed else REST, "point", names[i] in on,
            "" if i not in named else str(i + 1) if numbered else names[i],
        )
        for i, a, b in held
    ]  # fmt: skip
    key = legend([replace(one, name=f"{one.label} = {one.name}") for one in series if one.label]) if numbered else ""
    edge = sorted((a, b) for i, a, b in held if names[i] in on)
    at = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(a, b, x, y) for a, b in edge))
    extra = f'<polyline class="front" points="{at}"/>' if len(edge) > 1 else ""
    said = "; ".join(f"{names[i]} {a:.3f} and {b:.3f}" for i, a, b in held)
    caption = "Rings and the dotted line: runs that no other beats in both." if on else ""
    if len(held) > len(named):
        caption += " Points without a name: further runs of the table."
    if any(names[i] in failed for i, *_ in held):
        caption += " Grey: did not end well, so not judged."
    alt = f"{pair[0]} and {pair[1]} of each run: {said}"
    return _figure("Forgetting against utility", chart(series, x, y, alt=alt, extra=extra), key, caption.strip())


def _figure(title: str, svg: str, names: str, caption: str) -> Figure:
    return {"title": title, "svg": svg, "legend": names, "caption": caption}


def losses(kind: str, series: Sequence[Series], *, alike: bool) -> Figure | None:
    """A loss over the steps of training; where the runs' losses are not `alike`, each line in its own range."""
    drawn = finite(series)
    if not drawn:
        return None
    drawn = [Series(one.name, _thinned(one.points), one.number) for one in drawn]
    caption = ""
    if not alike:
        drawn = [Series(one.name, _scaled(one.points), one.number) for one in drawn]
        caption = "These losses have different units: each line goes from its own least value (0) to its own greatest (1)."
    x = between("step", 0, max(a for one in drawn for a, _ in one.points))
    y = around([b for one in drawn for _, b in one.points], kind)
    svg = chart(drawn, x, y, alt=f"{kind} over the steps of training, one line for each run. {caption}".strip())
    return _figure(f"Training: {kind}", svg, legend(drawn), caption)


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
    return _figure("Forgetting on the way", svg, legend(drawn), "Measured during training (--eval-every).")


def relearning(series: Sequence[Series], caption: str) -> Figure | None:
    """The forget rows under relearning; the baseline is attacked alike."""
    drawn = finite(series)
    if not drawn:
        return None
    x = between("steps of the attack", 0, max(a for one in drawn for a, _ in one.points))
    said = "; ".join(f"{one.name} from {one.points[0][1]:.3f} to {one.points[-1][1]:.3f}" for one in drawn)
    svg = chart(drawn, x, Axis("forget.probability", 0, 1), alt=f"forget probability under relearning: {said}")
    return _figure("Does it come back?", svg, legend(drawn), caption)


def truth(held: Sequence[tuple[str, int, np.ndarray]], baseline: np.ndarray) -> Figure | None:
    """Distributions of the log truth ratio: what the test behind forget quality looks at.

    Args:
        held: name, number and values of single rows of each run.
        baseline: values of the baseline's rows; may be empty.
    """
    held = [(name, number, _finite(values)) for name, number, values in held]
    held, other = [one for one in held if len(one[2])], _finite(baseline)
    if not held:
        return None
    every = np.concatenate([*(values for *_, values in held), other])
    x = between("log truth ratio", *(float(end) for end in np.percentile(every, [1, 99])))
    series = [Series(name, _steps(values), number, "step") for name, number, values in held]
    extra, caption = "", "Above 0 the wrong answers are likelier than the right one, below 0 the right one is."
    if len(other):
        series.append(Series("baseline", _steps(other), None, "step"))
        tests = [(name, ks_2samp(values, other)) for name, _, values in held]
        caption += " Largest gap to the baseline, D: " + _gaps([(name, t.statistic) for name, t in tests]) + "."
        extra = _gap(held[0][2], other, float(tests[0][1].statistic_location), x)
    alt = f"cumulative distributions of log truth ratios. {caption}"
    svg = chart(series, x, Axis("share of rows below", 0, 1), alt=alt, extra=extra)
    return _figure("Truth ratio of single rows", svg, legend(series), caption)


def _gaps(found: Sequence[tuple[str, float]]) -> str:
    """Each row's gap, or from its smallest to its largest over the runs of a group."""
    by_name: dict[str, list[float]] = {}
    for name, gap in found:
        by_name.setdefault(name, []).append(gap)
    spans = {name: sorted({f"{gap:.2f}" for gap in gaps}) for name, gaps in by_name.items()}
    return ", ".join(f"{name} {' to '.join(dict.fromkeys((span[0], span[-1])))}" for name, span in spans.items())


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _steps(values: np.ndarray) -> list[tuple[float, float]]:
    """From no row to all rows."""
    ordered = np.sort(values)
    return [(float(ordered[0]), 0.0), *((float(v), (i + 1) / len(ordered)) for i, v in enumerate(ordered))]


def _gap(ours: np.ndarray, theirs: np.ndarray, where: float, x: Axis) -> str:
    """A line where the first run lies furthest from the baseline."""
    y = Axis("", 0, 1)
    shares = [float((values <= where).mean()) for values in (ours, theirs)]
    (a, b), (c, d) = (place(where, share, x, y) for share in shares)
    return f'<line class="gap" x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}"/>'


def curve(points: dict[Any, float | None]) -> list[tuple[float, float]]:
    """An attack's places and values as points, in order; places that are no numbers are left out."""
    return sorted((float(at), value) for at, value in points.items() if value is not None and isinstance(at, (int, float)))
