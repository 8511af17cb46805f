"""Learning rates."""

from __future__ import annotations

import pytest
import torch

from unlearn_cli.errors import UnlearnError
from unlearn_cli.training.optimizer import make_optimizer, rate_at, scaling_rule


@pytest.mark.parametrize(
    ("family", "hidden", "full", "rate"),
    [
        ("llama", 256, False, 2.49e-3),  # 5e-4 * 7.8125^0.781 = 5e-4 * 4.981
        ("llama", 2000, False, 5e-4),
        ("llama", 2000, True, 5e-5),
        ("llama", 4096, False, 2.86e-4),
        ("qwen2", 256, False, 5.86e-4),  # 5e-4 * 7.8125^0.0775 = 5e-4 * 1.173
        ("qwen3", 2000, True, 5e-5),
        ("gpt2", 256, False, 2.49e-3),
    ],
)
def test_scaling_rule(family: str, hidden: int, full: bool, rate: float) -> None:
    assert scaling_rule(family, hidden, full=full) == pytest.approx(rate, rel=2e-3)


def rates(shape: str, steps: int, warmup_ratio: float) -> list[float]:
    return [rate_at(step, steps, peak=1.0, shape=shape, warmup_ratio=warmup_ratio) for step in range(steps)]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]),
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_schedule(shape: str, expected: list[float]) -> None:
    """Six steps, a third of them warm-up: no step is taken at rate 0."""
    assert rates(shape, 6, 1 / 3) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_ends_of_the_schedule(shape: str) -> None:
    """The first step without warm-up has the peak; the rate after the last step would be 0."""
    assert rates(shape, 10, 0.0)[0] == 1.0
    assert 0 < rates(shape, 10, 0.0)[-1] < 0.2
    assert rate_at(10, 10, peak=1.0, shape=shape, warmup_ratio=0.0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
def test_a_single_step_and_nothing_but_warm_up(shape: str) -> None:
    assert rates(shape, 1, 0.0) == [1.0]
    assert rates(shape, 1, 0.1) == [1.0]
    assert rates(shape, 4, 1.0) == [0.25, 0.5, 0.75, 1.0]


def test_optimizer() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = make_optimizer([weight], "auto", device=torch.device("cpu"), full=False, weight_decay=0.25)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["weight_decay"] == 0.25 and optimizer.defaults["betas"] == (0.9, 0.999)
    with pytest.raises(UnlearnError, match="needs CUDA"):
        make_optimizer([weight], "paged_adamw_8bit", device=torch.device("cpu"), full=False, weight_decay=0.0)


@pytest.mark.parametrize(("kind", "moved"), [("sign", -1.0), ("adamw", -0.847245)])
def test_each_kind_of_optimizer_takes_its_own_steps(kind: str, moved: float) -> None:
    """Two steps at rate 0.5 on gradients of 3 and 0.1: -0.5 each by signs; AdamW's second is 0.5 * 1.473684 / 2.121969."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer([weight], kind, device=torch.device("cpu"), full=False, weight_decay=0.0)
    optimizer.param_groups[0]["lr"] = 0.5
    for gradient in (3.0, 0.1):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
    assert weight.item() == pytest.approx(moved, abs=1e-4)
