"""Axes, names beside points, and what a chart leaves out."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from unlearn_cli.rendering.figures import losses, truth
from unlearn_cli.rendering.front import RunPoint, front_figure, front_picture
from unlearn_cli.rendering.svg import REST, Axis, Figure, Series, _ticks, around, between, chart, finite, legend, look


def front(names: list[str], values: list[tuple[float, float]], on_front: frozenset[str] = frozenset()) -> Figure:
    points = [RunPoint(i, name, x, y, name in on_front) for i, (name, (x, y)) in enumerate(zip(names, values, strict=True))]
    picture = front_picture(points, ("x", "y"))
    assert picture is not None
    return front_figure(picture)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.981, 0.997), (-3, 250), (0, 1e-7), (1e6, 1e6 + 3), (-1e300, 1e300)])
def test_ticks_are_few_round_and_inside(low, high):
    ticks = _ticks(Axis("", low, high))
    assert 3 <= len(ticks) <= 9 and ticks == sorted(set(ticks))
    assert low - 1e-9 * abs(low) - 1e-9 <= ticks[0] and ticks[-1] <= high * (1 + 1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0, -7.5, 1e300])
def test_an_axis_is_never_without_width(value):
    for axis in (between("", value, value), around([value], ""), around([value, math.nan, math.inf], "")):
        assert axis.high > axis.low and math.isfinite(axis.high - axis.low) and _ticks(axis)


def test_what_is_not_finite_is_left_out():
    drawn = finite([Series("a", [(0, math.nan), (1, 2.0)], 0), Series("b", [(0, math.inf)], 1)])
    assert [(one.name, one.points) for one in drawn] == [("a", [(1, 2.0)])]
    assert losses("forget loss", [Series("b", [(0, math.inf)], 1)], same_unit=True) is None


def test_losses_of_different_units_are_drawn_in_their_own_ranges():
    """A loss of thousands does not flatten one of tenths, and the caption says what was done."""
    series = [Series("a", [(1, 4000.0), (2, 1000.0)], 0), Series("b", [(1, 0.3), (2, 0.1)], 1)]
    apart, together = losses("forget loss", series, same_unit=False), losses("forget loss", series, same_unit=True)
    lines = re.findall(r'<polyline[^>]*points="([^"]+)"', apart.svg)
    assert len(lines) == 2 and lines[0] == lines[1] and "different units" in apart.caption
    assert ">4000<" in together.svg and ">4000<" not in apart.svg and together.caption == ""


def test_the_baseline_looks_like_no_run():
    looks = {look(Series("", [], number)) for number in range(8)}
    assert len(looks) == 8 and not {look(Series("", [], None)), look(Series("", [], REST))} & looks
    drawn = truth([(f"r{i}", i, np.arange(5.0)) for i in range(8)], np.arange(5.0))
    assert drawn.svg.count('class="c6"') == 1 and drawn.svg.count('class="cb"') == 1


def test_one_value_for_each_run_is_a_figure():
    figure = truth([("a", 0, np.array([0.3]))], np.array([0.3]))
    assert "nan" not in figure.svg and truth([("a", 0, np.array([np.nan]))], np.array([])) is None


def test_names_do_not_stand_on_each_other():
    names = [f"run-{i}" for i in range(8)]
    figure = front(names, [(0.5 + i / 1000, 0.5) for i in range(8)])
    places = re.findall(r'class="name" x="([\d.]+)" y="([\d.]+)"', figure.svg)
    assert len(places) == len(set(places)) == 8


def test_runs_are_called_in_the_chart_as_in_the_table():
    """Nothing is taken off their names; a name that is too long to stand beside its point is in the key, whole."""
    short, long = ["d-npo", "d-rmu"], [f"d-npo-learning_rate=1e-{n}-seed=0" for n in (4, 5)]
    values = [(0.1, 0.5), (0.9, 0.4)]
    figure = front(short, values)
    assert re.findall(r'class="name"[^>]*>([^<]*)<', figure.svg) == short and figure.legend == ""
    figure = front(long, values)
    assert re.findall(r'class="name"[^>]*>([^<]*)<', figure.svg) == ["1", "2"]
    assert re.findall(r"<span>([^<]*)<", figure.legend) == [f"{n} = {name}" for n, name in enumerate(long, 1)]


def test_points_beyond_the_colors_have_no_name_and_no_color():
    figure = front([f"r-{i}" for i in range(12)], [(i / 12, i / 12) for i in range(12)], frozenset({"r-11"}))
    assert figure.svg.count('class="name"') == 9 and figure.svg.count('class="cr"') == 3


def test_seeds_of_one_configuration_share_a_line_of_the_legend():
    text = legend([Series("npo", [(0, 1)], 0), Series("npo", [(0, 2)], 0), Series("rmu", [(0, 1)], 1)])
    assert text.count("<li") == 2
    assert "<svg" in chart([Series("a", [(0, 1)], 0)], Axis("x", 0, 1), Axis("y", 0, 1), alt="one point")
