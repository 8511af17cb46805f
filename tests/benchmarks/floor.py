"""Ideas that would make a training step cheaper than its floor, each measured beside the step as it is.

    python -m tests.benchmarks.floor IDEA --model MODEL --forget FILE --retain FILE [--steps 3] [--write]

Steps with and without the idea alternate over the same rows in one process, on one thread; CPU seconds of npo + kl. The
losses of both must be equal to 1e-5.

- narrow: in the last layer, tokens whose successor is not scored get keys and values only: no query, no attention, no MLP.
  For models of the Llama family; the final norm is as narrow.

`--write` adds the row to docs/reference/floor.json and makes docs/reference/performance.md anew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.benchmarks import performance, performance_page
from unlearn_cli.data.batch import Batch
from unlearn_cli.models import forward, packing
from unlearn_cli.models.depth import blocks
from unlearn_cli.models.forward import Layout
from unlearn_cli.recipes.forgetting.prepare import PreparedRun


def main() -> None:
    """Measure, print, and write the page if that is asked for."""
    parser = performance.parser_of(__doc__)
    parser.add_argument("idea", choices=IDEAS)
    parser.add_argument("--batch-size", type=int, default=8, help="forget rows of a step; twice as many retain rows")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    row = measured(arguments)
    print(json.dumps(row, indent=1))
    if arguments.write:
        performance_page.add("floor", row, ("idea", "model"))


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of a step with and without the idea, and the largest relative difference of the losses."""
    run = performance.underway(arguments)
    step = performance.ours(run.trainer)
    ways: dict[str, Callable[[], AbstractContextManager]] = {
        "as it is": nullcontext, "idea": lambda: IDEAS[arguments.idea](run),
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(arguments.steps + 1):
        for name, way in ways.items():
            with way():
                began = time.process_time()
                loss, _ = step(number)
                taken = time.process_time() - began
            norm = float(torch.stack([p.grad.norm() for p in run.trainer.parameters if p.grad is not None]).norm())
            for parameter in run.trainer.parameters:
                parameter.grad = None
            if number:  # the first warms up
                seconds[name].append(taken)
                losses[name] += [loss, norm]
    pairs = zip(losses["as it is"], losses["idea"], strict=True)
    ratios = [b / a for a, b in zip(seconds["as it is"], seconds["idea"], strict=True)]
    return {
        "idea": arguments.idea,
        "model": arguments.name or Path(arguments.model).name,
        "layers": len(blocks(run.model.model)),
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "ratio": statistics.median(ratios),
        "ratios": [min(ratios), max(ratios)],
        "scored": scored_share(run),
        "loss_difference": max(abs(a - b) / abs(a) for a, b in pairs),
        "steps": arguments.steps,
        "date": date.today().isoformat(),
    }


def scored_share(run: PreparedRun) -> float:
    """Share of the tokens of the first step whose successor is scored."""
    passes, pairing = run.trainer.passes, run.trainer.pairing
    batch = passes._pack(passes.choose(pairing.forget(0), pairing.retain(0))[0])
    return float(batch.answer_mask.float().mean())


@contextmanager
def narrow(run: PreparedRun) -> Iterator[None]:
    """The last layer computes its output only where the next token is scored."""
    model, known = run.model.model, forward._run
    last, at = blocks(model)[-1], torch.empty(0)

    def narrowed(hidden: Tensor, attention_mask: Tensor, position_embeddings: tuple[Tensor, Tensor], **_: Any) -> Tensor:
        attention, normed = last.self_attn, last.input_layernorm(hidden)
        (cos, sin), size = position_embeddings, (1, -1, last.self_attn.head_dim)

        def heads(projected: Tensor) -> Tensor:
            return projected.view(size[0], projected.shape[1], -1, size[2]).transpose(1, 2)

        keys, values = heads(attention.k_proj(normed)), heads(attention.v_proj(normed))
        queries = heads(attention.q_proj(normed[:, at]))
        keys = apply_rotary_pos_emb(keys, keys, cos, sin)[0]
        queries = apply_rotary_pos_emb(queries, queries, cos[:, at], sin[:, at])[0]
        states = hidden[:, at] + attention.o_proj(_attended(queries, keys, values, attention_mask, at, attention.scaling))
        return states + last.mlp(last.post_attention_layernorm(states))

    def run_narrow(module: Any, batch: Batch, layout: Layout, **arguments: Any) -> Any:
        nonlocal at
        at = batch.answer_mask.nonzero().squeeze(-1) - 1
        arguments.pop("logits_to_keep", None)
        return known(module, batch, layout, **arguments)

    forward._run, last.forward = run_narrow, narrowed
    try:
        yield
    finally:
        forward._run = known
        del last.forward


def _attended(queries: Tensor, keys: Tensor, values: Tensor, attention_mask: Tensor, at: Tensor, scale: float) -> Tensor:
    """Causal attention of each row's queries, which end at the token before its last: [1, n, heads * D]."""
    offsets = attention_mask[0, 0, 0]
    lengths = offsets.diff().tolist()
    parents = attention_mask[0, 0, 1, :-1].tolist() if attention_mask.shape[2] == 2 else [-1] * len(lengths)
    counts = torch.bucketize(at, offsets.long(), right=True).bincount(minlength=len(offsets))[1:].tolist()
    rows, first = [], 0
    wholes = (packing._behind_parents(x.split(lengths, 2), parents) for x in (keys, values))
    for key, value, count in zip(*wholes, counts, strict=False):
        if count:
            seen = key[:, :, :-1], value[:, :, :-1]
            rows.append(packing._one_row(queries[:, :, first : first + count], *seen, scale, None, None))
            first += count
    return torch.cat(rows, 2).transpose(1, 2).flatten(2)


IDEAS: dict[str, Callable[[PreparedRun], AbstractContextManager]] = {"narrow": narrow}


if __name__ == "__main__":
    main()
