"""Weights that an attacker changes: one by one, and afterwards bit for bit what they were."""

from __future__ import annotations

import weakref

import pytest
import torch

from tests.models.tiny import load
from unlearn_cli.models.attack_modifications import changed_weights, every_weight


def weights(loaded) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in loaded.model.named_parameters()}


def equal(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_replacements_are_built_one_by_one():
    """All at once would be the model once more in memory."""
    loaded, seen = load("llama"), []

    def change(weight: torch.Tensor) -> torch.Tensor:
        assert not [one for one in seen if one() is not None], f"a replacement is still there at layer {len(seen)}"
        replacement = weight + 1
        seen.append(weakref.ref(replacement))
        return replacement

    before = weights(loaded)
    with changed_weights(loaded, change, whole=True):
        changed = [name for name, weight in weights(loaded).items() if not torch.equal(weight, before[name])]
        assert len(changed) == len(seen) == 14
    assert equal(weights(loaded), before)


def test_a_change_that_fails_leaves_no_trace():
    loaded = load("llama")
    before, count = weights(loaded), iter(range(100))

    def change(weight: torch.Tensor) -> torch.Tensor:
        if next(count) == 3:
            raise MemoryError
        return weight + 1

    with pytest.raises(MemoryError), changed_weights(loaded, change, whole=True):
        pass
    assert equal(weights(loaded), before)


def test_training_every_weight_is_undone():
    loaded = load("llama")
    before = weights(loaded)
    with every_weight(loaded, whole=True) as (_, trained):
        assert len(trained) == len(before)
        with torch.no_grad():
            for parameter in trained:
                parameter.add_(1)
    assert equal(weights(loaded), before)
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
