"""Record the inputs and outputs of chosen layers of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Recorded:
    """Input and output of a linear layer in one pass: [N, in] and [N, out]."""

    inputs: Tensor
    outputs: Tensor  # its `.grad` holds the output gradients after a backward pass


@contextmanager
def recorded(modules: Mapping[str, torch.nn.Module]) -> Iterator[dict[str, Recorded]]:
    """A context in which passes write inputs and outputs of `modules` into the yielded dict."""
    records: dict[str, Recorded] = {}

    def reader(name: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Tensor) -> None:
            if output.requires_grad:
                output.retain_grad()
            records[name] = Recorded(inputs[0], output)

        return hook

    handles = [module.register_forward_hook(reader(name)) for name, module in modules.items()]
    try:
        yield records
    finally:
        for handle in handles:
            handle.remove()
