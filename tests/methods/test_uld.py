"""ULD's training of the assistant; the composition is tested in tests/models/test_compose.py."""

from __future__ import annotations

import pytest

from tests.fixture_f import everywhere, fixture
from unlearn_cli.contract import METHODS, RETAIN_TERMS

uld, uniform = METHODS.get("uld"), RETAIN_TERMS.get("uniform")


def test_fixture() -> None:
    """T_forget + 5 U over all positions of the retain rows: 3.77275494 + 5 * 0.68329556 = 7.18923275."""
    remembered = uld(fixture("forget"), fixture("alternative"), perturbed=0.0, average="tokens").mean().item()
    assert remembered == pytest.approx(3.772754942968978, abs=1e-6)
    uniformity = uniform(everywhere("retain")).mean().item()
    assert remembered + 5 * uniformity == pytest.approx(7.189232745189573, abs=1e-6)


def test_wrong_answers_are_to_be_unknown() -> None:
    with_wrong = uld(fixture("forget"), fixture("alternative"), perturbed=2.0)
    without = uld(fixture("forget"), fixture("alternative"), perturbed=0.0)
    assert (with_wrong - without).tolist() == pytest.approx((2 * uniform(fixture("alternative"))).tolist(), abs=1e-9)


def test_what_it_declares() -> None:
    assert (uld.trains, uld.applied, uld.alternatives) == ("assistant", "logit_difference", "perturbed")
    assert uld.defaults.retain_term == "uniform"
