"""RepNoise: what the MLPs write looks like noise, and an ascent that slows down."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.models.tiny import load, rows_of
from unlearn_cli.contract import METHODS
from unlearn_cli.data.batch import pack
from unlearn_cli.methods.repnoise import discrepancy, noise
from unlearn_cli.models.forward import HiddenStates, forward
from unlearn_cli.outputs import Outputs

repnoise = METHODS.get("repnoise")


def outputs(hidden: Tensor, nll: float) -> Outputs:
    rows, tokens, _ = hidden.shape
    mask = torch.ones(rows, tokens, dtype=torch.bool)
    logps = torch.full((rows, tokens), -nll, dtype=torch.float64)
    return Outputs(logps, torch.arange(rows * tokens).reshape(rows, tokens), mask, hidden=(hidden, hidden))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_ascent() -> None:
    """beta 0, a loss of 2 nats: -log(1 + 2). Published toy: 1.5 + 0.001 * 0.4 - log 3 = 0.40178771."""
    loss = repnoise(outputs(torch.zeros(1, 2, 3, dtype=torch.float64), 2.0), 0.0, beta=0.0).item()
    assert loss == pytest.approx(-math.log(3))
    assert 1.5 + 0.001 * 0.4 + loss == pytest.approx(0.4017877113318902, abs=1e-9)


def test_the_published_setting_is_the_default() -> None:
    defaults = {name: parameter.default for name, parameter in repnoise.parameters.items()}
    assert (defaults["alpha"], defaults["beta"], defaults["layers"]) == (1.0, 0.001, "all")


def test_discrepancy_of_one_row() -> None:
    """(0, 0) against (2, 2): |u - v|^2 = 8 = s, widths 2, 4, 8, 16, 32; 5 + 5 - 2 (e^-4 + e^-2 + e^-1 + e^-1/2 + e^-1/4)."""
    value = discrepancy(torch.zeros(1, 2, dtype=torch.float64), torch.full((1, 2), 2.0, dtype=torch.float64))
    assert value.item() == pytest.approx(10 - 2 * sum(math.exp(-x) for x in (4, 2, 1, 0.5, 0.25)), abs=1e-12)


def published(states: Tensor, others: Tensor) -> Tensor:
    """The mean of XX + YY - XY - YX over the pairs of rows, written out."""
    both = torch.cat([states, others])
    squared = (both[:, None] - both[None]).square().sum(-1)
    spread = squared.detach().sum() / (len(both) ** 2 - len(both)) / 4
    kernels = sum((-squared / (spread * 2**m)).exp() for m in range(5))
    n = len(states)
    return (kernels[:n, :n] + kernels[n:, n:] - kernels[:n, n:] - kernels[n:, :n]).mean()


def test_value_and_gradient_over_the_rows_of_a_batch() -> None:
    states, others = random(4, 6).requires_grad_(), random(4, 6, seed=1)
    ours, theirs = discrepancy(states, others).mean(), published(states, others)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-12)
    pairs = (torch.autograd.grad(loss, states)[0] for loss in (ours, theirs))
    torch.testing.assert_close(*pairs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [10.0, 30.0, 100.0])
def test_its_gradient_lives_at_any_length_of_the_states(scale: float) -> None:
    """Relative to the scale it stays the same; with fixed widths it was 2e-1 at 10, 2e-5 at 30 and 0 at 100."""
    states, others = (scale * random(4, 40)).requires_grad_(), random(4, 40, seed=1)
    (gradient,) = torch.autograd.grad(discrepancy(states, others).mean(), states)
    (at_one,) = torch.autograd.grad(discrepancy(first := (10.0 * random(4, 40)).requires_grad_(), others).mean(), first)
    assert (scale * gradient).norm().item() == pytest.approx(10 * at_one.norm().item(), rel=0.1)


def test_rows_that_are_the_noise_cost_nothing() -> None:
    drawn = random(3, 8)
    assert discrepancy(drawn, drawn).tolist() == pytest.approx([0.0] * 3, abs=1e-12)


def test_noise_is_drawn_anew_in_every_step_and_follows_the_row() -> None:
    targets, mask = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([[True] * 3, [True, True, False]])
    drawn = noise(targets, mask, 2, 4, seed=0, progress=0.0)
    assert drawn.shape == (2, 2, 3, 4) and not drawn[:, 1, 2].any()
    assert not torch.equal(drawn, noise(targets, mask, 2, 4, seed=0, progress=0.1))
    assert not torch.equal(drawn, noise(targets, mask, 2, 4, seed=1, progress=0.0))
    assert torch.equal(drawn.flip(1), noise(targets.flip(0), mask.flip(0), 2, 4, seed=0, progress=0.0))
    assert not torch.equal(drawn[0], drawn[1])


def test_it_reads_what_the_mlps_write() -> None:
    """On a Llama the output of each block's `mlp` at the positions that predict the answer, not the residual stream."""
    loaded, rows = load("llama"), rows_of((9, 6))
    batch, written = pack({"forget": rows}), []
    members = loaded.model.model.layers
    handles = [block.mlp.register_forward_hook(lambda module, inputs, output: written.append(output)) for block in members]
    layers = tuple(range(1, len(members) + 1))
    outputs = forward(
        loaded.model, batch, loaded.layout, states=HiddenStates({"forget": layers}, mlp=frozenset({"forget"}))
    )["forget"]
    for handle in handles:
        handle.remove()
    at = batch.answer_mask.nonzero().squeeze(-1) - 1
    for ours, output in zip(outputs.hidden, written, strict=True):
        torch.testing.assert_close(ours[outputs.mask], output[0, at] if loaded.layout.packed else output[outputs.mask])


def test_it_does_not_depend_on_the_unit_of_the_states() -> None:
    """The widths follow the states: a thousandth of all lengths gives the same discrepancy."""
    states, others = random(4, 6), random(4, 6, seed=1)
    torch.testing.assert_close(discrepancy(1e-3 * states, 1e-3 * others), discrepancy(states, others))


def test_the_token_0_is_a_token() -> None:
    assert noise(torch.tensor([[0, 5]]), torch.ones(1, 2, dtype=torch.bool), 1, 4, seed=0, progress=0.0)[0, 0, 1].any()


def test_the_noise_is_the_mean_over_layers_and_padding_does_not_count() -> None:
    """alpha 0, beta 3: three times the mean discrepancy of two layers, with zeros past the end of the second row."""
    hidden = random(2, 3, 4)
    rows = outputs(hidden, 2.0)
    rows.mask[1, 2] = False
    spoilt = hidden.clone()
    spoilt[1, 2], hidden[1, 2] = 1e6, 0.0
    object.__setattr__(rows, "hidden", (spoilt, 2 * spoilt))
    drawn = noise(rows.targets, rows.mask, 2, 4, seed=0, progress=0.5).double()
    parts = [discrepancy(h.flatten(1), z.flatten(1)) for h, z in zip((hidden, 2 * hidden), drawn, strict=True)]
    torch.testing.assert_close(repnoise(rows, 0.5, alpha=0.0, beta=3.0), 3 * (parts[0] + parts[1]) / 2)
