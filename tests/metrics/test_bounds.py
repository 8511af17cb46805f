"""Bounds from samples, against the published numbers and by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from unlearn_cli.metrics._bounds import deviation_bound, dkw, expectation_bound, leak_at, leak_bound

ALPHA = 0.01
SAMPLES = {
    "grid": np.arange(128) / 127,
    "zeros": np.zeros(128),
    "one": np.array([1.0, *[0.0] * 127]),
    "halves": np.full(128, 0.5),
}


@pytest.mark.parametrize(
    ("name", "expectation", "deviation", "published"),
    [
        ("grid", 0.629913, 0.5, 0.5),
        ("zeros", 0.134123, 0.384628, 0.370808),
        ("one", 0.141935, 0.395485, 0.381560),
        ("halves", 0.571435, 0.316629, 0.303106),
    ],
)
def test_published_samples(name: str, expectation: float, deviation: float, published: float) -> None:
    """The demo of the publication hands 2 alpha to the deviation's bound, which is too narrow; its 0.5218 for the grid is
    more than any score in [0, 1] can deviate."""
    assert expectation_bound(SAMPLES[name], ALPHA) == pytest.approx(expectation, abs=1e-6)
    assert deviation_bound(SAMPLES[name], ALPHA) == pytest.approx(deviation, abs=1e-6)
    assert deviation_bound(SAMPLES[name], 2 * ALPHA) == pytest.approx(published, abs=1e-6)


@pytest.mark.parametrize(("n", "width"), [(128, 0.1341228766), (1024, 0.0474195978)])
def test_width_of_the_band(n: int, width: float) -> None:
    """sqrt(ln 100 / 2n)."""
    assert dkw(n, ALPHA) == pytest.approx(width, abs=1e-9)


@pytest.mark.parametrize(
    ("leaks", "bound"), [(0, 0.0353383801), (1, 0.0507345392), (5, 0.0992052607), (64, 0.6053236597), (128, 1.0)]
)
def test_leaks_of_128(leaks: int, bound: float) -> None:
    """None of n: 1 - alpha^(1/n)."""
    assert leak_bound(leaks, 128, ALPHA) == pytest.approx(bound, abs=1e-9)
    assert leak_bound(0, 128, ALPHA) == pytest.approx(1 - ALPHA ** (1 / 128))


def test_the_bounds_hold() -> None:
    """500 samples of 64 from a known distribution: the bound is below the truth no oftener than it may be."""
    noise = np.random.default_rng(0)
    draws = noise.beta(2, 5, (500, 64))
    expected, deviation = 2 / 7, np.sqrt(10 / (49 * 8))
    assert np.mean([expectation_bound(x, 0.05) < expected for x in draws]) <= 0.05
    assert np.mean([deviation_bound(x, 0.05) < deviation for x in draws]) <= 0.05


@pytest.mark.parametrize("n", [2, 8, 128])
def test_no_deviation_is_above_a_half(n: int) -> None:
    """Half zeros and half ones deviate most, by 0.5; the band alone gives 0.6 and more there."""
    assert deviation_bound(np.repeat([0.0, 1.0], n // 2), ALPHA) == 0.5


def test_leaks_among_k_draws() -> None:
    """1 of 4 draws leaks: 1/4 of single draws, 1/2 of pairs (3 of 6), all of four. No leak, no chance."""
    assert [leak_at(1, 4, k) for k in (1, 2, 4)] == pytest.approx([0.25, 0.5, 1.0])
    assert leak_at(0, 4, 3) == 0.0 and leak_at(4, 4, 1) == 1.0
    every = list(combinations([True, True, False, False, False], 3))
    assert leak_at(2, 5, 3) == pytest.approx(sum(any(drawn) for drawn in every) / len(every))
