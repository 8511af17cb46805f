"""Flat memory: the resident set of a run of many steps over many rows, from its hundredth step to its last.

    python -m tests.benchmarks.flat [--rows 20000] [--steps 3000]

The model has a few thousand weights, so that what grows is the program's own. It writes a checkpoint every 500 steps.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.recipes.forget import write_run
from unlearn_cli.recipes.forgetting import train
from unlearn_cli.recipes.forgetting.resolved_run import resolve_run

ASSETS = Path(__file__).parents[2] / "unlearn_cli/demo/assets/model"
EVERY = 100  # steps between two samples


def main() -> None:
    """Run, and print the resident set in MiB every hundred steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=3_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = resident_sets(Path(folder), rows=arguments.rows, steps=arguments.steps)
    print(json.dumps({"rows": arguments.rows, "steps": arguments.steps, "mib": [round(x / 2**20, 1) for x in sizes]}))
    print(f"growth after step {EVERY}: {(max(sizes[-3:]) - sizes[0]) / 2**20:.1f} MiB")


def resident_sets(folder: Path, *, rows: int, steps: int) -> list[int]:
    """Bytes that this process holds after each hundred steps of a run."""
    model = build(folder / "model")
    for split in ("forget", "retain"):
        lines = (json.dumps({"question": f"{split} {n}?", "answer": f"answer {n % 97}"}) for n in range(rows))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    given = {
        "model": str(model), "forget": str(folder / "forget.jsonl"), "retain": str(folder / "retain.jsonl"),
        "method": "npo", "max_steps": steps, "batch_size": 2, "retain_ratio": 1, "eval_limit": 8, "generate_limit": 1,
        "max_new_tokens": 1, "no_general": True, "chat_template": "none", "save_every": 500, "threads": 1, "device": "cpu",
        "bootstrap_samples": 10, "activation_checkpointing": "off", "no_target": True, "output_dir": folder / "run",
    }  # fmt: skip
    run = resolve_run(ForgetConfig(**given), dict.fromkeys(given, "flag"), Reporter(quiet=True))
    sizes: list[int] = []
    after = train.Watch.after

    def watched(self, record):
        ended = after(self, record)
        if record.step % EVERY == 0:
            gc.collect()
            sizes.append(psutil.Process().memory_info().rss)
        return ended

    train.Watch.after = watched
    try:
        write_run(run, [])
    finally:
        train.Watch.after = after
    return sizes


def build(folder: Path) -> Path:
    """A checkpoint of a few thousand weights, with the demo's tokenizer."""
    vocabulary = json.loads((ASSETS / "config.json").read_text())["vocab_size"]
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, bos_token_id=0, eos_token_id=1, pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    for path in ASSETS.glob("tokenizer*"):
        shutil.copy(path, folder / path.name)
    return folder


if __name__ == "__main__":
    main()
