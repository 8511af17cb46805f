"""The 95 % interval of a mean over rows, from its resampled values. numpy only, and scipy for few rows."""

from __future__ import annotations

import numpy as np

Z = 1.959963984540054  # 0.975 quantile of the normal distribution
MANY = 100  # degrees of freedom; from here on the series of `t_975` is right to 0.0003
ANY: tuple[float | None, float | None] = (None, None)


def expanded(
    drawn: np.ndarray, value: float, rows: int, bounds: tuple[float | None, float | None] = ANY
) -> tuple[float, float] | None:
    """The expanded percentile interval at 95 %; None for a single row, which says nothing of others.

    A percentile interval of few rows is much too narrow: of rows with normal noise it holds the truth in 83 % of the cases
    for 5 rows, and in 92 % for 20. So its ends move outwards by the factor t_{R-1} / z * sqrt(R / (R - 1)) (Hesterberg 2015,
    What Teachers Should Know About the Bootstrap, The American Statistician 69:371-386, arXiv:1411.5279). It holds the
    truth in 95 % then.

    Args:
        drawn: [S] values of the resamples.
        value: of the rows themselves.
        rows: R, that were resampled; of two samples the smaller number.
        bounds: the least and the largest value that there can be; the ends stay between them.
    """
    if rows < 2 or not len(drawn):
        return None
    wider = (rows / (rows - 1)) ** 0.5 * t_975(rows - 1) / Z
    low, high = (value + wider * float(end - value) for end in np.percentile(drawn, [2.5, 97.5]))
    least, most = bounds
    return (low if least is None else max(low, least), high if most is None else min(high, most))


def t_975(freedom: float) -> float:
    """The 0.975 quantile of Student's t; for many degrees of freedom, the first two terms of its series in 1 / freedom."""
    if freedom >= MANY:
        return Z + (Z**3 + Z) / (4 * freedom)
    from scipy.special import stdtrit  # noqa: PLC0415 - takes 0.16 s, which a comparison of many rows need not wait for

    return float(stdtrit(freedom, 0.975))
