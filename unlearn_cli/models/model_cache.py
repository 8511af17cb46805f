"""One base model in memory for many runs. Each run gets it without the adapter of the run before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel

from unlearn_cli.config import ModelOptions
from unlearn_cli.models.depth import causal_lm
from unlearn_cli.models.load import LoadedModel, load_model


class ModelCache:
    """Loads a model once. After a run that has changed the base's weights it is loaded again."""

    def __init__(self) -> None:
        self._cached: LoadedModel | None = None  # as it was loaded
        self._lent: LoadedModel | None = None  # the last run's copy of this record, which the run may change
        self._options: dict[str, Any] = {}
        self._norms: list[float] = []
        self.loads = 0

    def load(self, options: ModelOptions, *, trainable: bool = False) -> LoadedModel:
        """As `load_model`, but from memory if the same model is cached."""
        wanted = {name: getattr(options, name) for name in ModelOptions.model_fields}
        if self._cached is not None and self._lent is not None and wanted == self._options:
            model = _stripped(self._lent.model)
            if model is self._cached.model and _weight_norms(model) == self._norms:
                self._lent = replace(self._cached)
                return self._lent
        self.drop()
        self.loads += 1
        loaded = load_model(options, trainable=trainable)
        if not isinstance(loaded.model, PeftModel):  # a model that arrives with an adapter is loaded for each run
            self._cached, self._lent, self._options = replace(loaded), loaded, wanted
            self._norms = _weight_norms(loaded.model)
        return loaded

    def drop(self) -> None:
        """Empty the cache."""
        self._cached = self._lent = None


def _stripped(model: Any) -> Any:
    """The transformers model without adapters."""
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
def _weight_norms(model: Any) -> list[float]:
    """A number for each tensor, which changes if the tensor does: its L1 norm, or the sum of packed 4-bit weights."""
    return [_weight_norm(parameter) for parameter in model.parameters()]


def _weight_norm(parameter: torch.Tensor) -> float:
    if parameter.is_meta:  # waits on the disk, where nothing changes it
        return 0.0
    if not parameter.is_floating_point():  # packed 4-bit weights
        return float(parameter.sum(dtype=torch.int64))
    wide = torch.float32 if parameter.device.type == "mps" else torch.float64
    return float(torch.linalg.vector_norm(parameter, ord=1, dtype=wide))
