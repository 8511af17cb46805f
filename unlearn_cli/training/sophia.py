"""Sophia with the empirical squared gradient, as second-order unlearning (SOUL) uses it.

    m <- b1 m + (1 - b1) g        h <- b2 h + (1 - b2) g^2
    theta <- theta (1 - lr wd) - lr sign(m) min(|m| / (rho S h + 1e-15), 1)

Liu et al., "Sophia: A Scalable Stochastic Second-order Optimizer" (2023); Jia et al., "SOUL: Unlocking the Power of
Second-Order Optimization for LLM Unlearning" (2024, arXiv 2404.18239). S scales h as if `scale` samples were summed.
SOUL's code updates m twice in a step, so that its momentum is b1^2; here once. No coordinate moves by more than the
learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import overload

import torch


class Sophia(torch.optim.Optimizer):
    """The update above.

    Args:
        params: tensors to train.
        lr: largest step of a coordinate.
        betas: decay of momentum and of the squared gradient.
        rho: a smaller value lets more coordinates take the full step.
        scale: S, a batch size in tokens.
        weight_decay: decoupled.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        rho: float = 0.04,
        scale: float = 5120.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "rho": rho, "scale": scale, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every tensor that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            (beta1, beta2), rate = group["betas"], group["lr"]
            for tensor in group["params"]:
                if tensor.grad is None:
                    continue
                state = self.state[tensor]
                if not state:
                    state["momentum"] = torch.zeros_like(tensor)
                    state["squares"] = torch.zeros_like(tensor)
                momentum, squares = state["momentum"], state["squares"]
                momentum.lerp_(tensor.grad, 1 - beta1)
                squares.mul_(beta2).addcmul_(tensor.grad, tensor.grad, value=1 - beta2)
                ratio = (momentum.abs() / (group["rho"] * group["scale"] * squares + 1e-15)).clamp_max_(1.0)
                tensor.mul_(1 - rate * group["weight_decay"]).addcmul_(momentum.sign(), ratio, value=-rate)
        return loss
