"""Change global state of the process for a command, and restore it: the process may be a user's notebook."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS is deterministic only with it


@contextmanager
def undisturbed() -> Iterator[None]:
    """A context that restores random state, threads, deterministic kernels, environment and progress bars at its end."""
    threads = torch.get_num_threads()
    enabled, warn_only = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    workspace, bars = os.environ.get(WORKSPACE), is_progress_bar_enabled()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    if bars:
        disable_progress_bar()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        os.environ.pop(WORKSPACE, None)
        if workspace is not None:
            os.environ[WORKSPACE] = workspace
        if bars:
            enable_progress_bar()


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed torch, and with `deterministic` choose kernels that give the same floats every time; see `undisturbed`."""
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault(WORKSPACE, ":4096:8")
        torch.use_deterministic_algorithms(True)
