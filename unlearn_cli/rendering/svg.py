"""Small charts as inline SVG: lines, points and steps. Colours come from the page's style sheet and follow its mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 88, 18, 16, 62
DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 4", "1 4", "12 3", "6 2 1 2")


@dataclass(frozen=True)
class Series:
    """One line, cloud of points, or staircase."""

    name: str
    points: Sequence[tuple[float, float]]
    number: int  # of its colour and dash
    kind: Literal["line", "point", "step"] = "line"
    emphasised: bool = False


@dataclass(frozen=True)
class Axis:
    """A range with what it shows."""

    label: str
    low: float
    high: float


def _ticks(axis: Axis) -> list[float]:
    span = axis.high - axis.low
    step = 10.0 ** len(str(int(span))) if span >= 1 else 1.0
    while span / step < 4:
        step /= 2 if span / (step / 2) >= 4 or span / (step / 2) > 2 else 5
    first = int(axis.low / step) * step
    values = [first + i * step for i in range(int(span / step) + 2)]
    return [v for v in values if axis.low - 1e-9 <= v <= axis.high + 1e-9]


def _scaled(value: float, axis: Axis, start: float, end: float) -> float:
    span = axis.high - axis.low or 1.0
    return start + (min(max(value, axis.low), axis.high) - axis.low) / span * (end - start)


def _shape(series: Series, x: Axis, y: Axis) -> str:
    places = [(_scaled(a, x, LEFT, WIDTH - RIGHT), _scaled(b, y, HEIGHT - BOTTOM, TOP)) for a, b in series.points]
    colour = f"c{series.number % 8}"
    title = f"<title>{escape(series.name)}</title>"
    if series.kind == "point":
        ring = (
            "".join(f'<circle class="ring" cx="{a:.1f}" cy="{b:.1f}" r="9"/>' for a, b in places)
            if series.emphasised
            else ""
        )
        dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="5"/>' for a, b in places)
        a, b = places[0]
        side = ("end", -12) if a > WIDTH * 0.7 else ("start", 12)
        text = (
            f'<text class="name" x="{a + side[1]:.1f}" y="{b + 4:.1f}" text-anchor="{side[0]}">{escape(series.name)}</text>'
        )
        return f'<g class="{colour}">{title}{ring}{dots}{text}</g>'
    if series.kind == "step":
        stairs = [places[0]]
        for a, b in places[1:]:
            stairs += [(a, stairs[-1][1]), (a, b)]
        places = stairs
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    dash = DASHES[series.number % 8]
    return f'<g class="{colour}">{title}<polyline points="{path}" stroke-dasharray="{dash}"/></g>'


def chart(series: Sequence[Series], x: Axis, y: Axis, *, alt: str, extra: str = "") -> str:
    """The chart as an `<svg>` element.

    Args:
        series: what is drawn, in this order.
        x: horizontal axis.
        y: vertical axis.
        alt: what a reader who does not see it is told.
        extra: more SVG, in the chart's own coordinates (see `place`).
    """
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt, quote=True)}">']
    for value in _ticks(y):
        at = _scaled(value, y, HEIGHT - BOTTOM, TOP)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(x):
        at = _scaled(value, x, LEFT, WIDTH - RIGHT)
        parts.append(f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{value:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.label)}</text>')
    up = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="label" x="20" y="{up}" text-anchor="middle" transform="rotate(-90 20 {up})">{escape(y.label)}</text>'
    )
    parts += [_shape(one, x, y) for one in series if one.points]
    return "".join([*parts, extra, "</svg>"])


def place(a: float, b: float, x: Axis, y: Axis) -> tuple[float, float]:
    """A point of the data in the chart's coordinates."""
    return _scaled(a, x, LEFT, WIDTH - RIGHT), _scaled(b, y, HEIGHT - BOTTOM, TOP)


def around(values: Sequence[float], label: str, *, low: float | None = None, high: float | None = None) -> Axis:
    """An axis that holds all values, with a little room unless an end is given."""
    known = list(values) or [0.0, 1.0]
    room = (max(known) - min(known)) * 0.06 or 0.05
    return Axis(label, min(known) - room if low is None else low, max(known) + room if high is None else high)


def legend(series: Sequence[Series]) -> str:
    """Names with the look of their lines, as HTML."""
    items = []
    for one in series:
        dash = DASHES[one.number % 8]
        mark = f'<svg viewBox="0 0 28 10" aria-hidden="true"><polyline points="0,5 28,5" stroke-dasharray="{dash}"/></svg>'
        items.append(f'<li class="c{one.number % 8}">{mark}<span>{escape(one.name)}</span></li>')
    return f'<ul class="legend">{"".join(items)}</ul>'
