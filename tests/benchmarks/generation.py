"""CPU seconds of greedy answers: `models/generate.py` beside transformers' `generate`, alternating over the same prompts.

    python -m tests.benchmarks.generation --model MODEL --forget FILE [--rows 1 200] [--repeats 3] [--name NAME] [--write]

transformers gets batches of 32 in the order of the file, padded on the left, as evaluation code runs them; one row is a
batch of its own. Both write at most --max-new-tokens tokens; the answers must be the same. One thread, float32.
`--write` adds the rows to docs/reference/generation.json and makes docs/reference/performance.md anew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from tests.benchmarks import performance_page
from unlearn_cli.config import ForgetConfig
from unlearn_cli.data.load import load_split
from unlearn_cli.data.tokenize import make_encoder
from unlearn_cli.models.cached_steps import _left_padded
from unlearn_cli.models.generate import greedy
from unlearn_cli.models.load import LoadedModel, load_model

BATCH = 32


def main() -> None:
    """Measure, print, and write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--forget", required=True)
    parser.add_argument("--name")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 200])
    parser.add_argument("--max-new-tokens", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = ForgetConfig(model=arguments.model, forget=arguments.forget, device="cpu", dtype="float32")
    loaded = load_model(options)
    encoder = make_encoder(options, loaded.tokenizer, loaded.stop_ids, None)
    rows = encoder.encode(load_split("forget", arguments.forget).examples)
    prompts = [row.prompt_ids for row in rows]
    for count in arguments.rows:
        row = {
            "model": arguments.name or Path(arguments.model).name,
            **compared(loaded, prompts[:count], arguments.max_new_tokens, arguments.repeats),
            "limit": arguments.max_new_tokens,
            "date": date.today().isoformat(),
        }
        print(json.dumps(row, indent=1))
        if arguments.write:
            performance_page.add("generation", row, ("model", "rows"))


def compared(loaded: LoadedModel, prompts: Sequence[np.ndarray], limit: int, repeats: int) -> dict:
    """CPU seconds of both ways, the median of the ratios, and the share of the rows with equal answers."""
    ways: dict[str, Callable[[], list[list[int]]]] = {
        "generate": lambda: _generate(loaded, prompts, limit),
        "ours": lambda: greedy(loaded, prompts, limit),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[list[int]]] = {}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            began = time.process_time()
            answers[name] = way()
            if repeat:  # the first warms up
                seconds[name].append(time.process_time() - began)
    pairs = list(zip(answers["generate"], answers["ours"], strict=True))
    return {
        "rows": len(prompts),
        "tokens": sum(map(len, answers["ours"])),
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "ratio": statistics.median(a / b for a, b in zip(seconds["generate"], seconds["ours"], strict=True)),
        "equal": sum(a == b for a, b in pairs) / len(pairs),
    }


@torch.inference_mode()
def _generate(loaded: LoadedModel, prompts: Sequence[np.ndarray], limit: int) -> list[list[int]]:
    """Answers of transformers' own loop, without the token that ends them."""
    loaded.model.set_attn_implementation("sdpa")
    answers = []
    for start in range(0, len(prompts), BATCH):
        ids, mask = _left_padded(prompts[start : start + BATCH], loaded.device)
        whole = loaded.model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=limit,
            eos_token_id=sorted(loaded.stop_ids), pad_token_id=min(loaded.stop_ids),
        )  # fmt: skip
        for answer in whole[:, ids.shape[1] :].tolist():
            stop = next((at for at, token in enumerate(answer) if token in loaded.stop_ids), len(answer))
            answers.append(answer[:stop])
    loaded.model.set_attn_implementation(loaded.layout.attention)
    return answers


if __name__ == "__main__":
    main()
