"""Our packed attention against what transformers offers by itself, as ratios in one run.

    python -m tests.benchmarks.bench_packing

Ways: `packed` is ours (attention on each row's slice, one function for every architecture); `native` is transformers' own
packing (positions that restart, no mask given: it makes a block-diagonal one for SDPA); `padded` is SDPA on padded rows,
sorted by length where the order is free. Logits are made at the answer positions only, each way. Scoring also compares
answers behind one copy of their question (`shared`) with a copy for each. Rows have TOFU's lengths. Not a test: timing
never decides one. The ways alternate, and CPU seconds of one thread are compared, so that a busy machine disturbs all alike.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F

from tests.benchmarks.bench_speed import VOCABULARY, small_model
from unlearn_cli.config import LoraOptions
from unlearn_cli.data.batch import Batch, pack, pack_shared, packs
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models import adapter
from unlearn_cli.models.forward import Layout, answer_logits
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.packing import ROWS

REPEATS, TOKENS, ANSWERS = 3, 2048, 7  # tokens of a scoring pass; TOFU's right, paraphrased and five wrong answers
QUESTIONS = 8
PACKED, PADDED = Layout(True, ROWS, own_head=True), Layout(False, "sdpa", own_head=True)


def main() -> None:
    """Print the ratios."""
    torch.set_num_threads(1)
    loaded = small_model()
    adapter.attach(loaded, LoraOptions(), seed=0)
    rng = np.random.default_rng(0)
    _check_equal(loaded, pack({"rows": [_row(rng) for _ in range(4)]}))
    for rows in (8, 16):
        batch = pack({"rows": [_row(rng) for _ in range(rows)]})
        _print(f"training step, {rows} rows, {batch.tokens} tokens", {way: _step(loaded, batch, way) for way in WAYS})
    questions = [_question(rng) for _ in range(QUESTIONS)]
    flat = [row for answers in questions for row in answers]
    _print(f"scoring {len(flat)} rows", {way: _scoring(loaded, flat, way) for way in WAYS})
    both = {"packed": _scoring(loaded, flat, "packed"), "shared": _scoring_shared(loaded, questions)}
    _print(f"scoring {QUESTIONS} questions with {ANSWERS} answers", both)


@torch.inference_mode()
def _check_equal(loaded: LoadedModel, batch: Batch) -> None:
    """No way lets a row see another: all give the same logits."""
    logits = {}
    for way, (attention, run) in WAYS.items():
        loaded.model.get_base_model().set_attn_implementation(attention)
        logits[way] = run(loaded, batch)
    for way in ("native", "padded"):
        torch.testing.assert_close(logits[way], logits["packed"], atol=1e-4, rtol=1e-3)


def _native(loaded: LoadedModel, batch: Batch) -> torch.Tensor:
    at = batch.answer_mask.nonzero().squeeze(-1) - 1
    inputs = {"input_ids": batch.input_ids[None], "position_ids": batch.position_ids[None]}
    return loaded.model(**inputs, use_cache=False, logits_to_keep=at).logits[0]


WAYS: dict[str, tuple[str, Callable[[LoadedModel, Batch], torch.Tensor]]] = {
    "packed": (ROWS, lambda loaded, batch: answer_logits(loaded.model, batch, PACKED)),
    "native": ("sdpa", _native),
    "padded": ("sdpa", lambda loaded, batch: answer_logits(loaded.model, batch, PADDED)),
}


def _step(loaded: LoadedModel, batch: Batch, way: str) -> Callable[[], None]:
    attention, logits = WAYS[way]

    def run() -> None:
        loaded.model.get_base_model().set_attn_implementation(attention)
        F.cross_entropy(logits(loaded, batch).float(), batch.input_ids[batch.answer_mask]).backward()
        loaded.model.zero_grad(set_to_none=True)

    return run


def _scoring(loaded: LoadedModel, rows: list[Row], way: str) -> Callable[[], None]:
    attention, logits = WAYS[way]
    batches = [pack({"rows": [rows[i] for i in members]}) for members in packs([len(r.input_ids) for r in rows], TOKENS)]

    @torch.inference_mode()
    def run() -> None:
        loaded.model.get_base_model().set_attn_implementation(attention)
        for batch in batches:
            logits(loaded, batch)

    return run


def _scoring_shared(loaded: LoadedModel, questions: list[list[Row]]) -> Callable[[], None]:
    lengths = [sum(len(row.input_ids) for row in answers) for answers in questions]
    batches = [pack_shared([questions[i] for i in members]) for members in packs(lengths, TOKENS)]

    @torch.inference_mode()
    def run() -> None:
        loaded.model.get_base_model().set_attn_implementation(ROWS)
        for batch in batches:
            answer_logits(loaded.model, batch, PACKED)

    return run


def _print(title: str, ways: dict[str, Callable[[], None]]) -> None:
    """CPU seconds of each way, and the median ratio to the first."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(REPEATS + 1):  # the first warms up
        for way, run in ways.items():
            began = time.process_time()
            run()
            if repeat:
                seconds[way].append(time.process_time() - began)
    first = next(iter(ways))
    ratios = {way: statistics.median(t / f for t, f in zip(seconds[way], seconds[first], strict=True)) for way in ways}
    shown = ", ".join(f"{way} {min(seconds[way]):.3f} s = {ratios[way]:.2f}" for way in ways)
    print(f"{title}: {shown}", flush=True)


def _row(rng: np.random.Generator, question: np.ndarray | None = None) -> Row:
    """A row with TOFU's lengths: 56 tokens in the mean, of which 36 are the answer."""
    question = rng.integers(VOCABULARY, size=rng.integers(14, 28)) if question is None else question
    ids = np.concatenate([question, rng.integers(VOCABULARY, size=rng.integers(8, 64))])
    return Row("", ids, len(question), len(question), "", ends=True)


def _question(rng: np.random.Generator) -> list[Row]:
    question = rng.integers(VOCABULARY, size=rng.integers(14, 28))
    return [_row(rng, question) for _ in range(ANSWERS)]


if __name__ == "__main__":
    main()
