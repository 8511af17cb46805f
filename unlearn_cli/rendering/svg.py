"""Small charts as inline SVG: lines, points and steps. Colors come from the page's style sheet and follow its mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from math import ceil, floor, isfinite, log10
from typing import Literal

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 88, 18, 16, 62
COLORS = ("#0072b2", "#c4500a", "#00795a", "#a2447e", "#8a6d00", "#2f7fb5", "#444b54", "#7a3b00")  # on a light page
DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 4", "1 4", "12 3", "6 2 1 2")
BASELINE_DASH = "1 6"
REST = -1
ROOM, LETTER = 20, 12  # height of a name beside a point, and width of a letter, as large as phones draw them


Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """One line, cloud of points, or staircase."""

    name: str
    points: Points
    number: int | None  # of its color and dash; None: those of the baseline; REST: gray
    kind: Literal["line", "point", "step"] = "line"
    emphasized: bool = False
    label: str = ""  # beside a point


@dataclass(frozen=True)
class Axis:
    """A range with what it shows; see `between` for ends that may be equal."""

    label: str
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """A chart on a page."""

    title: str
    svg: str
    legend: str
    caption: str


def look(series: Series) -> tuple[str, str]:
    """The CSS class of the color, and the dash."""
    if series.number == REST:
        return "cr", ""
    if series.number is None:
        return "cb", BASELINE_DASH
    return f"c{series.number % len(COLORS)}", DASHES[series.number % len(DASHES)]


def finite(series: Sequence[Series]) -> list[Series]:
    """The series without NaN and infinity; series without a point are left out."""
    cleaned = (replace(one, points=[p for p in one.points if all(map(isfinite, p))]) for one in series)
    return [one for one in cleaned if one.points]


def _ticks(axis: Axis) -> list[float]:
    """Four to eight round numbers."""
    span = axis.high - axis.low
    unit = 10.0 ** floor(log10(span / 4))
    step = next(unit * by for by in (1, 2, 5, 10) if span / (unit * by) <= 8)
    first = ceil(axis.low / step - 1e-9)
    values = [round((first + i) * step, 12) for i in range(9)]
    return [value + 0.0 for value in values if value <= axis.high + span * 1e-9]


def _scaled(value: float, axis: Axis, start: float, end: float) -> float:
    span = axis.high - axis.low
    return start + (min(max(value, axis.low), axis.high) - axis.low) / span * (end - start)


Box = tuple[float, float, float]  # left, right, height of a name or a point


def _shape(series: Series, x: Axis, y: Axis, taken: list[Box]) -> str:
    places = [(_scaled(a, x, LEFT, WIDTH - RIGHT), _scaled(b, y, HEIGHT - BOTTOM, TOP)) for a, b in series.points]
    color, dash = look(series)
    title = f"<title>{escape(series.name)}</title>"
    if series.kind == "point":
        dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="5"/>' for a, b in places)
        if series.emphasized:
            dots += "".join(f'<circle class="ring" cx="{a:.1f}" cy="{b:.1f}" r="9"/>' for a, b in places)
        return f'<g class="{color}">{title}{dots}{_label(series, *places[0], taken)}</g>'
    if series.kind == "step":
        stairs = [places[0]]
        for a, b in places[1:]:
            stairs += [(a, stairs[-1][1]), (a, b)]
        places = stairs
    if len(places) == 1:
        return f'<g class="{color}">{title}<circle cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="4"/></g>'
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    return f'<g class="{color}">{title}<polyline points="{path}" stroke-dasharray="{dash}"/></g>'


def _label(series: Series, a: float, b: float, taken: list[Box]) -> str:
    """The name beside its point at (a, b), or above or below if another name or point is there; its box joins `taken`."""
    if not series.label:
        return ""
    width = len(series.label) * LETTER
    right, left = (a + 12, "start"), (a - 12 - width, "end")  # left end of the name, and the side it is anchored at
    sides = [side for side in (right, left) if 0 < side[0] < WIDTH - width] or [left if a > WIDTH / 2 else right]
    shifts = [sign * n * ROOM for n in range(8) for sign in ((1, -1) if n else (1,))]
    places = [(*side, b + shift) for shift in shifts for side in sides if TOP <= b + shift <= HEIGHT - BOTTOM + 4]

    def free(start: float, height: float) -> bool:
        return all(start > r or start + width < le or abs(height - h) >= ROOM * 0.8 for le, r, h in taken)

    start, anchor, height = next((place for place in places if free(place[0], place[2])), (*sides[0], b))
    taken.append((start, start + width, height))
    end = start + (width if anchor == "end" else 0)
    # A name that had to move far is tied to its point.
    apart = abs(height - b) > 2 * ROOM
    tie = f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{end:.1f}" y2="{height:.1f}" stroke="#8c959f"/>' if apart else ""
    return f'{tie}<text class="name" x="{end:.1f}" y="{height + 4:.1f}" text-anchor="{anchor}">{escape(series.label)}</text>'


def chart(series: Sequence[Series], x: Axis, y: Axis, *, alt: str, extra: str = "") -> str:
    """The chart as an `<svg>` element.

    Args:
        series: what is drawn, in this order.
        x: horizontal axis.
        y: vertical axis.
        alt: description for readers who do not see it.
        extra: more SVG, in the coordinates of the chart (see `place`).
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
    dots = [place(*point, x, y) for one in finite(series) if one.kind == "point" for point in one.points]
    taken = [(a - 8, a + 8, b) for a, b in dots]
    parts += [_shape(one, x, y, taken) for one in finite(series)]
    return "".join([*parts, extra, "</svg>"])


def place(a: float, b: float, x: Axis, y: Axis) -> tuple[float, float]:
    """A point of the data in the chart's coordinates."""
    return _scaled(a, x, LEFT, WIDTH - RIGHT), _scaled(b, y, HEIGHT - BOTTOM, TOP)


def around(values: Sequence[float], label: str) -> Axis:
    """An axis that holds all values, with a little room."""
    known = [value for value in values if isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = (high - low) * 0.06 or abs(high) * 0.06 or 0.05
    return between(label, low - room, high + room)


def between(label: str, low: float, high: float) -> Axis:
    """An axis with these ends, or with some room where they are the same."""
    least = max(abs(low), abs(high), 1e-9) * 1e-6
    return Axis(label, low, high) if high - low > least else Axis(label, low - max(0.5, least), low + max(0.5, least))


def legend(series: Sequence[Series]) -> str:
    """Names with the look of their lines, each once, as HTML."""
    items = []
    for name, (color, dash) in {one.name: look(one) for one in finite(series)}.items():
        mark = f'<svg viewBox="0 0 28 10" aria-hidden="true"><polyline points="0,5 28,5" stroke-dasharray="{dash}"/></svg>'
        items.append(f'<li class="{color}">{mark}<span>{escape(name)}</span></li>')
    return f'<ul class="legend">{"".join(items)}</ul>'
