"""The bytes of the tensors that are alive, counted while operations run. It counts tensors without numbers as well."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Alive(TorchDispatchMode):
    """A context that counts the bytes of the tensors that operations make in it, until each is freed.

    A tensor from before the context does not count, nor does what a kernel needs within itself. On the meta device nothing
    is allocated, and the count is that of the same operations with numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for storage in _storages((args, kwargs)):  # those that are new here come from outside
            self._watch(storage, 0)
        results = function(*args, **(kwargs or {}))
        for storage in _storages(results):
            self._watch(storage, storage.nbytes())
        return results

    def _watch(self, storage: torch.UntypedStorage, size: int) -> None:
        """Count a storage that is new, until it is freed: another one may then have its address."""
        place = storage._cdata
        if place in self._known:
            return
        self._known.add(place)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, place, size).atexit = False

    def _freed(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


def peak_of(work: Callable[[], Any]) -> int:
    """The most bytes that tensors made by `work` hold at one time."""
    with Alive() as alive:
        work()
    return alive.peak
