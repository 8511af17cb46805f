"""Several processes that share the rows of every training step: what they tell each other. With one process all is trivial.

Each process has the whole model. What decides something is computed once, by the first process, and sent to the others, so
that all go the same way; gradients are added up over all. Li et al., "PyTorch Distributed" (2020, arXiv 2006.15704).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from unlearn_cli import launched
from unlearn_cli.errors import EXIT_FAILED, EXIT_OK, UnlearnError

T = TypeVar("T")
PATIENCE = timedelta(days=1)  # the others wait while the first process measures
_joined = False


@contextmanager
def joined() -> Iterator[Path | None]:
    """A context in which the processes of a launcher work together.

    Gives:
        a temporary folder for what this process writes, if it is not the first; None for the first, and without a launcher.
    """
    global _joined
    if launched.count() == 1:
        yield None
        return
    ours = not dist.is_initialized()
    if ours:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    _joined = True
    try:
        if launched.rank() == 0:
            yield None
        else:
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder)
    finally:
        _joined = False
        if ours:
            dist.destroy_process_group()


def leave() -> None:
    """The end of the common work: from here on the first process is alone."""
    global _joined
    _joined = False


def count() -> int:
    """Processes that work together; 1 outside of `joined`."""
    return dist.get_world_size() if _joined else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _joined else 0


def gathered(value: T) -> list[T]:
    """The value of each process, in their order.

    Raises:
        UnlearnError: another process has ended.
    """
    values: list[Any] = [None] * count()
    if count() == 1:
        return [value]
    with _connected():
        dist.all_gather_object(values, value)
    return values


def once(work: Callable[[], T]) -> T:
    """The result of work that the first process does alone; the others wait and get a copy.

    Raises:
        UnlearnError: the work failed; without a message in the others, because the first process says why.
    """
    if count() == 1:
        return work()
    result: list[Any] = [None, None]
    if rank() == 0:
        try:
            result = [work(), None]
        except Exception as error:
            with _connected():
                dist.broadcast_object_list([None, getattr(error, "exit_code", EXIT_FAILED)], device=torch.device("cpu"))
            raise
    with _connected():
        dist.broadcast_object_list(result, device=torch.device("cpu"))
    value, failed = result
    if failed is not None:
        raise UnlearnError("", exit_code=failed)
    return value


def together(work: Callable[[], T]) -> T:
    """The result of work that each process does for itself. If it fails in some, the first of those says why.

    Raises:
        UnlearnError: it failed in another process; without a message.
    """
    if count() == 1:
        return work()
    result, error = None, None
    try:
        result = work()
    except Exception as raised:
        error = raised
    codes: list[int] = gathered(EXIT_OK if error is None else getattr(error, "exit_code", EXIT_FAILED))
    failing = [number for number, code in enumerate(codes) if code != EXIT_OK]
    if not failing:
        return result  # type: ignore[return-value]  # the work has not failed here
    if error is None or failing[0] != rank():
        raise UnlearnError("", exit_code=codes[failing[0]])
    if rank() > 0 and isinstance(error, UnlearnError):
        raise UnlearnError(f"process {rank()}: {error.message}", error.hint, EXIT_FAILED) from error
    raise error


def added(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The sum of each tensor over the processes, the same floats in all of them."""
    if count() == 1 or not tensors:
        return list(tensors)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _connected():
        dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


@torch.no_grad()
def copy_to_others(tensors: Sequence[Tensor]) -> None:
    """Give tensors the values that they have in the first process."""
    for tensor in tensors if count() > 1 else ():
        with _connected():
            dist.broadcast(tensor.data, 0)


@contextmanager
def _connected() -> Iterator[None]:
    """Say it plainly if another process has ended in the meantime."""
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        message = "another process of this run has ended" if launched.rank() == 0 else ""
        raise UnlearnError(message, "its own message says why; --resume goes on", EXIT_FAILED) from error
