"""Communication between processes that share the rows of every training step. With one process, nothing is sent.

Each process has the whole model. Process 0 computes every value on which a decision depends and sends it to the others, so
that all decide alike. Gradients are summed over the processes. Li et al., "PyTorch Distributed" (2020, arXiv 2006.15704).
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
TIMEOUT = timedelta(days=1)  # the others wait while process 0 measures
_joined = False


@contextmanager
def joined() -> Iterator[Path | None]:
    """A context in which the processes of a launcher work together.

    Yields:
        None in process 0 and without a launcher; else a temporary folder for the files of this process.
    """
    global _joined
    if launched.count() == 1:
        yield None
        return
    owns_group = not dist.is_initialized()
    if owns_group:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=TIMEOUT)
    _joined = True
    try:
        if launched.rank() == 0:
            yield None
        else:
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder)
    finally:
        _joined = False
        if owns_group:
            dist.destroy_process_group()


def leave() -> None:
    """End the common work. From here on process 0 works alone."""
    global _joined
    _joined = False


def count() -> int:
    """Number of processes that work together; 1 outside of `joined`."""
    return dist.get_world_size() if _joined else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _joined else 0


def gathered(value: T) -> list[T]:
    """The value of each process, in their order.

    Raises:
        UnlearnError: another process ended.
    """
    values: list[Any] = [None] * count()
    if count() == 1:
        return [value]
    with _connected():
        dist.all_gather_object(values, value)
    return values


def once(work: Callable[[], T]) -> T:
    """The result of work that process 0 does alone. The others wait and get a copy.

    Raises:
        UnlearnError: the work failed. In the other processes the error has no message, because process 0 says why.
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


def on_model(work: Callable[[], T]) -> T:
    """As `once`, for work that runs the model: where the base is divided all processes do it; process 0's result counts.

    Raises:
        UnlearnError: as `once`.
    """
    if count() == 1 or not launched.divided():
        return once(work)
    value = together(work)
    return once(lambda: value)


def same_files(folder: Path) -> None:
    """Give all processes the files of process 0's folder, so that they find the same to reuse. Checkpoints go their own way.

    Raises:
        UnlearnError: another process ended.
    """
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    paths = [path for path in paths if path.suffix != ".pt"]
    files = once(lambda: {str(path.relative_to(folder)): path.read_bytes() for path in paths})
    for name, content in files.items() if rank() > 0 else ():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def together(work: Callable[[], T]) -> T:
    """The result of work that each process does itself. If it fails in several, the first of them says why.

    Raises:
        UnlearnError: it failed in another process; the error has no message.
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
        return result  # type: ignore[return-value]  # no process failed, so `result` is set
    if error is None or failing[0] != rank():
        raise UnlearnError("", exit_code=codes[failing[0]])
    if rank() > 0 and isinstance(error, UnlearnError):
        raise UnlearnError(f"process {rank()}: {error.message}", error.hint, EXIT_FAILED) from error
    raise error


def added(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The sum of each tensor over the processes; all processes get the same floats."""
    if count() == 1 or not tensors:
        return list(tensors)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _connected():
        dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


@torch.no_grad()
def copy_to_others(tensors: Sequence[Tensor]) -> None:
    """Copy the values of tensors from process 0 to the others."""
    for tensor in tensors if count() > 1 else ():
        with _connected():
            dist.broadcast(tensor.data, 0)


@contextmanager
def _connected() -> Iterator[None]:
    """A context in which a failed communication becomes an error that says so.

    Raises:
        UnlearnError: another process ended.
    """
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        message = "another process of this run has ended" if launched.rank() == 0 else ""
        raise UnlearnError(message, "its own message says why; --resume continues", EXIT_FAILED) from error
