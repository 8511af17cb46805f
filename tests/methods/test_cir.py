"""CIR: projections, the confusion loss and the drift."""

from __future__ import annotations

import pytest
import torch

from tests.fixture_f import ATTENDED, states
from unlearn_cli.methods.cir import confusion, directions_of, drift, project_out


def test_projection() -> None:
    """a = (3, 4) without its part along (1, 0), of whatever length: (0, 4)."""
    assert project_out(torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0, 0.0]])).tolist() == [[0.0, 4.0]]


def test_what_is_projected_out_is_gone() -> None:
    values = torch.randn(30, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions = directions_of(values, 3)
    assert directions.shape == (3, 6)
    left = project_out(values, directions[1:])
    assert (left @ directions[1:].T).abs().max() < 1e-9
    torch.testing.assert_close(directions[0], values.mean(0))


def test_confusion_of_the_fixture() -> None:
    """On the attended positions but each row's first: 0.19241891; of the reference with itself 1.03172793, at least 1."""
    policy, reference = states()
    chosen = ATTENDED.clone()
    chosen[:, 0] = False
    o, o0 = policy.hidden[0][chosen], reference.hidden[0][chosen]
    assert confusion(o, o0).item() == pytest.approx(0.19241891122617338, abs=1e-6)
    assert confusion(o0, o0).item() == pytest.approx(1.0317279288938694, abs=1e-6)


def test_drift_of_the_fixture() -> None:
    """Over the 5 + 4 attended positions of the retain rows: 1.46235940; nothing at the reference."""
    mask = torch.tensor([[True] * 5, [True] * 4 + [False]])
    policy, reference = states()
    h, h0 = policy.hidden[0][mask], reference.hidden[0][mask]
    assert drift(h0, h0).item() == 0
    assert drift(h, h0).item() == pytest.approx(1.4623593953195662, abs=1e-6)
