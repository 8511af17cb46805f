"""The picture of the front, forgetting against utility: on a page as SVG, as a file by matplotlib (`plots.plot_front`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from unlearn_cli.rendering.svg import REST, Axis, Figure, Points, Series, around, chart, legend, place

SHORT = 22  # characters of a name that still stands beside its point
NAMED = 8  # as many as there are colors; further points have no name beside them


class RunPoint(NamedTuple):
    """A row of the table in the picture of the front."""

    number: int  # place of the row in the table
    name: str
    x: float
    y: float
    on_front: bool = False
    failed: bool = False


@dataclass(frozen=True)
class FrontPicture:
    """Forgetting against utility, to be drawn as SVG or by matplotlib.

    Runs on the front are emphasized and joined, failed ones are gray. Names are those of the table. Where one is too long to
    stand beside its point, numbers do, and `key` explains them.
    """

    series: list[Series]  # one point each
    x: Axis
    y: Axis
    joined: Points  # the front
    key: list[Series]
    caption: str


def front_picture(points: Sequence[RunPoint], metrics: Sequence[str]) -> FrontPicture | None:
    """The picture of these points; None without any.

    Args:
        points: the rows that have both metrics.
        metrics: names of the metrics along x and y.
    """
    if not points:
        return None
    named = {point.name for point in points if point.number < NAMED or point.on_front}
    numbered = any(len(name) > SHORT for name in named)
    series = [
        Series(
            point.name, [(point.x, point.y)], REST if point.failed or point.name not in named else point.number, "point",
            point.on_front, "" if point.name not in named else str(point.number + 1) if numbered else point.name,
        )
        for point in points
    ]  # fmt: skip
    sentences = [
        ("Rings and the dotted line: runs that no other beats in both.", any(point.on_front for point in points)),
        ("Points without a name: further runs of the table.", len(points) > len(named)),
        ("Gray: did not end well, so not judged.", any(point.failed for point in points)),
    ]
    return FrontPicture(
        series=series,
        x=around([point.x for point in points], metrics[0]),
        y=around([point.y for point in points], metrics[1]),
        joined=sorted((point.x, point.y) for point in points if point.on_front),
        key=[replace(one, name=f"{one.label} = {one.name}") for one in series if one.label and numbered],
        caption=" ".join(sentence for sentence, shown in sentences if shown),
    )


def front_figure(picture: FrontPicture) -> Figure:
    """The picture of the front as SVG."""
    x, y = picture.x, picture.y
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in (place(*point, x, y) for point in picture.joined))
    extra = f'<polyline class="front" points="{line}"/>' if len(picture.joined) > 1 else ""
    values = "; ".join(f"{one.name} {a:.3f} and {b:.3f}" for one in picture.series for a, b in one.points)
    alt = f"{x.label} and {y.label} of each run: {values}"
    key = legend(picture.key) if picture.key else ""
    return Figure("Forgetting against utility", chart(picture.series, x, y, alt=alt, extra=extra), key, picture.caption)
