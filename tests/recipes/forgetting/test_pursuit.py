"""What is done between two steps with the controller's decision."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from unlearn_cli.recipes.forgetting.pursuit import Pursuit
from unlearn_cli.training.target import Decision, Probe


@pytest.mark.parametrize(("now", "then"), [(1.0, 1.5), (50.0, 50.0)])
def test_to_hold_harder_never_lowers_the_weight(monkeypatch: pytest.MonkeyPatch, now: float, then: float) -> None:
    """The dual variable of pdu may have risen beyond what the controller asks for."""
    set_to = []
    monkeypatch.setattr(Pursuit, "__init__", lambda self: None)
    monkeypatch.setattr(Pursuit, "_probe", lambda self, seen, count: Probe(0.05, 0.1, 0.9))
    pursuit = Pursuit()  # type: ignore[call-arg]
    pursuit.run = SimpleNamespace(  # type: ignore[assignment]
        steps=100,
        resolved=SimpleNamespace(
            clock=SimpleNamespace(phase=lambda name: nullcontext()),
            folder=SimpleNamespace(append=lambda line: None),
            reporter=SimpleNamespace(say=lambda text: None),
        ),
    )
    pursuit.trainer = SimpleNamespace(  # type: ignore[assignment]
        state={}, retain_weight=now, adjust=lambda rate_factor, retain_weight: set_to.append(retain_weight)
    )
    pursuit.controller = SimpleNamespace(  # type: ignore[assignment]
        forget_rows=0, state={"is_best": False, "best": [0.0]}, wants_probe=lambda *_: True, could_stop=lambda *_: False,
        decide=lambda *_: Decision("raising their weight", retain_weight=1.5), rate_factor=lambda step: 1.0,
    )  # fmt: skip
    pursuit._prune, pursuit._course, pursuit.every = None, [], 1
    assert pursuit.after(10) is None and set_to == [then]
