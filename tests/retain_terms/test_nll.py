"""The mean NLL of the retain answers."""

from __future__ import annotations

import pytest

from tests.fixture_f import answers, fixture
from unlearn_cli.contract import RETAIN_TERMS

nll = RETAIN_TERMS.get("nll")


def test_worked_example() -> None:
    """(1 + 2 + 3) / 3 = 2 and (0.5 + 1.5) / 2 = 1; as tokens, sums 6 and 2 over the mean length 2.5: 2.4 and 0.8."""
    policy = answers([-1.0, -2.0, -3.0], [-0.5, -1.5])
    assert nll(policy).tolist() == pytest.approx([2.0, 1.0], abs=1e-12)
    assert nll(policy, average="tokens").tolist() == pytest.approx([2.4, 0.8], abs=1e-12)


def test_fixture() -> None:
    """Published code averages over all 6 answer tokens: (10.398606 + 6.082137) / 6 = 2.74679054."""
    policy = fixture("retain")
    assert nll(policy, average="tokens").mean().item() == pytest.approx(2.746790535383448, abs=1e-6)
    assert nll(policy).tolist() == pytest.approx([2.599651533755371, 3.041068538639602], abs=1e-6)
    reference = fixture("retain", "reference")
    assert nll(reference, average="tokens").mean().item() == pytest.approx(1.8504276392821446, abs=1e-6)


def test_gradient_raises_the_answer() -> None:
    policy = answers([-1.0, -2.0], [-0.5])
    nll(policy).sum().backward()
    assert policy.token_logps.grad[policy.mask].tolist() == [-0.5, -0.5, -1.0]
