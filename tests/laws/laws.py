"""What every objective owes, one function a law: each takes an objective and raises AssertionError where it is broken.

An objective is anything with `needs` and `logits` that is called with Outputs: a method, a retain term or a planted
mistake. Every law but `declared` hands over logits for all roles, and every law but `shape_and_range` looks at the
values flattened, so that a mistake is caught by the law that is about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tests.fixture_f import outputs_of
from unlearn_cli.outputs import Outputs

LENGTHS = {"policy": (3, 1, 2, 5), "alternative": (2, 4, 1, 3)}  # answers of unequal lengths; one of a single token
VOCABULARY = 7
SEED = {"policy": 0, "reference": 1, "alternative": 2, "alternative_reference": 3, "expert": 4, "novice": 5}
HIDDEN = 4
OTHERS = {"progress": 0.25, "direction": torch.linspace(-1, 1, HIDDEN, dtype=torch.float64)}

Roles = dict[str, Outputs]


def sample(objective: Any, *, scale: float = 1.0) -> Roles:
    """Random Outputs for every role that the objective needs; roles on the same rows share their answers."""
    roles = {}
    layers = len(layers_of(objective.parameters))
    for role in objective.needs:
        if role in OTHERS:
            continue
        rows = "alternative" if role.startswith("alternative") else "policy"
        words = torch.Generator().manual_seed(len(rows))
        targets = [torch.randint(VOCABULARY, (n,), generator=words) for n in LENGTHS[rows]]
        noise = torch.Generator().manual_seed(SEED[role])
        # A reference that finds the alternatives unlikely, so that what is clamped at 0 (kto) is above it here.
        peak = 3.0 * scale if role == "alternative_reference" else scale
        logits = [peak * torch.randn(n, VOCABULARY, generator=noise, dtype=torch.float64) for n in LENGTHS[rows]]
        outputs = outputs_of(logits, targets)
        hidden = [torch.randn(*outputs.mask.shape, HIDDEN, generator=noise, dtype=torch.float64) for _ in range(layers)]
        roles[role] = replace(outputs, hidden=tuple(scale * h * outputs.mask[..., None] for h in hidden))
    return roles


def layers_of(parameters: Mapping[str, Any]) -> tuple[float, ...]:
    """Depths of the default layers of an objective with `parameters`."""
    depths = [parameters[name].default for name in ("layer", "layers") if name in parameters]
    return tuple(depths[0]) if depths and isinstance(depths[0], tuple) else tuple(depths)


def phrases(objective: Any) -> dict[str, tuple[int, ...]]:
    """Token ids for every parameter that is text for the user."""
    return {name: (2, 4) for name, parameter in objective.parameters.items() if parameter.phrase}


def _with_leaves(roles: Roles) -> Roles:
    """The same numbers; token log-probabilities, logits and hidden states are leaves of their own."""
    return {
        role: replace(
            o,
            token_logps=o.token_logps.clone().requires_grad_(),
            logits=o.logits.clone().requires_grad_(),
            hidden=tuple(h.clone().requires_grad_() for h in o.hidden),
        )
        for role, o in roles.items()
    }


def _rows(roles: Roles, index: Any) -> Roles:
    return {
        role: Outputs(
            o.token_logps[index], o.targets[index], o.mask[index], o.logits[index], tuple(h[index] for h in o.hidden)
        )
        for role, o in roles.items()
    }


def called(objective: Any, roles: Roles) -> Tensor:
    """Losses of an objective on the Outputs of each role that it needs."""
    needed = {**OTHERS, **roles}
    return objective(*(needed[role] for role in objective.needs), **phrases(objective))


def _losses(objective: Any, roles: Roles) -> Tensor:
    return called(objective, roles).flatten()


def _assert_equal(actual: Tensor, expected: Tensor, message: str) -> None:
    same = actual.shape == expected.shape and torch.allclose(actual, expected, rtol=1e-9, atol=1e-11, equal_nan=True)
    assert same, f"{message}: {actual.tolist()} instead of {expected.tolist()}"


def _gradients(total: Tensor, roles: Roles) -> dict[tuple[str, str], Tensor]:
    """Gradient of `total` by (role, field); zeros where there is none."""
    leaves = {(role, field): getattr(o, field) for role, o in roles.items() for field in ("token_logps", "logits")}
    leaves |= {(role, f"hidden {i}"): h for role, o in roles.items() for i, h in enumerate(o.hidden or ())}
    leaves = {key: leaf for key, leaf in leaves.items() if leaf is not None}
    if not leaves:
        return {}
    if not total.requires_grad:
        return {key: torch.zeros_like(leaf) for key, leaf in leaves.items()}
    computed = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, retain_graph=True)
    pairs = zip(leaves.items(), computed, strict=True)
    return {key: torch.zeros_like(leaf) if gradient is None else gradient for (key, leaf), gradient in pairs}


def shape_and_range(objective: Any) -> None:
    """One finite loss for each row, with finite gradients, near certainty too."""
    for scale in (1.0, 100.0):
        roles = _with_leaves(sample(objective, scale=scale))
        losses = called(objective, roles)
        rows = len(LENGTHS["policy"])
        assert tuple(losses.shape) == (rows,), f"losses have shape {tuple(losses.shape)}, not ({rows},)"
        assert losses.isfinite().all(), f"losses are not finite: {losses.tolist()}"
        for (role, field), gradient in _gradients(losses.sum(), roles).items():
            assert gradient.isfinite().all(), f"the gradient by {role}.{field} is not finite"


def padding(objective: Any) -> None:
    """Columns past the end of every row change nothing, whatever logits stand there."""
    roles = sample(objective)
    padded = {}
    for role, o in roles.items():
        rows, columns = len(o.mask), 3
        garbage = torch.randn(rows, columns, VOCABULARY, generator=torch.Generator().manual_seed(SEED[role] + 9)).double()
        parts = [torch.cat([x, x.new_zeros(rows, columns)], 1) for x in (o.token_logps, o.targets, o.mask)]
        states = torch.randn(rows, columns, HIDDEN, generator=torch.Generator().manual_seed(SEED[role] + 11)).double()
        padded[role] = Outputs(*parts, torch.cat([o.logits, garbage], 1), tuple(torch.cat([h, states], 1) for h in o.hidden))
    _assert_equal(_losses(objective, padded), _losses(objective, roles), "padding changes the losses")


def row_order(objective: Any) -> None:
    """Rows in another order have their losses in that order."""
    roles, order = sample(objective), torch.tensor([1, 0, 3, 2])
    for chosen in (order, torch.tensor([2, 3, 1, 0])):
        _assert_equal(_losses(objective, _rows(roles, chosen)), _losses(objective, roles)[chosen], "row order matters")


def softmax_shift(objective: Any) -> None:
    """A constant added to all logits of a role, another for each role, changes no probability and so no loss."""
    roles, shifted = sample(objective), {}
    for role, o in roles.items():
        lengths = o.lengths.tolist()
        logits = [row[:n] + 5.0 * (1 + SEED[role]) for row, n in zip(o.logits, lengths, strict=True)]
        outputs = outputs_of(logits, [row[:n] for row, n in zip(o.targets, lengths, strict=True)])
        shifted[role] = replace(outputs, hidden=o.hidden)
    _assert_equal(_losses(objective, shifted), _losses(objective, roles), "a shift of the logits changes the losses")


def no_leak(objective: Any) -> None:
    """The loss of one row gives no gradient to another row."""
    roles = _with_leaves(sample(objective))
    losses = _losses(objective, roles)
    for row in range(len(losses)):
        others = [i for i in range(len(LENGTHS["policy"])) if i != row]
        for (role, field), gradient in _gradients(losses[row], roles).items():
            leaked = gradient[others].nan_to_num(0.0)  # NaN is another law's
            assert not leaked.any(), f"the loss of row {row} gives {role}.{field} of other rows a gradient"


def split_batch(objective: Any) -> None:
    """A batch in parts has the losses of the whole."""
    roles = sample(objective)
    parts = torch.cat([_losses(objective, _rows(roles, part)) for part in (slice(0, 2), slice(2, 4))])
    _assert_equal(parts, _losses(objective, roles), "the parts of a batch have other losses")


def declared(objective: Any) -> None:
    """It gets along with the roles, logits and hidden states that it declares, and uses each of them."""
    roles = _with_leaves(sample(objective))
    for kind in (objective.logits, objective.hidden):
        assert set(kind) <= set(objective.needs), f"{set(kind) - set(objective.needs)} is not needed"
    roles = {role: _as_declared(objective, role, o) for role, o in roles.items()}
    try:
        losses = _losses(objective, roles)
    except (AttributeError, TypeError) as error:
        raise AssertionError(f"it does not get along with what it declares: {error}") from error
    gradients = _gradients(losses.sum(), roles)
    trained = {role for (role, _), gradient in gradients.items() if gradient.any()}
    assert trained & {"policy", "alternative"}, "no gradient reaches a role that is trained"
    for role, o in roles.items():
        for field in _declared_fields(objective, role, o):
            named = [g for (r, f), g in gradients.items() if r == role and f.startswith(field)]
            used = any(g.any() for g in named) or _moves(objective, roles, role, field)
            assert used, f"{role} is declared, but its {field} is not used"


def _declared_fields(objective: Any, role: str, o: Outputs) -> list[str]:
    """Fields that must be used: those asked for, or else the log-probabilities."""
    fields = [name for name in ("logits", "hidden") if role in getattr(objective, name)]
    return fields or (["token_logps"] if objective.logps else [])


def _as_declared(objective: Any, role: str, o: Outputs) -> Outputs:
    return replace(
        o,
        token_logps=o.token_logps if objective.logps else None,
        logits=o.logits if role in objective.logits else None,
        hidden=o.hidden if role in objective.hidden else None,
    )


def _moves(objective: Any, roles: Roles, role: str, field: str) -> bool:
    """Whether other values of a field change the losses: a detached weight has no gradient, and is used all the same."""
    value = getattr(roles[role], field)
    other = tuple(0.5 * v for v in value) if isinstance(value, tuple) else 0.5 * value
    changed = {**roles, role: replace(roles[role], **{field: other})}
    return not torch.allclose(_losses(objective, roles), _losses(objective, changed))


LAWS: Mapping[str, Callable[[Any], None]] = {
    law.__name__: law for law in (shape_and_range, padding, row_order, softmax_shift, no_leak, split_batch, declared)
}
