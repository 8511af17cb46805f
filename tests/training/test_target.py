"""The gate and the controller, on hand-made curves: a run is a list of what its probes would see."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from unlearn_cli.outputs import Outputs
from unlearn_cli.training.gradients import Gradients, Share
from unlearn_cli.training.target import Controller, Probe, Target, gate, likelihood_weights

TARGET = Target(level=0.1, row_level=0.2, keep=0.95)


def played(curve: Callable[[int, Controller], Probe], *, budget: int = 200, rows: int = 20, batch: int = 8):
    """Run the controller against a curve; returns it, its decisions and the rate's factor after each, and the last step."""
    controller, decisions, factors = Controller(TARGET, rows, batch, budget, retain_weight=1.0), {}, {}
    for step in range(1, budget + 1):
        probe = curve(step, controller)
        if controller.wants_probe(step, [probe.forget] * rows, every=7):
            decision = controller.decide(step, probe)
            if decision:
                decisions[step], factors[step] = decision, controller.rate_factor(step)
                if decision.stop:
                    return controller, decisions, factors, step
    return controller, decisions, factors, budget


def test_gate():
    """Full weight from four times the level on, half at twice, none at it, pulled back below; no gradient through it."""
    logps = torch.tensor([0.9, 0.4, 0.2, 0.1, 0.07, 0.01]).log().requires_grad_()
    assert gate(logps, 0.1).tolist() == pytest.approx([1, 1, 0.5, 0, math.log(0.7) / math.log(4), -0.5], abs=1e-6)
    assert not gate(logps, 0.1).requires_grad


def test_likelihood_weights():
    """None at a quarter of the level, half at an eighth, full at a sixteenth; no gradient through it."""
    logps = torch.tensor([0.9, 0.1, 0.025, 0.0125, 0.00625, 1e-9]).log().requires_grad_()
    assert likelihood_weights(logps, 0.1).tolist() == pytest.approx([0, 0, 0, 0.5, 1, 1], abs=1e-5)
    assert not likelihood_weights(logps, 0.1).requires_grad


PULLED = -0.5 - math.log(0.001)  # the loss of 1 at its lowest weight, and the answer's own loss


@pytest.mark.parametrize(("positions", "weights"), [("answer", [1.0, PULLED]), ("all", [1.0, 1.0]), ("prompt", [1.0, 1.0])])
def test_the_gate_weighs_by_answers_alone(positions: str, weights: list[float]):
    """The level is that of answers: tokens of a question say nothing of it."""
    passes = SimpleNamespace(objective=SimpleNamespace(positions={"forget": positions}))
    policy = Outputs(
        torch.tensor([[0.9], [0.001]]).log(), torch.ones(2, 1, dtype=torch.long), torch.ones(2, 1, dtype=torch.bool)
    )
    share = Share()
    step = Gradients(passes, [], [(0, 0), (0, 1)], [], 1.0, 0, 0.0, 1, {}, level=0.1, seen={})
    assert step._gated(torch.ones(2), step.forget, policy, share).tolist() == pytest.approx(weights)
    assert bool(share.seen) == (positions == "answer")


def test_comes_down_settles_and_stops():
    controller, decisions, factors, end = played(lambda s, c: Probe(max(0.09, 0.9 * 0.8**s), 0.15, 0.97))
    settling, stop = decisions.values()
    assert "settling" in settling.reason and stop.stop and controller.state["best_step"] == end
    assert end < 40 and controller.phase == "end"


def test_the_rate_falls_to_zero_while_it_settles():
    controller = Controller(TARGET, 20, 8, 200, 1.0)
    controller.decide(20, Probe(0.05, 0.1, 1.0))
    length = controller.state["settle_steps"]
    assert controller.rate_factor(20) == 1.0
    assert controller.rate_factor(20 + length) == 0.0
    assert 0 < controller.rate_factor(20 + length // 2) < 1


def test_one_row_above_its_level_is_not_forgotten():
    """A mean that is down hides one person's row."""
    controller = Controller(TARGET, 20, 8, 200, 1.0)
    assert controller.decide(20, Probe(0.05, 0.6, 1.0)) is None
    assert controller.phase == "forget"


def test_overshooting_at_a_loss_goes_back_to_the_best_state():
    """One row and a high rate: two steps later it lies far below the level, and retain rows went with it."""
    controller = Controller(TARGET, 1, 8, 200, 1.0)
    controller.decide(3, Probe(0.1, 0.1, 0.98))
    back = controller.decide(6, Probe(0.01, 0.01, 0.89))
    assert back.back and "after step 3" in back.reason
    assert controller.phase == "forget" and controller.rate_factor(6) == 0.25
    assert "settling" in controller.decide(9, Probe(0.1, 0.1, 0.98)).reason


@pytest.mark.parametrize("probe", [Probe(0.01, 0.01, 0.98), Probe(0.04, 0.04, 0.89), Probe(0.01, 0.01, None)])
def test_what_costs_nothing_or_is_near_the_level_goes_on(probe):
    controller = Controller(TARGET, 1, 8, 200, 1.0)
    controller.decide(3, Probe(0.1, 0.1, 0.98))
    assert controller.decide(6, probe) is None


def test_it_goes_back_a_few_times_at_most():
    *_, decisions = played(lambda s, c: Probe(0.1, 0.1, 0.98) if c.phase == "forget" else Probe(0.01, 0.01, 0.8))[1:2]
    assert sum(decision.back for decision in decisions.values()) == 3


def test_the_best_state_is_the_one_that_keeps_most_of_those_that_are_down():
    """Just above what must be kept is no better than well above it."""
    controller = Controller(TARGET, 20, 8, 200, 1.0)
    controller.decide(20, Probe(0.09, 0.1, 0.97))
    controller.decide(25, Probe(0.09, 0.1, 0.955))
    assert controller.state["best_step"] == 20 and controller.state["best"][0] == 0


def test_retain_lost_after_settling_is_held_harder():
    _, decisions, factors, _ = played(lambda s, c: Probe(0.05, 0.1, 0.9 if s < 60 else 0.97))
    weights = [d.retain_weight for d in decisions.values() if d.retain_weight]
    assert weights and weights[0] == pytest.approx(1.5) and weights == sorted(weights)


def test_no_progress_trains_faster_and_not_beyond_its_limit():
    controller, decisions, factors, end = played(lambda s, c: Probe(0.8, 0.9, 1.0), budget=150)
    assert list(factors.values()) == [2.0, 4.0] and end == 150 and controller.phase == "forget"


def test_damage_trains_slower():
    """A lower rate has some steps to act before it falls again, however often is probed."""
    controller, changes = Controller(TARGET, 20, 8, 200, 1.0), {}
    for step in range(1, 20):
        if decision := controller.decide(step, Probe(0.5, 0.9, 0.3)):
            changes[step] = (decision.retain_weight, controller.rate_factor(step))
    assert changes == {1: (1.5, 0.5), 6: (2.25, 0.25), 11: (3.375, 0.125)}


@pytest.mark.parametrize(("probe", "ends"), [
    (Probe(0.05, 0.1, 0.955), False),  # of a few rows: the others may have lost more
    (Probe(0.05, 0.1, 0.955, all_retain=True), True),
    (Probe(0.05, 0.1, 0.9505, all_retain=True), False),  # less than the numbers of two passes may differ
])  # fmt: skip
def test_no_margin_is_needed_where_all_rows_are_measured(probe: Probe, ends: bool) -> None:
    controller = Controller(TARGET, 20, 8, 200, 1.0)
    controller.decide(20, Probe(0.05, 0.1, 0.96))
    assert controller.decide(20 + controller.state["settle_steps"], probe).stop == ends


def test_no_progress_while_retain_rows_are_lost_holds_harder():
    """The weight rises to its limit; from there on the rate falls."""
    _, decisions, factors, _ = played(lambda s, c: Probe(0.5, 0.9, 0.8), budget=200)
    weights = [decision.retain_weight for decision in decisions.values()]
    assert weights == [1.5, 2.25, 3.375, 5.0625, 7.59375, 8.0, None, None, None]
    assert list(factors.values()) == [1.0] * 6 + [0.5, 0.25, 0.125]


def test_without_a_retain_term_nothing_is_said_of_its_weight():
    """There is nothing to raise, so only the rate can fall."""
    controller = Controller(TARGET, 20, 8, 200, retain_weight=0.0)
    controller.decide(20, Probe(0.05, 0.1, 0.9))
    decision = controller.decide(20 + controller.state["settle_steps"], Probe(0.05, 0.1, 0.9))
    assert decision.reason == "10.0% of the retain rows' probability is lost: training at half the rate"
    assert decision.retain_weight is None


def test_a_step_that_is_not_finite_goes_back_a_few_times():
    controller = Controller(TARGET, 20, 8, 200, 1.0)
    controller.decide(5, Probe(0.3, 0.4, 0.98))
    backs = [controller.diverged(6) for _ in range(4)]
    assert [back.stop for back in backs] == [False, False, False, True] and all(back.back for back in backs)
    assert controller.rate_factor(6) == 0.25**3 and "after step 5" in backs[0].reason


def best_states(*probes: Probe) -> tuple[Controller, list[bool]]:
    """The controller after these states, and whether each was the best so far."""
    controller, best = Controller(TARGET, 20, 8, 200, 1.0), []
    for step, probe in enumerate(probes, 1):
        controller.decide(step, probe)
        best.append(controller.state["is_best"])
    return controller, best


def test_a_state_with_a_row_above_its_level_is_not_the_best():
    """Three states whose means are down. In the first one row is not; it keeps a little more than the second."""
    _, best = best_states(Probe(0.09, 0.8, 0.99), Probe(0.09, 0.15, 0.97), Probe(0.09, 0.8, 0.99))
    assert best == [True, True, False]


def test_the_best_state_keeps_both_halves():
    """Three states: not down, down and kept, down and lost. The second is the best, whenever it came."""
    controller, best = best_states(Probe(0.5, 0.9, 1.0), Probe(0.1, 0.15, 0.96), Probe(0.01, 0.02, 0.6))
    assert best == [True, True, False] and controller.state["best_step"] == 2


def test_of_two_states_that_hold_the_one_at_the_level_is_kept():
    """The retain rows stand a little better in the other, which is a tenth of the level: a row that stands out."""
    controller = Controller(TARGET, 20, 8, 200, 1.0)
    for step, probe in enumerate([Probe(0.01, 0.02, 0.99), Probe(0.08, 0.15, 0.97), Probe(0.02, 0.03, 0.995)], 1):
        controller.decide(step, probe)
    assert controller.state["best_step"] == 2


def test_settling_ends_early_where_the_retain_rows_are_clearly_kept():
    ends = []
    for retain in (0.965, 0.99):
        controller = Controller(TARGET, 20, 8, 200, 1.0)
        controller.decide(40, Probe(0.05, 0.1, 1.0))
        ends.append(next(s for s in range(41, 80) if (d := controller.decide(s, Probe(0.05, 0.1, retain))) and d.stop))
    assert ends == [60, 45]


def test_settling_does_not_end_early_while_rows_are_far_below_the_level():
    """They come back while it settles: an eighth of the level is the limit."""
    ends = []
    for forget in (0.0124, 0.0126):
        controller = Controller(TARGET, 20, 8, 200, 1.0)
        controller.decide(40, Probe(forget, 0.1, 1.0))
        ends.append(next(s for s in range(41, 80) if (d := controller.decide(s, Probe(forget, 0.1, 0.99))) and d.stop))
    assert ends == [60, 45]


def test_everything_it_remembers_is_in_its_state():
    """A controller made anew from the state, as a resumed run does, decides as the one that ran through."""
    curve = [Probe(0.9 * 0.9**s, 0.9 * 0.92**s, 0.9 + 0.001 * s) for s in range(80)]
    through, resumed = Controller(TARGET, 20, 8, 80, 1.0), Controller(TARGET, 20, 8, 80, 1.0)
    for step, probe in enumerate(curve, 1):
        resumed = Controller(TARGET, 20, 8, 80, 1.0, dict(resumed.state))
        assert through.decide(step, probe) == resumed.decide(step, probe)
        assert through.rate_factor(step) == resumed.rate_factor(step)
    assert through.state == resumed.state


def test_rows_not_yet_seen_are_not_down():
    controller = Controller(TARGET, 3, 8, 200, 1.0)
    assert not controller.wants_probe(5, [0.01, math.nan, 0.01], every=7)
    assert controller.wants_probe(5, [0.01, 0.01, 0.01], every=7)


def test_a_budget_that_ends_while_the_retain_rows_are_lost_is_no_success():
    controller = Controller(TARGET, 20, 8, 50, 1.0)
    controller.decide(40, Probe(0.05, 0.1, 0.8))
    decision = controller.decide(50, Probe(0.05, 0.1, 0.8))
    assert decision.stop and decision.reason == "the budget is spent" and controller.phase == "settle"
