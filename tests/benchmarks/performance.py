"""CPU seconds of one training step of npo + kl, in four ways that give the same loss, alternating in one run.

    python -m tests.benchmarks.performance --model MODEL --forget FILE --retain FILE [--steps 3] [--write]

- plain: PEFT as people write it: padded rows, one pass for forget and one for retain rows, logits of every position, the
  reference by switching the adapter off in every step.
- packed: this package before the two below: one packed pass, the head at answer positions, the reference in every step.
- template once: the tokens that all rows begin with are run once.
- states kept: with that, the reference of the retain rows is the head on stored hidden states. This is what `forget` does.

On a CPU one thread and CPU seconds, so that a busy machine disturbs all of them alike; on a GPU seconds of the clock.
Not a test: timing never decides one.
`--write` adds the model's row to docs/reference/performance.json and makes the page anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tests.benchmarks import performance_page
from tests.benchmarks.performance_page import WAYS
from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models import adapter, memory
from unlearn_cli.models.load import LoadedModel, load_model
from unlearn_cli.recipes.forgetting.prepare import PreparedRun, prepare
from unlearn_cli.recipes.forgetting.resolved_run import resolve_run
from unlearn_cli.training.loop import Trainer


def main() -> None:
    """Measure, print, and write the page if that is asked for."""
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--load-in-4bit", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    row = measured(arguments)
    print(json.dumps(row, indent=1))
    if arguments.write:
        performance_page.add("performance", row, ("model",))


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The options of a script that times steps: a model, its rows, and whether the page is written."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "forget", "retain"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--name", help="of the model, in the page")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    return parser


def measured(arguments: argparse.Namespace) -> dict:
    """Seconds, tokens and losses of each way, over the same rows."""
    run = prepared(arguments)
    trainer = run.trainer
    alone = replace(trainer.passes.layout, shares=False)
    passes = {
        "packed": replace(trainer.passes, layout=alone, states=None),
        "template once": replace(trainer.passes, states=None),
        "states kept": trainer.passes,
    }
    steps: dict[str, Callable[[int], tuple[float, int]]] = {
        name: ours(replace(trainer, passes=how)) for name, how in passes.items()
    }
    steps = {"plain": lambda step: _plain(run, step), **steps}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, list[float]] = {name: [] for name in steps}
    tokens: dict[str, int] = dict.fromkeys(steps, 0)
    adapter.set_training(run.model.model)
    move(trainer.parameters)
    for step in range(arguments.steps + 1):
        for name, way in steps.items():
            began = _clock(run)
            loss, count = way(step)
            taken = _clock(run) - began
            for parameter in trainer.parameters:
                parameter.grad = None
            if step:  # the first warms up
                seconds[name].append(taken)
                losses[name].append(loss)
                tokens[name] += count
    worst = max(
        abs(a - b) / max(abs(b), 1e-9) for name in WAYS[1:] for a, b in zip(losses[name], losses["plain"], strict=True)
    )
    return {
        "model": arguments.name or Path(arguments.model).name,
        "parameters": sum(p.numel() for n, p in run.model.model.named_parameters() if "lora_" not in n),
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "tokens": {name: count / arguments.steps for name, count in tokens.items()},
        "loss_difference": worst,
        "rows": [trainer.pairing.batch, run.pairing.retain_batch],
        "machine": machine(run.model),
        "peak_bytes": memory.peak(run.model.device),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def _clock(run: PreparedRun) -> float:
    """Seconds: of the CPU, or of the clock when the GPU has done what it was given."""
    if run.model.device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def move(parameters: Sequence[Tensor]) -> None:
    """Give the adapter an effect, so that policy and reference differ."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator).to(parameter.device))


def machine(loaded: LoadedModel) -> str:
    """The device and the precision of the weights."""
    gpu = loaded.device.type == "cuda"
    device = torch.cuda.get_device_name(loaded.device) if gpu else f"{platform.machine()}, one thread"
    return f"{device}, {loaded.quantization or str(loaded.dtype).removeprefix('torch.')}"


def prepared(arguments: argparse.Namespace) -> PreparedRun:
    """A run of npo with kl, or of `method` with its own retain term, ready for its first step."""
    term = {} if hasattr(arguments, "method") else {"retain_term": "kl"}
    config = ForgetConfig(
        model=arguments.model,
        forget=arguments.forget,
        retain=arguments.retain,
        method=getattr(arguments, "method", "npo"),
        **term,
        no_target=True,
        retain_held_out=0,
        no_general=True,
        max_steps=100,
        eval_limit=4,
        generate_limit=1,
        max_new_tokens=1,
        dtype=arguments.dtype,
        device=arguments.device,
        load_in_4bit=arguments.load_in_4bit,
        batch_size=getattr(arguments, "batch_size", None),
        output_dir=Path(tempfile.mkdtemp()) / "run",
    )
    return prepare(resolve_run(config, {}, Reporter(quiet=True)), load_model, None)


def underway(arguments: argparse.Namespace, **files: str) -> PreparedRun:
    """A run in float32 on a CPU whose adapter has an effect. `files` take the place of those of the arguments."""
    given = {**vars(arguments), **files, "dtype": "float32", "device": "cpu", "load_in_4bit": False}
    run = prepared(argparse.Namespace(**given))
    adapter.set_training(run.model.model)
    move(run.trainer.parameters)
    return run


def ours(trainer: Trainer) -> Callable[[int], tuple[float, int]]:
    def step(number: int) -> tuple[float, int]:
        outputs = trainer.passes.run(trainer.pairing.forget(number), trainer.pairing.retain(number))
        objective = trainer.passes.objective
        loss = objective.forget_losses(outputs.policy, outputs.reference, 0.0).mean()
        loss = loss + objective.retain_weight * objective.retain_losses(outputs.policy, outputs.reference, 0.0).mean()
        loss.backward()
        return float(loss.detach()), outputs.tokens

    return step


def _plain(run: PreparedRun, number: int) -> tuple[float, int]:
    """The same step in the usual lines of PEFT code."""
    model, trainer = run.model.model, run.trainer
    causal = model.get_base_model()
    attention = causal.config._attn_implementation
    causal.set_attn_implementation("sdpa")
    rows = trainer.passes.rows
    forget = [rows.forget[row] for _, row in trainer.pairing.forget(number)]
    retain = [rows.retain[row] for row in trainer.pairing.retain(number)]
    policy, count = _logits(model, forget)
    with torch.no_grad(), model.disable_adapter():
        reference, _ = _logits(model, forget)
    ratios = [
        _answer(p, row)[1].sum() - _answer(q, row)[1].sum() for p, q, row in zip(policy, reference, forget, strict=True)
    ]
    beta = trainer.passes.objective.parameters["beta"]
    loss = (2 / beta * F.softplus(beta * torch.stack(ratios))).mean()
    policy, more = _logits(model, retain)
    with torch.no_grad(), model.disable_adapter():
        reference, _ = _logits(model, retain)
    divergences = []
    for p, q, row in zip(policy, reference, retain, strict=True):
        ours, theirs = _answer(p, row)[0], _answer(q, row)[0]
        divergences.append((theirs.exp() * (theirs - ours)).sum(-1).mean())
    loss = loss + trainer.passes.objective.retain_weight * torch.stack(divergences).mean()
    loss.backward()
    causal.set_attn_implementation(attention)
    return float(loss.detach()), count + more


def _logits(model: Any, rows: Sequence[Row]) -> tuple[Tensor, int]:
    device = next(model.parameters()).device
    ids = pad_sequence([torch.from_numpy(row.input_ids) for row in rows], batch_first=True)
    mask = pad_sequence([torch.ones(len(row.input_ids), dtype=torch.long) for row in rows], batch_first=True)
    return model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits, ids.numel()


def _answer(logits: Tensor, row: Row) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the vocabulary and of the tokens themselves, at a row's answer."""
    targets = torch.from_numpy(row.input_ids)[row.answer_start :].to(logits.device)
    logps = logits[row.answer_start - 1 : len(row.input_ids) - 1].float().log_softmax(-1)
    return logps, logps.gather(-1, targets[:, None]).squeeze(-1)


if __name__ == "__main__":
    main()
