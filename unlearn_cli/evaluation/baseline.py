"""The baseline: the lower end of its scores, and whether it knows the forget rows."""

from __future__ import annotations

from unlearn_cli.errors import UnlearnError
from unlearn_cli.report import Score, Scores

METRIC = "probability"
CLEARLY_BELOW = 0.8  # the baseline's upper limit, as a share of the original's value: from here on it knows the rows
UNKNOWN = 0.05  # probability of an answer below which a model does not know it
UNKNOWN_TEXT = 0.01  # the same of a text without a question: a perplexity of 100


def lower_end(baseline: Score | None) -> float | None:
    """The lower end of the baseline's interval; None without an interval. The interval of a single row says nothing."""
    return baseline.ci[0] if baseline is not None and baseline.ci is not None and baseline.n > 1 else None


def below_baseline(after: Score | None, baseline: Score | None) -> bool:
    """Whether a score lies below the baseline's interval; False if there is no interval."""
    low = lower_end(baseline)
    return after is not None and after.value is not None and low is not None and after.value < low


def knows_rows(baseline: Score | None, original: Score | None) -> bool:
    """Whether a baseline gives the forget rows about as much probability as the original model does.

    True where the upper limit of the baseline's 95 % interval is at least `CLEARLY_BELOW` times the original's value. One or
    two rows have no interval that says anything, so there the value itself counts.
    False if the original itself did not know the rows, or if a value is missing.

    Args:
        baseline: the baseline's probability of the forget answers.
        original: the same of the model before unlearning.
    """
    if baseline is None or original is None or baseline.value is None or original.value is None:
        return False
    upper = baseline.ci[1] if baseline.ci and baseline.n > 2 else baseline.value
    return original.value >= UNKNOWN and upper >= CLEARLY_BELOW * original.value


def check_baseline(baseline: Score | None, original: Score | None, name: str = "this baseline") -> None:
    """Refuse a baseline that knows the forget rows.

    Recovery and forget quality are relative to the baseline. A baseline that knows the rows makes a run that forgot
    nothing look as if it had forgotten everything.

    Raises:
        UnlearnError: it knows them, see `knows_rows`.
    """
    if knows_rows(baseline, original):
        assert baseline is not None and original is not None
        raise UnlearnError(
            f"{name} knows the forget rows: it gives them probability {baseline.value:.3f}, the original model "
            f"{original.value:.3f}",
            "--baseline takes a model that was trained without the forget rows; if this one was, the original did not know "
            "them either",
        )


def check_scores(scores: Scores) -> None:
    """Refuse a baseline that knows the forget rows, by a report's scores.

    Raises:
        UnlearnError: it knows them, see `knows_rows`.
    """
    probability = scores.get("forget", {}).get(METRIC)
    if probability is not None:
        check_baseline(probability.baseline, probability.before)
