"""How many threads a CPU runs a model with: a small model is slower on many, and much slower beside other work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.forward import forward
from unlearn_cli.models.load import LoadedModel

VARIABLE = "OMP_NUM_THREADS"
LARGE = 50e6  # parameters: from here on matrices are large enough for all threads, and a trial would take seconds
ROWS, LENGTH = 8, 64  # of the batch that is tried: about that of a training step
PASSES = 3
FASTER = 0.9  # of the time that fewer threads take: more threads have to be worth it


@dataclass(frozen=True)
class Threads:
    """A number of threads, and what set it."""

    count: int
    origin: str  # for people


def choose_threads(loaded: LoadedModel, wanted: int | None = None) -> Threads:
    """Set torch's number of threads, by a short trial on a CPU; see `undisturbed`, which puts it back.

    Args:
        loaded: the model. It is run, and stays as it is.
        wanted: the user's number; it is taken as it is, and so is OMP_NUM_THREADS.
    """
    if wanted:
        chosen = Threads(wanted, "--threads")
    elif os.environ.get(VARIABLE):
        chosen = Threads(torch.get_num_threads(), VARIABLE)
    elif loaded.device.type != "cpu":
        chosen = Threads(torch.get_num_threads(), "torch: the model is not on the CPU")
    elif sum(p.numel() for p in loaded.model.parameters()) >= LARGE:
        chosen = Threads(torch.get_num_threads(), "torch: the model is large enough for all")
    else:
        chosen = fastest(torch.get_num_threads(), lambda count: _seconds(loaded, count))
    torch.set_num_threads(chosen.count)
    return chosen


def fastest(most: int, seconds: Callable[[int], float]) -> Threads:
    """The number of threads, of 1, half of `most` and `most`, that is fastest by `seconds`; more only if it is worth it."""
    counts = sorted({1, max(1, most // 2), most})
    if len(counts) == 1:
        return Threads(1, "torch: there is one")
    taken = {count: seconds(count) for count in counts}
    best = counts[0]
    for count in counts[1:]:
        if taken[count] < FASTER * taken[best]:
            best = count
    times = ", ".join(f"{count}: {1000 * value:.0f} ms" for count, value in taken.items())
    return Threads(best, f"a trial ({times})")


@torch.inference_mode()
def _seconds(loaded: LoadedModel, count: int) -> float:
    """The least time of some passes with so many threads."""
    torch.set_num_threads(count)
    length = min(LENGTH, getattr(loaded.config, "max_position_embeddings", None) or LENGTH)
    ids = np.random.default_rng(0).integers(loaded.config.vocab_size, size=(ROWS, length))
    batch = pack({"tried": [Row(str(n), row, 1, 1, "", ends=False) for n, row in enumerate(ids)]}).to(loaded.device)
    times = []
    for _ in range(PASSES):
        began = time.perf_counter()
        forward(loaded.model, batch, loaded.layout)
        times.append(time.perf_counter() - began)
    return min(times)
