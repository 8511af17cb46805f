"""The sign optimizer: every weight moves by the learning rate, against the sign of its averaged gradient.

    m <- beta m + (1 - beta) g;   theta <- (1 - rate decay) theta - rate sign(m)

Lang et al., "Downgrade to Upgrade: Optimizer Simplification Enhances Robustness in LLM Unlearning" (2025), arXiv
2510.00761: Adam's direction in one bit. The authors report that more of its forgetting is left after relearning than of
AdamW's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Sign(torch.optim.Optimizer):
    """Signs of an average of gradients."""

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], *, lr: float, weight_decay: float = 0.0, beta: float = 0.9
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "beta": beta})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step with the current gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                average = state.setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["beta"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(average.sign(), alpha=group["lr"])
