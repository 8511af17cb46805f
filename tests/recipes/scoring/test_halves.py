"""Both halves of a target, by measured rows."""

import numpy as np
import pytest

from unlearn_cli.measured import Measured
from unlearn_cli.recipes.scoring.halves import judge_halves
from unlearn_cli.report_parts import Aims

AIMS = Aims(level=0.09, row_level=0.27, source="the holdout rows", keep=0.95)


def measured(probabilities: list[float]) -> Measured:
    rows = len(probabilities)
    return Measured(
        split="forget", ids=tuple(f"r{i}" for i in range(rows)), prompts=("q",) * rows, references=("a",) * rows,
        generations=(None,) * rows, token_logps=np.log(probabilities), is_argmax=np.zeros(rows, bool), mu=np.zeros(rows),
        sigma=np.ones(rows), offsets=np.arange(rows + 1), ends=np.zeros(rows, bool), rows_in_split=rows,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("left", "reached", "known"),
    [
        ([0.04] * 20, True, 0),
        ([0.04] * 19 + [0.4], True, 0),  # one of twenty rows that were never known lies above their level
        ([0.04] * 19 + [0.98], False, 1),  # and this one is still there, whatever the mean
        ([0.04] * 18 + [0.4, 0.4], False, 0),
        ([0.1] * 20, False, 0),
    ],
)
def test_no_row_hides_behind_the_mean(left: list[float], reached: bool, known: int) -> None:
    before, after = measured([0.99] * len(left)), measured(left)
    report = judge_halves(AIMS, {"before": {"forget": before}, "after": {"forget": after}}, {}, None, None)
    assert (report.forget_reached, report.rows_known) == (reached, known)
    assert report.retain_reached and report.retain_share is None


def test_the_retain_half_is_a_share_of_what_there_was() -> None:
    forget = measured([0.04] * 20)
    for left, kept in ((0.96, True), (0.94, False)):
        moments = {m: {"forget": forget, "retain": measured([0.5 * v] * 4)} for m, v in (("before", 1), ("after", left))}
        report = judge_halves(AIMS, moments, {}, None, None)
        assert report.retain_reached is kept and report.retain_share == pytest.approx(left)
