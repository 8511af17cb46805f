"""Pictures as files, by matplotlib, which is an optional extra."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unlearn_cli.atomic import write_atomically
from unlearn_cli.attack_report import AttackReport
from unlearn_cli.errors import UnlearnError
from unlearn_cli.rendering.attacks import worst_curves
from unlearn_cli.rendering.front import FrontPicture
from unlearn_cli.rendering.svg import COLORS, REST

# Okabe and Ito's palette, which readers with any kind of color vision can distinguish; line styles differ as well.
GRAY = "#57606a"  # of runs without a color
LOOK = {
    "unlearned": ("#D55E00", "-"),
    "original": ("#0072B2", "--"),
    "baseline": ("#009E73", ":"),
    "control": ("#8a6d00", "-."),
}


def _pyplot() -> Any:
    import matplotlib  # noqa: PLC0415 - an optional extra

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    return pyplot


def plot_attacks(reports: list[AttackReport], path: Path) -> None:
    """One panel for each attack: forget rows under each model along the attack's worst setting.

    Raises:
        UnlearnError: matplotlib is not installed, or the file's ending is no picture's.
    """
    check_drawable(path)
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(
        1, len(reports), figsize=(4.2 * len(reports) + 0.8, 3.4), squeeze=False, layout="constrained", sharey=True
    )
    shown = ""
    for axis, report in zip(axes[0], reports, strict=True):
        _panel(axis, report)
        if report.shown_metric != shown:  # the panels to the right have the same
            shown = report.shown_metric
            axis.set_ylabel("forget " + shown.replace("_l", "-L"))
    axes[0][0].legend(frameon=False, fontsize=8)
    _save(figure, path)


def _panel(axis: Any, report: AttackReport) -> None:
    for role, curve in worst_curves(report).items():
        known = {place: value for place, value in curve.items() if value is not None}
        if not known:
            continue
        color, line = LOOK[role]
        places, means = list(known), list(known.values())
        numeric = all(isinstance(place, (int, float)) for place in places)
        axis.plot(places if numeric else range(len(places)), means, line, color=color, marker="o", markersize=3, label=role)
        if not numeric:
            axis.set_xticks(range(len(places)), places, rotation=30, ha="right", fontsize=7)
    axis.set_title(report.attack, fontsize=10)
    axis.set_xlabel(report.along)
    axis.set_ylim(-0.02, 1.02)
    axis.grid(alpha=0.25)


def plot_front(picture: FrontPicture, path: Path) -> None:
    """Runs by forgetting and utility, as on the page of a comparison."""
    pyplot = _pyplot()
    figure, axis = pyplot.subplots(figsize=(5.6, 4), layout="constrained")
    names = {one.label: one.name for one in picture.key}
    for one in picture.series:
        ((x, y),) = one.points
        color = GRAY if one.number in (None, REST) else COLORS[one.number % len(COLORS)]
        fill = "none" if one.number == REST else color
        axis.scatter([x], [y], s=36, facecolors=fill, edgecolors=color, label=names.get(one.label))
        if one.emphasized:
            axis.scatter([x], [y], s=120, facecolors="none", edgecolors=color, linewidths=1.5)
        side = -1 if x > (picture.x.low + picture.x.high) / 2 else 1  # towards the middle, where there is room
        axis.annotate(
            one.label, (x, y), textcoords="offset points", xytext=(side * 8, 4), ha="left" if side == 1 else "right",
            fontsize=8, color=color,
        )  # fmt: skip
    axis.plot([x for x, _ in picture.joined], [y for _, y in picture.joined], ":", color=GRAY, linewidth=1)
    if names:
        figure.legend(loc="outside lower left", frameon=False, fontsize=7)
    axis.set(xlabel=picture.x.label, ylabel=picture.y.label)
    axis.set(xlim=(picture.x.low, picture.x.high), ylim=(picture.y.low, picture.y.high))
    axis.grid(alpha=0.25)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    write_atomically(path, lambda part: figure.savefig(part, dpi=150, format=path.suffix[1:].lower()))
    _pyplot().close(figure)


def check_drawable(path: Path) -> None:
    """Check before any work that a picture can be drawn.

    Raises:
        UnlearnError: matplotlib is not installed, or the file's ending is no picture's.
    """
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UnlearnError(f"--plot {path}: a file ending in .png, .svg or .pdf is expected", "--plot curve.png")
    if find_spec("matplotlib") is None:
        raise UnlearnError("--plot needs matplotlib", "pip install 'unlearn-cli[plot]'")
