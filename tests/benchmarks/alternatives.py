"""CPU seconds of one training step whose questions have several answers: with a copy of the question for each, or for all.

    python -m tests.benchmarks.alternatives METHOD --model MODEL --forget FILE --retain FILE [--words N] [--write]

The two ways alternate over the same rows in one process, on one thread; the tokens of a template are run once in both. The
losses and the gradients of both must be equal to 1e-5. `--words` puts so many words of other rows' answers before each
question. Rows with a list of `alternatives` use it; else the method finds its own.
`--write` adds the row to docs/reference/alternatives.json and makes docs/reference/performance.md anew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from tests.benchmarks import performance, performance_page
from unlearn_cli.data import batch
from unlearn_cli.data.tokenize import Row


def main() -> None:
    """Measure, print, and write the page if that is asked for."""
    parser = performance.parser_of(__doc__)
    parser.add_argument("method")
    parser.add_argument("--words", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=8, help="forget rows of a step; twice as many retain rows")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    row = measured(arguments)
    print(json.dumps(row, indent=1))
    if arguments.write:
        performance_page.add("alternatives", row, ("method", "model", "words"))


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds and tokens of a step in both ways, and the largest relative difference of losses and gradients."""
    files = {name: lengthened(Path(getattr(arguments, name)), arguments.words) for name in ("forget", "retain")}
    run = performance.underway(arguments, **files)
    step = performance.ours(run.trainer)
    ways = {"each": apart, "once": batch.by_question}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tokens, difference = dict.fromkeys(ways, 0), 0.0
    for number in range(arguments.steps + 1):
        results: dict[str, tuple[float, Tensor]] = {}
        for name, way in ways.items():
            with mock.patch.object(batch, "by_question", way):
                began = time.process_time()
                loss, count = step(number)
                taken = time.process_time() - began
            results[name] = loss, torch.cat([p.grad.flatten() for p in run.trainer.parameters if p.grad is not None])
            for parameter in run.trainer.parameters:
                parameter.grad = None
            if number:  # the first warms up
                seconds[name].append(taken)
                tokens[name] += count
        (loss, gradient), (other, shared) = results["each"], results["once"]
        difference = max(difference, abs(other - loss) / abs(loss), float((shared - gradient).norm() / gradient.norm()))
    ratios = [b / a for a, b in zip(seconds["each"], seconds["once"], strict=True)]
    rows = run.trainer.passes.rows.forget
    return {
        "method": arguments.method,
        "model": arguments.name or Path(arguments.model).name,
        "words": arguments.words,
        "question": statistics.mean(row.answer_start for row in rows),
        "answer": statistics.mean(row.answer_length for row in rows),
        "tokens": {name: count / arguments.steps for name, count in tokens.items()},
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "ratio": statistics.median(ratios),
        "ratios": [min(ratios), max(ratios)],
        "difference": difference,
        "date": date.today().isoformat(),
    }


def apart(rows: list[Row]) -> list[list[int]]:
    """Each row's question by itself."""
    return [[i] for i in range(len(rows))]


def lengthened(file: Path, words: int) -> str:
    """A file of the rows with so many words of the answers to other rows before each question."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for i, row in enumerate(rows):
        before = " ".join(rows[(i + n) % len(rows)]["answer"] for n in range(1, 6)).split()[:words]
        row["question"] = " ".join([*before, row["question"]])
    path = Path(tempfile.mkdtemp()) / file.name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


if __name__ == "__main__":
    main()
