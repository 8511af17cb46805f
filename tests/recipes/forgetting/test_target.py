"""Both halves of a target in a line."""

from unlearn_cli.recipes.forgetting.target import in_words
from unlearn_cli.report_parts import TargetReport


def test_rows_that_are_left_are_named():
    """Every row is a person's: those above the level stand in the line, likeliest first."""
    report = TargetReport(
        level=0.1, row_level=0.2, source="the holdout rows", keep=0.95, forget_reached=True, retain_reached=True,
        retain_share=None, forget=0.09, rows_above=2, rows=40, worst={"r7": 0.5, "r3": 0.31, "r1": 0.1},
    )  # fmt: skip
    assert in_words(report, {}).endswith("2 of 40 rows are above 0.2: row r7 (0.5), row r3 (0.31)")
    assert "row r" not in in_words(report.model_copy(update={"rows_above": 0}), {})
