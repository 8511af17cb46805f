"""What the training bar shows on terminals of several widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from unlearn_cli.console import Reporter
from unlearn_cli.recipes.forgetting.train import detail
from unlearn_cli.training.loop import StepRecord

STEP = StepRecord(17, 0.7, 27.7, 27.704, 0.021, 1.17, 1e-3, 2659, 2659, 1.0)


def drawn(width: int, what: str, done: int, total: int, text: str) -> str:
    """The last line that the bar drew."""
    reporter, out = Reporter(), io.StringIO()
    reporter._err, reporter._live = Console(file=out, width=width, force_terminal=True, color_system=None), True
    with reporter.progress(what, total) as bar:
        bar.advance(done, text)
        bar._drawn.refresh()
        lines = out.getvalue().replace("\r", "\n").splitlines()
    line = next(line for line in reversed(lines) if what in line)
    return line.partition("\x1b[2K")[2] or line  # without the code that clears the line before


@pytest.mark.parametrize(("width", "seen"), [(60, 2), (80, 2), (100, 2), (160, 5)])
def test_count_and_times_are_whole_and_the_detail_gives_way(width: int, seen: int) -> None:
    line = drawn(width, "forgetting", 17, 25, detail(STEP, used=0.9))
    assert "17/25" in line and "0:00:0" in line and len(line.rstrip()) <= width
    parts = ("forget 27.704", "retain 0.021", "grad 1.17", "2,659 tok/s", "0.9 GiB")
    assert [part in line for part in parts][:seen] == [True] * seen
    assert line.rstrip().endswith(parts), "no part is cut"


def test_the_bar_goes_last() -> None:
    assert "\u2501" in drawn(80, "forgetting", 17, 25, detail(STEP, used=0.9)).replace("\u2578", "\u2501")
    assert "\u2501" not in drawn(60, "forgetting", 17, 25, detail(STEP, used=0.9)).replace("\u2578", "\u2501")


def test_many_rows_and_no_detail() -> None:
    line = drawn(80, "measuring retain baseline", 40_000, 100_000, "")
    assert "40000/100000" in line and "0:00:0" in line
