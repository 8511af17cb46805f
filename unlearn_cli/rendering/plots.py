"""Curves as pictures; matplotlib is an optional extra."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unlearn_cli.attack_report import AttackReport
from unlearn_cli.errors import UnlearnError
from unlearn_cli.rendering.attacks import shown_metric, worst_curves

# Okabe and Ito's palette: told apart by readers with any kind of colour vision; line styles differ as well.
LOOK = {"unlearned": ("#D55E00", "-"), "original": ("#0072B2", "--"), "baseline": ("#009E73", ":")}


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
    for axis, report in zip(axes[0], reports, strict=True):
        _panel(axis, report)
    axes[0][0].set_ylabel("forget " + shown_metric(reports[0]).replace("_l", "-L"))
    axes[0][0].legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _panel(axis: Any, report: AttackReport) -> None:
    metric = shown_metric(report)
    for role, curve in worst_curves(report, metric).items():
        held = {place: value for place, value in curve.items() if value is not None}
        if not held:
            continue
        colour, line = LOOK[role]
        places = list(held)
        means = list(held.values())
        numeric = all(isinstance(place, (int, float)) for place in places)
        axis.plot(places if numeric else range(len(places)), means, line, color=colour, marker="o", markersize=3, label=role)
        if not numeric:
            axis.set_xticks(range(len(places)), places, rotation=30, ha="right", fontsize=7)
    axis.set_title(report.attack, fontsize=10)
    axis.set_xlabel(report.along)
    axis.set_ylim(-0.02, 1.02)
    axis.grid(alpha=0.25)


def plot_front(
    points: list[tuple[str, float | None, float | None]],
    front: set[str],
    failed: set[str],
    names: tuple[str, ...],
    path: Path,
) -> None:
    """Runs by forgetting and utility; those that no other beats are ringed, those that did not end well grey.

    Raises:
        UnlearnError: matplotlib is not installed, or the file's ending is no picture's.
    """
    check_drawable(path)
    pyplot = _pyplot()
    figure, axis = pyplot.subplots(figsize=(5.6, 4), layout="constrained")
    for name, x, y in points:
        if x is None or y is None:
            continue
        colour = "#999999" if name in failed else "#0072B2"
        axis.scatter([x], [y], s=36, color=colour, edgecolors="#D55E00" if name in front else "none", linewidths=2)
        axis.annotate(name, (x, y), textcoords="offset points", xytext=(6, 4), fontsize=8)
    axis.set_xlabel(names[0])
    axis.set_ylabel(names[1])
    axis.grid(alpha=0.25)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def check_drawable(path: Path) -> None:
    """See before any work that a picture can be made.

    Raises:
        UnlearnError: matplotlib is not installed, or the file's ending is no picture's.
    """
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UnlearnError(f"--plot {path}: a file ending in .png, .svg or .pdf is expected")
    if find_spec("matplotlib") is None:
        raise UnlearnError("--plot needs matplotlib", "pip install 'unlearn-cli[plot]'")
