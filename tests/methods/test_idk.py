"""Refusal fine-tuning: the NLL of the refusals, averaged apart from the retain answers."""

from __future__ import annotations

import pytest

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import METHODS, RETAIN_TERMS

idk = METHODS.get("idk")


def test_worked_example() -> None:
    """(1 + 2 + 3) / 3 = 2 and (0.5 + 1.5) / 2 = 1; as tokens, sums 6 and 2 over the mean length 2.5: 2.4 and 0.8."""
    refusals = answers([-1.0, -2.0, -3.0], [-0.5, -1.5])
    assert idk(refusals).tolist() == pytest.approx([2.0, 1.0], abs=1e-12)
    assert idk(refusals, average="tokens").tolist() == pytest.approx([2.4, 0.8], abs=1e-12)


def test_fixture() -> None:
    refusals = fixture("alternative")
    assert idk(refusals, average="tokens").mean().item() == pytest.approx(3.5697775111193755, abs=1e-6)
    assert idk(refusals).tolist() == pytest.approx([2.675668210564328, 4.165850378156073], abs=1e-6)


def test_fixture_with_the_retain_term() -> None:
    """The two token means apart and added, as in the AltPO repository: 6.31656805 (one mean over both: 3.12087552)."""
    retained = RETAIN_TERMS.get("nll")(fixture("retain"), average="tokens").mean()
    forgotten = idk(fixture("alternative"), average="tokens").mean()
    assert (forgotten + retained).item() == pytest.approx(6.316568046502823, abs=1e-6)


def test_gradient_raises_the_refusal() -> None:
    refusals = answers([-1.0, -2.0], [-0.5])
    idk(refusals).sum().backward()
    assert refusals.token_logps.grad[refusals.mask].tolist() == [-0.5, -0.5, -1.0]


def test_the_true_answer_is_not_looked_at() -> None:
    assert idk.needs == ("alternative",)
