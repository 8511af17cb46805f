"""Seconds per step as a ratio to the floor, and `--help` as a ratio to importing typer, all in one run.

    python tests/benchmarks/bench_speed.py

The floor is a bare forward and backward over the same packed tokens of the same model with the same LoRA, logits at the
answer positions only, and nothing else: no optimizer, no clipping, no pairing, no reference. Not a test: timing never
decides one. Steps of the variants alternate, and CPU seconds of one thread are compared, so that a busy machine disturbs
all of them alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from unlearn_cli.config import LoraOptions
from unlearn_cli.contract import METHODS, RETAIN_TERMS
from unlearn_cli.data.batch import pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models import adapter
from unlearn_cli.models.layout import choose_layout
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.packing import as_mask
from unlearn_cli.models.reference import ReferenceFile, compute
from unlearn_cli.models.source import ModelSource
from unlearn_cli.training.loop import Trainer
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.optimizer import make_optimizer
from unlearn_cli.training.pairing import Pairing
from unlearn_cli.training.passes import Passes, Rows

STEPS, BATCH, EPOCHS, ROWS = 30, 4, 5, 120
VOCABULARY = 8192


def main() -> None:
    """Print the ratios."""
    torch.set_num_threads(1)
    rows, kept = _rows(0), _rows(1)
    loaded = small_model()
    began = time.process_time()
    known = {("forget", i): row for i, row in enumerate(rows)}
    with tempfile.TemporaryDirectory() as folder:
        stored = compute(loaded, known, {}, ReferenceFile(Path(folder), "bench"), token_budget=2048)
    reference = time.process_time() - began
    adapter.attach(loaded, LoraOptions(), seed=0)
    trainers = {name: _trainer(loaded, name, rows, kept, stored) for name in ("grad-diff", "npo")}
    for trainer in trainers.values():
        list(zip(range(2), trainer.train(), strict=False))  # warm up
    seconds: dict[str, list[float]] = {name: [] for name in ("floor", *trainers)}
    runs = {name: trainer.train() for name, trainer in trainers.items()}
    for step in range(STEPS):
        seconds["floor"].append(_floor(loaded, trainers["npo"], step))
        for name, run in runs.items():
            began = time.process_time()
            next(run)
            seconds[name].append(time.process_time() - began)
    totals = {name: sum(values) for name, values in seconds.items()}
    share = reference / (EPOCHS * ROWS / BATCH)
    floor = totals["floor"]
    print(
        f"model: {sum(p.numel() for p in loaded.model.parameters()):,} weights with LoRA r 16, {BATCH} + {BATCH} rows a step"
    )
    for name, total in totals.items():
        print(f"{name:<10} {total / STEPS:.3f} CPU s/step  {total / floor:.2f} x floor")
    with_reference = totals["npo"] / STEPS + share
    print(f"npo with its reference pass over {EPOCHS} epochs: {with_reference * STEPS / floor:.2f} x floor, ", end="")
    print(f"{with_reference * STEPS / totals['grad-diff']:.2f} x grad-diff")
    typer, shown = _command("-c", "import typer"), _command("-m", "unlearn_cli", "--help")
    print(f"--help: {shown:.2f} s = {shown / typer:.1f} x `python -c 'import typer'` ({typer:.2f} s)")


def _rows(seed: int) -> list[Row]:
    """Rows with TOFU's lengths: 56 tokens in the mean, of which 36 are the answer."""
    rng = np.random.default_rng(seed)
    collected = []
    for number in range(ROWS):
        prompt, answer = rng.integers(14, 28), rng.integers(8, 64)
        ids = rng.integers(VOCABULARY, size=prompt + answer)
        collected.append(Row(str(number), ids, int(prompt), int(prompt), "", ends=True))
    return collected


def small_model() -> LoadedModel:
    """A Llama of eight narrow blocks with random weights, as the command line would have loaded it."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        num_hidden_layers=8,
        num_attention_heads=6,
        num_key_value_heads=6,
        intermediate_size=1024,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    model = LlamaForCausalLM(config).requires_grad_(False).eval()
    source = ModelSource("benchmark", None)
    return LoadedModel(model, None, choose_layout(model), source, torch.device("cpu"), torch.float32, None, frozenset({0}))


def _trainer(loaded, name, rows, kept, stored) -> Trainer:
    method, term = METHODS.get(name), RETAIN_TERMS.get("nll")
    parameters = [tensor for _, tensor in adapter.trainable_parameters(loaded.model)]
    return Trainer(
        passes=Passes(
            model=loaded.model,
            layout=loaded.layout,
            device=loaded.device,
            objective=Objective(method, term, method.resolve({}), term.resolve({}), 1.0, 1.0),
            rows=Rows(rows, (), kept),
            stored=stored,
            reference_weights=adapter.reference_weights,
        ),
        pairing=Pairing(0, len(rows), len(kept), BATCH, BATCH),
        optimizer=make_optimizer(parameters, "adamw", device=loaded.device, full=False, weight_decay=0.0),
        rate=lambda step: 1e-4,
        steps=STEPS + 2,
        parameters=parameters,
    )


def _floor(loaded: LoadedModel, trainer: Trainer, step: int) -> float:
    forget = [trainer.passes.rows.forget[row] for _, row in trainer.pairing.forget(step)]
    batch = pack({"rows": forget + [trainer.passes.rows.retain[row] for row in trainer.pairing.retain(step)]})
    at = batch.answer_mask.nonzero().squeeze(-1)
    began = time.process_time()
    logits = loaded.model(
        input_ids=batch.input_ids[None],
        position_ids=batch.position_ids[None],
        attention_mask=as_mask(batch.row_offsets),
        logits_to_keep=at - 1,
        use_cache=False,
    ).logits[0]
    F.cross_entropy(logits, batch.input_ids[at]).backward()
    seconds = time.process_time() - began
    loaded.model.zero_grad(set_to_none=True)
    return seconds


def _command(*arguments: str) -> float:
    """Median wall seconds of a fresh interpreter."""
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
