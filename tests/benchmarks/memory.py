"""Memory of `unlearn forget` on a CPU: what `--dry-run` predicts, and the peak of the resident set of the process.

    python -m tests.benchmarks.memory [--only NAME] [--write]

Models have random weights, the shapes of published ones and their vocabularies, but few blocks: each further block adds the
same. Files are bfloat16, as published. Each cell is a process of its own, which makes the estimate and then runs: loading,
measuring, three steps, measuring. `--write` keeps the rows in docs/reference/memory_measured.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

PAGE = Path(__file__).parents[2] / "docs/reference/performance"
ASSETS = Path(__file__).parents[2] / "unlearn_cli/demo/assets/model"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
TARGET = 0.1  # relative error
WORDS = "the quiet author wrote seven books about rivers and bridges in a small town near the northern sea"

# transformers' config class, and the sizes of the published model; its number of blocks is that of the last column.
SHAPES: dict[str, tuple[str, dict[str, Any], int]] = {
    "4k": ("LlamaConfig", {
        "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8,
        "num_key_value_heads": 4,
    }, 4),
    "SmolLM2-135M": ("LlamaConfig", {
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 9,
        "num_key_value_heads": 3,
    }, 30),
    "Llama-3.2-1B": ("LlamaConfig", {
        "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 2,
        "num_attention_heads": 32, "num_key_value_heads": 8,
    }, 16),
    "Qwen3-0.6B": ("Qwen3Config", {
        "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 4,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    }, 28),
    "Gemma-3-1B": ("Gemma3TextConfig", {
        "vocab_size": 262144, "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
    }, 26),
}  # fmt: skip
# name of a cell: (shape, flags)
CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "4k": ("4k", {"batch_size": 32}),
    "4k, kl, checkpointing": ("4k", {"batch_size": 32, "retain_term": "kl", "activation_checkpointing": "on"}),
    "49k": ("SmolLM2-135M", {"batch_size": 16}),
    "49k, kl": ("SmolLM2-135M", {"batch_size": 16, "retain_term": "kl"}),
    "49k, checkpointing": ("SmolLM2-135M", {"batch_size": 16, "activation_checkpointing": "on"}),
    "49k, every weight": ("SmolLM2-135M", {"batch_size": 8, "full": True}),
    "49k, undo": ("SmolLM2-135M", {"method": "undo", "max_steps": None, "epochs": 1, "parameters": {"epochs": 1}}),
    "128k": ("Llama-3.2-1B", {"batch_size": 8}),
    "128k, bfloat16": ("Llama-3.2-1B", {"dtype": "bfloat16"}),
    "128k, nf4": ("Llama-3.2-1B", {"load_in_4bit": True}),
    "152k, kl": ("Qwen3-0.6B", {"retain_term": "kl"}),
    "256k": ("Gemma-3-1B", {}),
    "256k, kl, checkpointing": ("Gemma-3-1B", {"retain_term": "kl", "activation_checkpointing": "on"}),
}


def main() -> None:
    """Measure every cell in a process of its own; print, and write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="a cell's name, repeatable")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)  # name and folder: the process of one cell
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(measured(arguments.cell[0], Path(arguments.cell[1]))))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder))
        for name in arguments.only or CELLS:
            build(CELLS[name][0], Path(folder) / CELLS[name][0])
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.memory", "--cell", name, folder], capture_output=True, text=True
            )
            if done.returncode:
                sys.exit(f"{name}: {done.stderr[-2000:]}")
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(line(rows[-1]), flush=True)
    if arguments.write:
        path = PAGE.with_name("memory_measured.json")
        path.write_text(json.dumps(rows, indent=1) + "\n")


def write_rows(folder: Path) -> None:
    """Forget and retain rows as long as TOFU's, in the demo tokenizer's tokens."""
    words = WORDS.split()
    for split, count in (("forget", 32), ("retain", 48)):
        texts = []
        for n in range(count):
            turn = words[n % len(words) :] + words[: n % len(words)]
            texts.append({"question": f"{split} {n}: who {' '.join(turn[:8])}?", "answer": " ".join([*turn, *turn[:4]])})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))


def build(shape: str, folder: Path) -> None:
    """Write a checkpoint with random weights, unless it is there; in another process, so that this one stays small."""
    if folder.exists():
        return
    kind, sizes, _ = SHAPES[shape]
    code = (
        "import json, sys, torch, transformers\n"
        "kind, sizes, folder = sys.argv[1:]\n"
        "config = getattr(transformers, kind)(**json.loads(sizes), tie_word_embeddings=True, eos_token_id=1, bos_token_id=0,"
        " pad_token_id=0, max_position_embeddings=2048)\n"
        "torch.set_default_dtype(torch.bfloat16)\n"
        "transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)\n"
    )
    subprocess.run([sys.executable, "-c", code, kind, json.dumps(sizes), str(folder)], check=True, capture_output=True)
    for name in TOKENIZER:
        if (ASSETS / name).is_file():
            shutil.copy(ASSETS / name, folder / name)


def measured(cell: str, folder: Path) -> dict[str, Any]:
    """Predict and run in this process; bytes."""
    import torch

    from unlearn_cli.config import ForgetConfig
    from unlearn_cli.console import Reporter
    from unlearn_cli.models import memory
    from unlearn_cli.recipes.forget import write_run
    from unlearn_cli.recipes.forgetting.dry_run import show
    from unlearn_cli.recipes.forgetting.resolved_run import resolve_run

    torch.set_num_threads(1)
    shape, flags = CELLS[cell]
    kind, sizes, blocks = SHAPES[shape]
    given: dict[str, Any] = {
        "model": str(folder / shape), "forget": str(folder / "forget.jsonl"), "retain": str(folder / "retain.jsonl"),
        "method": "npo", "retain_term": "nll", "batch_size": 4, "retain_ratio": 1, "max_steps": 3, "dtype": "float32",
        "activation_checkpointing": "off", "device": "cpu", "threads": 1, "eval_limit": 8, "generate_limit": 4,
        "max_new_tokens": 8, "token_budget": 256, "no_general": True, "chat_template": "none", "save_every": 10**6,
        "bootstrap_samples": 10, "output_dir": folder / "run", "overwrite": True, **flags,
    }  # fmt: skip
    run = resolve_run(ForgetConfig(**given), dict.fromkeys(given, "flag"), Reporter(quiet=True))
    outlook = show(run)
    begun = memory.peak(torch.device("cpu"))["rss"]
    write_run(run, [])
    return {
        "cell": cell, "shape": shape, "blocks": f"{sizes['num_hidden_layers']} of {blocks}",
        "vocabulary": sizes["vocab_size"], "dtype": "nf4" if flags.get("load_in_4bit") else given["dtype"],
        "parts": {name: value for name, value in outlook["memory"].items() if isinstance(value, int) and name != "free"},
        "predicted": outlook["memory"]["total"], "before": begun, "measured": memory.peak(torch.device("cpu"))["rss"],
        "torch": torch.__version__, "machine": platform.machine(), "date": date.today().isoformat(),
    }  # fmt: skip


def line(row: dict[str, Any]) -> str:
    """A cell as a line of the page's table."""
    mib = [f"{row[name] / 2**20:,.0f}" for name in ("predicted", "measured")]
    ratio = row["predicted"] / row["measured"]
    missed = "" if abs(ratio - 1) <= TARGET else " (missed)"
    return f"| {row['cell']} | {row['shape']} | {row['blocks']} | {row['dtype']} | {' | '.join(mib)} | {ratio:.2f}{missed} |"


if __name__ == "__main__":
    main()
