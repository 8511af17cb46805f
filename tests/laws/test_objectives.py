"""Every law over every method and retain term in the registries; a new file is covered by being there."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import pytest
import torch

from tests.fixture_f import outputs_of
from tests.laws.laws import LAWS, called, sample
from unlearn_cli.contract import METHODS, RETAIN_TERMS, Term
from unlearn_cli.training.gradients import Gradients, Share

REGISTERED = [registry.get(name) for registry in (METHODS, RETAIN_TERMS) for name in registry.names()]
OBJECTIVES = [o for o in REGISTERED if isinstance(o, Term) and o.needs]


def name_of(objective: Any) -> str:
    return f"{type(objective).__name__}-{objective.name}"


def variants() -> list[tuple[Any, str, Any]]:
    """Objectives with one choice set to a value other than its default: (objective, label)."""
    collected = []
    for objective in OBJECTIVES:
        for parameter in objective.parameters.values():
            choices = get_args(parameter.type)[0]
            values = get_args(choices) if get_origin(choices) is Literal else ()
            for value in values:
                if value != parameter.default:
                    label = f"{name_of(objective)}-{parameter.name}={value}"
                    function = partial(objective.function, **{parameter.name: value})
                    collected.append(pytest.param(replace(objective, function=function), id=label))
    return collected


def test_only_the_empty_retain_term_needs_nothing() -> None:
    assert [o.name for o in REGISTERED if not o.needs] == ["none"]
    assert len(OBJECTIVES) >= 8


def holds(objective: Any, law: str) -> None:
    """The law holds; of an objective that says its rows are coupled, the split of a batch must break."""
    if law == "split_batch" and objective.coupled:
        with pytest.raises(AssertionError, match="parts of a batch"):
            LAWS[law](objective)
    else:
        LAWS[law](objective)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
def test_law(objective: Any, law: str) -> None:
    holds(objective, law)


@pytest.mark.parametrize("law", [name for name in LAWS if name != "split_batch"])
@pytest.mark.parametrize("objective", variants())
def test_law_with_another_choice(objective: Any, law: str) -> None:
    """A token mean depends on the lengths of the other rows (documented), so that only the split is left out."""
    LAWS[law](objective)


@pytest.mark.parametrize("objective", [v for v in variants() if "average=" in v.id])
def test_a_token_mean_is_the_only_reason_to_leave_out_the_split(objective: Any) -> None:
    with pytest.raises(AssertionError, match="parts of a batch"):
        LAWS["split_batch"](objective)


@pytest.mark.parametrize(
    "method", [o for o in OBJECTIVES if o.name in METHODS.names() and o.logps and "policy" in o.needs], ids=name_of
)
def test_a_row_far_below_the_level_comes_back(method: Any) -> None:
    """No method leaves a row near 0 for good: one step makes answers likelier that have 1e-6 where the level is 0.05."""
    answers = [torch.tensor(tokens) for tokens in ([1, 2, 3], [4], [0, 5], [1, 2, 3, 4, 6])]
    logits = [torch.zeros(len(answer), 7, dtype=torch.float64) for answer in answers]
    lowered = [z.scatter(1, answer[:, None], -12.0).requires_grad_() for z, answer in zip(logits, answers, strict=True)]
    known = [z.scatter(1, answer[:, None], 5.0) for z, answer in zip(logits, answers, strict=True)]
    roles, before = sample(method), outputs_of(lowered, answers)
    for role, outputs in {"policy": before, "reference": outputs_of(known, answers)}.items():
        if role in roles:
            roles[role] = replace(outputs, hidden=roles[role].hidden)
    passes = SimpleNamespace(objective=SimpleNamespace(positions={"forget": "answer"}))
    step = Gradients(passes, [], [(0, row) for row in range(4)], [], 1.0, 0, 0.0, 1, {}, level=0.05, seen={})  # type: ignore[arg-type]
    step._gated(called(method, roles), step.forget, before, Share()).sum().backward()
    after = outputs_of([z.detach() - 0.01 * z.grad for z in lowered if z.grad is not None], answers)
    assert (after.mean_logps > before.mean_logps + 1e-3).all()


def temperatures() -> list[Any]:
    """Objectives with a positive parameter at ten times and at a tenth of its default."""
    collected = []
    for objective, factor in product(OBJECTIVES, (0.1, 10.0)):
        for parameter in objective.parameters.values():
            if isinstance(parameter.default, float) and parameter.default > 0:
                value = parameter.default * factor
                function = partial(objective.function, **{parameter.name: value})
                label = f"{name_of(objective)}-{parameter.name}={value:g}"
                collected.append(pytest.param(replace(objective, function=function), id=label))
    return collected


@pytest.mark.parametrize("objective", temperatures())
def test_laws_at_other_temperatures(objective: Any) -> None:
    """A temperature can overflow, or be forgotten on one side; which row gets gradient does not depend on it."""
    for law in ("shape_and_range", "softmax_shift", "padding"):
        holds(objective, law)
