"""CPU seconds of a training step against rows, length, vocabulary and size of the model, one of them changed at a time.

    python -m tests.benchmarks.scaling [--series rows length] [--repeats 3] [--write]

A Llama with random weights, an adapter on every linear layer, packed rows of which the second half is the answer: forward
pass, mean log-probability, backward pass, as the training step runs them. One thread, float32. The exponent is the slope of
log seconds over log size between the smallest and the largest: 1 is linear.
`--write` adds the series to docs/reference/scaling.json and makes docs/reference/performance.md anew.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.benchmarks import performance_page
from unlearn_cli.config import LoraOptions
from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.adapter import set_training
from unlearn_cli.models.forward import forward
from unlearn_cli.models.layout import choose_layout
from unlearn_cli.models.reach import with_lora


@dataclass(frozen=True)
class Size:
    """One point of a series."""

    rows: int = 8
    length: int = 64  # tokens of a row
    vocabulary: int = 8192
    hidden: int = 256
    layers: int = 4


SERIES: dict[str, list[Size]] = {
    "rows": [Size(rows=n) for n in (4, 8, 16, 32, 64)],
    "length": [Size(length=n) for n in (32, 64, 128, 256, 512)],
    "vocabulary": [Size(vocabulary=n) for n in (4096, 8192, 32768, 65536, 131072)],
    "layers": [Size(layers=n) for n in (2, 4, 8, 16)],
    "hidden": [Size(hidden=n) for n in (128, 256, 512)],
}


def main() -> None:
    """Measure, print, and write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.series:
        points = [[getattr(size, name), seconds(size, arguments.repeats)] for size in SERIES[name]]
        row = {"series": name, "points": points, "exponent": exponent(points), "date": date.today().isoformat()}
        print(json.dumps(row), flush=True)
        if arguments.write:
            performance_page.add("scaling", row, ("series",))


def exponent(points: list[list[float]]) -> float:
    """The slope between the first and the last point, on logarithmic axes."""
    (small, fast), (large, slow) = points[0], points[-1]
    return math.log(slow / fast) / math.log(large / small)


def seconds(size: Size, repeats: int) -> float:
    """CPU seconds of a step, the median of some after one that warms up."""
    step = _step(size)
    times = []
    for _ in range(repeats + 1):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return statistics.median(times[1:])


def _step(size: Size) -> Callable[[], None]:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size.vocabulary, hidden_size=size.hidden, intermediate_size=4 * size.hidden,
        num_hidden_layers=size.layers, num_attention_heads=4, tie_word_embeddings=True, max_position_embeddings=1024,
    )  # fmt: skip
    base = LlamaForCausalLM(config).requires_grad_(False).eval()
    layout = replace(choose_layout(base, pack=True), shares=False)
    model = with_lora(base, LoraOptions(), "default")
    set_training(model)
    random = np.random.default_rng(0)
    half = size.length // 2
    tokens = [random.integers(3, size.vocabulary, size.length) for _ in range(size.rows)]
    batch = pack({"rows": [Row(str(i), ids, half, half, "", ends=False) for i, ids in enumerate(tokens)]})

    def step() -> None:
        forward(model, batch, layout)["rows"].mean_logps.mean().backward()
        model.zero_grad(set_to_none=True)

    return step


if __name__ == "__main__":
    main()
