"""One base in memory for many runs: given out again without what a run has put on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel

from unlearn_cli.config import ModelOptions
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.load import LoadedModel, load_model


class KeptModel:
    """Loads a model once. A run that has changed the base's weights makes the next one load it anew."""

    def __init__(self) -> None:
        self._loaded: LoadedModel | None = None  # as it was loaded; runs get copies of this record and may change those
        self._given: LoadedModel | None = None  # the copy that the last run got
        self._options: dict[str, Any] = {}
        self._sums: list[float] = []
        self.loads = 0

    def load(self, options: ModelOptions, *, trainable: bool = False) -> LoadedModel:
        """As `load_model`, from memory where that is the same model."""
        asked = {name: getattr(options, name) for name in ModelOptions.model_fields}
        if self._loaded is not None and asked == self._options:
            model = _stripped(self._given.model)
            if model is self._loaded.model and _sums(model) == self._sums:
                self._given = replace(self._loaded)
                return self._given
        self.drop()
        self.loads += 1
        loaded = load_model(options, trainable=trainable)
        if not isinstance(loaded.model, PeftModel):  # a model that arrives with an adapter is loaded for each run
            self._loaded, self._given, self._options = replace(loaded), loaded, asked
            self._sums = _sums(loaded.model)
        return loaded

    def drop(self) -> None:
        """Keep nothing."""
        self._loaded = self._given = None


def _stripped(model: Any) -> Any:
    """The transformers model without adapters, as it is before a run."""
    model = getattr(model, "model", model) if type(model).__name__ == "Composed" else model
    if isinstance(model, PeftModel):
        model = model.unload()
    causal = causal_lm(model)
    if getattr(causal, "is_gradient_checkpointing", False):
        causal.gradient_checkpointing_disable()
    if getattr(causal, "_require_grads_hooks", None):
        causal.disable_input_require_grads()
    return causal.requires_grad_(False).eval()


@torch.no_grad()
def _sums(model: Any) -> list[float]:
    return [_sum(parameter) for parameter in model.parameters()]


def _sum(parameter: torch.Tensor) -> float:
    if not parameter.is_floating_point():  # packed 4-bit weights
        return float(parameter.sum(dtype=torch.int64))
    wide = torch.float32 if parameter.device.type == "mps" else torch.float64
    return float(torch.linalg.vector_norm(parameter, ord=1, dtype=wide))
