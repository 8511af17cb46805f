"""What a GPU does: models of real shapes with random weights, in bf16 and nf4. Two parts of at most nine minutes each.

    python -m tests.benchmarks.gpu --part 1|2 [--device cuda] [--shapes 1B,3B] [--out FOLDER]

Part 1: one step of npo + kl at TOFU's lengths and at 8 rows of 512 tokens, beside plain PEFT code in the same process
(`tests/benchmarks/performance.py`): seconds, tokens a second, peak memory, share of the rate of a bare matrix product.
Part 2: whole commands: `forget`, `evaluate` and `relearn-attack`, with the seconds of each phase from their reports.

Each cell is a process of its own; its rows are appended to FOLDER/gpu.json (docs/reference by default), from which
FOLDER/gpu.md is made. A cell that fails is a row that says why. On a machine without a card: `--device cpu --shapes tiny`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from unlearn_cli.recipes.demo import ASSETS

ROOT = Path(__file__).parents[2]
SECONDS = 240  # of one cell
# Hidden size, blocks, heads, key-value heads, width of the MLP, vocabulary: Llama 3.2 1B and 3B, Llama 3.1 8B.
SHAPES = {
    "tiny": (64, 2, 4, 2, 128, 768),
    "1B": (2048, 16, 32, 8, 8192, 128256),
    "3B": (3072, 28, 24, 8, 8192, 128256),
    "8B": (4096, 32, 32, 8, 14336, 128256),
}
ROWS = {"TOFU's lengths": (20, 40), "8 x 512": (32, 480)}  # tokens of question and answer, about
PRECISIONS = ("bf16", "nf4")


def main() -> None:
    """Run the cells of a part and make the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", type=int, choices=(1, 2), required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shapes", default="1B,3B,8B")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/reference")
    arguments = parser.parse_args()
    shapes = arguments.shapes.split(",")
    file = arguments.out / "gpu.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else []
    with tempfile.TemporaryDirectory() as folder:
        for shape in shapes:
            model = saved(shape, Path(folder) / shape, arguments.device)
            for cell in steps(model, arguments.device) if arguments.part == 1 else commands(model, arguments.device):
                row = {"part": arguments.part, "model": shape, **cell}
                print(json.dumps(row), flush=True)
                keys = ("part", "model", "rows", "precision", "machine")
                rows = [old for old in rows if any(old.get(key) != row.get(key) for key in keys)] + [row]
                file.write_text(json.dumps(rows, indent=1) + "\n")
                (arguments.out / "gpu.md").write_text(page(rows))


def saved(shape: str, folder: Path, device: str) -> Path:
    """A checkpoint of this shape with random weights in bf16, and the demo's tokenizer."""
    hidden, blocks, heads, kv_heads, width, vocabulary = SHAPES[shape]
    config = LlamaConfig(
        hidden_size=hidden,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=width,
        vocab_size=vocabulary,
        tie_word_embeddings=shape != "8B",
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        max_position_embeddings=4096,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    with torch.device(device):
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(ASSETS / "model").save_pretrained(folder)
    for name, (question, answer) in ROWS.items():
        for seed, split in enumerate(("forget", "retain")):
            words = _rows(seed, question, answer)
            (folder / f"{name}-{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in words))
    return folder


def _rows(seed: int, question: int, answer: int, count: int = 32) -> list[dict[str, str]]:
    draw = random.Random(seed)
    return [
        {
            "question": " ".join(f"q{draw.randrange(10)}" for _ in range(question // 2)),
            "answer": " ".join(f"a{draw.randrange(10)}" for _ in range(answer // 2)),
        }
        for _ in range(count)
    ]


def steps(model: Path, device: str) -> Iterator[dict[str, Any]]:
    """One step, in each precision and at each length."""
    for name in ROWS:
        for precision in PRECISIONS:
            data = [f"--{split}={model / f'{name}-{split}.jsonl'}" for split in ("forget", "retain")]
            flags = [f"--model={model}", *data, f"--device={device}", "--dtype=bfloat16", "--steps=5"]
            measured = _json(
                "-m", "tests.benchmarks.performance", *flags, *(["--load-in-4bit"] if precision == "nf4" else [])
            )
            if "seconds" in measured:
                # 2 for the forward pass and 2 for the gradient of its inputs; the base's own gradient is not computed.
                work = 4 * _parameters(model) * measured["tokens"]["states kept"]
                measured["matmul_share"] = work / measured["seconds"]["states kept"] / _matmul_rate(device)
            yield {**measured, "rows": name, "precision": precision}


def commands(model: Path, device: str) -> Iterator[dict[str, Any]]:
    """Whole commands, with the seconds of their phases."""
    name = next(iter(ROWS))
    common = ["--device", device, "--eval-limit", "16", "--generate-limit", "4", "--max-new-tokens", "16"]
    for precision in PRECISIONS:
        run, four = model / f"run-{precision}", ["--load-in-4bit"] if precision == "nf4" else ["--dtype", "bfloat16"]
        data = [x for split in ("forget", "retain") for x in (f"--{split}", str(model / f"{name}-{split}.jsonl"))]
        fixed = ["--max-steps", "10", "--no-target", "--no-general", "--retain-held-out", "0", "--quiet"]
        forget = ["forget", "-m", str(model), *data, *common, *four, *fixed, "-o", str(run), "--overwrite"]
        attack = ["relearn-attack", str(run), "-p", "steps=0+5", "--learning-rates", "1e-4", "--device", device, "--quiet"]
        for command in (forget, ["evaluate", str(run), *data, *common, "--quiet"], attack):
            began = time.perf_counter()
            done = _command("-m", "unlearn_cli", *command)
            row: dict[str, Any] = {"rows": command[0], "precision": precision, "seconds": time.perf_counter() - began}
            if done.returncode not in (0, 4):
                row["error"] = done.stderr.strip().splitlines()[-1:]
            elif command is forget:
                report = json.loads((run / "report.json").read_text())
                row |= {"phases": report["seconds"], "step": report["training"]["seconds_per_step"]}
            yield row


def _parameters(model: Path) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in LlamaForCausalLM(LlamaConfig.from_pretrained(model)).parameters())


def _matmul_rate(device: str, size: int = 4096) -> float:
    """Operations a second of a bare matrix product in bf16."""
    size = size if device != "cpu" else 512
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    for repeats in (2, 20):
        if device != "cpu":
            torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(repeats):
            a @ a
        if device != "cpu":
            torch.cuda.synchronize()
        rate = 2 * size**3 * repeats / (time.perf_counter() - began)
    return rate


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, 124, "", f"longer than {SECONDS} s")


def _json(*arguments: str) -> dict[str, Any]:
    """What a command writes on stdout, or its error."""
    done = _command(*arguments)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout)


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The page, from the rows of the JSON file."""
    lines = [
        "# On a GPU",
        "",
        "Models of real shapes with random weights: Llama of 1B, 3B and 8B parameters, in bf16 and nf4. This page is",
        "made by `python -m tests.benchmarks.gpu`, in two parts of at most nine minutes each.",
        "",
    ]
    if not any("NVIDIA" in row.get("machine", "") for row in rows):
        lines += [
            "**No row was measured on a GPU yet**, so its rows are missing here. The scripts, and the commands that",
            "they run, are tested on a CPU with a tiny model (`pytest -m slow tests/gpu`). `unlearn forget` itself runs",
            "on a GPU in `tests/gpu/test_card.py` where there is one.",
            "",
        ]
    if not rows:
        return "\n".join(lines)
    lines += [
        "## One step of npo + kl, 8 + 16 rows",
        "",
        "| model | rows | precision | device | plain PEFT | `forget` | tokens/s | peak GiB | share of matmul rate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in (row for row in rows if row["part"] == 1):
        head = f"| {row['model']} | {row['rows']} | {row['precision']} | {row.get('machine', '-')} | "
        if "seconds" not in row:
            lines.append(f"{head}not measured: {' '.join(row['error'])} | | | | |")
            continue
        plain, ours = row["seconds"]["plain"], row["seconds"]["states kept"]
        peak = row["peak_bytes"].get("device", row["peak_bytes"]["rss"]) / 2**30
        lines.append(
            f"{head}{plain:.3f} s | {ours:.3f} s | {row['tokens']['states kept'] / ours:,.0f} | {peak:.1f} "
            f"| {row['matmul_share']:.0%} |"
        )
    lines += ["", "## Whole commands, 10 steps at TOFU's lengths", "", "| model | command | precision | seconds | phases |"]
    lines += ["|---|---|---|---|---|"]
    for row in (row for row in rows if row["part"] == 2):
        phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row.get("phases", {}).items())
        lines.append(
            f"| {row['model']} | {row['rows']} | {row['precision']} | {row['seconds']:.1f} "
            f"| {phases or ' '.join(row.get('error', []))} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
