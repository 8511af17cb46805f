"""What is done between two steps with the controller's decision."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from unlearn_cli.recipes.forgetting.pursuit import PROBED_ROWS, Pursuit
from unlearn_cli.training.target import Controller, Decision, Probe, Target


def pursuit_of(controller: object, probe: Callable[[int], Probe], monkeypatch: pytest.MonkeyPatch) -> Pursuit:
    """A pursuit without a model. A measurement of `count` rows of each split gives `probe(count)`."""
    monkeypatch.setattr(Pursuit, "__init__", lambda self: None)
    monkeypatch.setattr(Pursuit, "_probe", lambda self, seen, count: probe(count))
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
        state={"best": []},
        retain_weight=1.0,
        adjust=lambda **changes: None,
        copy_weights_to=lambda copy: None,
        set_weights=lambda weights: None,
    )
    pursuit.controller = controller  # type: ignore[assignment]
    pursuit._prune, pursuit._course, pursuit.every = None, [], 1
    return pursuit


@pytest.mark.parametrize(("now", "then"), [(1.0, 1.5), (50.0, 50.0)])
def test_to_hold_harder_never_lowers_the_weight(monkeypatch: pytest.MonkeyPatch, now: float, then: float) -> None:
    """The dual variable of pdu may have risen beyond what the controller asks for."""
    controller = SimpleNamespace(
        forget_rows=0,
        state={"is_best": False, "best": [0.0]},
        wants_probe=lambda *_: True,
        settling_is_over=lambda *_: False,
        decide=lambda *_: Decision("raising their weight", retain_weight=1.5),
        rate_factor=lambda step: 1.0,
    )
    pursuit, changes = pursuit_of(controller, lambda count: Probe(0.05, 0.1, 0.9), monkeypatch), []
    pursuit.trainer.retain_weight = now
    pursuit.trainer.adjust = lambda **change: changes.append(change)  # type: ignore[method-assign,misc]
    assert pursuit.after(10) is None and [change["retain_weight"] for change in changes] == [then]


@pytest.mark.parametrize(("few", "more", "ends"), [(0.955, 0.975, True), (0.975, 0.955, False), (0.955, 0.955, False)])
def test_more_rows_decide_where_settling_is_over(
    monkeypatch: pytest.MonkeyPatch, few: float, more: float, ends: bool
) -> None:
    """By chance eight retain rows may have lost more than the others: the run ends all the same. Or less: it goes on."""
    controller = Controller(Target(level=0.1, row_level=0.2, keep=0.95), 20, 8, 100, retain_weight=1.0)
    controller.decide(20, Probe(0.05, 0.1, few))
    step = 20 + controller.state["settle_steps"]
    pursuit = pursuit_of(controller, lambda count: Probe(0.05, 0.1, few if count == PROBED_ROWS else more), monkeypatch)
    assert (pursuit.after(step) is not None) == ends
