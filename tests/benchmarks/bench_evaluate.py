"""TOFU's whole evaluation for forget10, as a ratio to what it must cost: `python tests/benchmarks/bench_evaluate.py`.

    python tests/benchmarks/bench_evaluate.py --shared ../shared [--repeat 3]

400 forget and 400 retain rows with five wrong answers and a paraphrase each, 100 real authors and 117 world facts with
three, and a greedy answer to every question. The floor, measured in the same run with the same model: one forward pass
over each distinct token once (every question once, every answer once; log-softmax at answer positions), and transformers'
own greedy generation in batches of 64 sorted by length. Ours: the measuring code as `unlearn evaluate` calls it, from
token ids to measurements. CPU seconds of this process, the fastest of the repeats.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from unlearn_cli.config import EvaluateConfig
from unlearn_cli.data.batch import packs, shared_length
from unlearn_cli.data.tokenize import make_encoder
from unlearn_cli.evaluation.measure import Plan, Questions, measure
from unlearn_cli.models.load import load_model
from unlearn_cli.models.packing import as_mask
from unlearn_cli.recipes.scoring import splits

ROOT = Path(__file__).parents[2]
BATCH, NEW_TOKENS, BUDGET = 64, 200, 2048


def distinct(questions) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each question one sequence that holds it once and each answer once, and where answers are predicted."""
    collected = []
    for answers in questions:
        shared = shared_length(answers) + 1 if len(answers) > 1 else 0
        ids = np.concatenate([answers[0].input_ids[:shared], *(row.input_ids[shared:] for row in answers)])
        scored = np.concatenate(
            [np.zeros(shared, bool), *(np.arange(shared, len(row.input_ids)) >= row.answer_start for row in answers)]
        )
        collected.append((ids, scored))
    return collected


@torch.inference_mode()
def floor_scoring(model, sequences) -> int:
    """One forward over the sequences, packed end to end, each with causal attention of its own; returns the tokens."""
    tokens = 0
    for members in packs([len(ids) for ids, _ in sequences], BUDGET):
        ids = torch.from_numpy(np.concatenate([sequences[i][0] for i in members]))
        at = torch.from_numpy(np.flatnonzero(np.concatenate([sequences[i][1] for i in members])) - 1)
        lengths = [len(sequences[i][0]) for i in members]
        offsets = torch.tensor(np.cumsum([0, *lengths]))
        positions = torch.cat([torch.arange(length) for length in lengths])
        logits = model(
            input_ids=ids[None], position_ids=positions[None], attention_mask=as_mask(offsets), use_cache=False,
            logits_to_keep=at.clamp_min(0),
        ).logits[0]  # fmt: skip
        logits.float().log_softmax(-1).gather(-1, ids[at + 1][:, None])
        tokens += len(ids)
    return tokens


@torch.inference_mode()
def floor_generation(model, prompts, stop_ids, pad: int) -> int:
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    written = 0
    for start in range(0, len(order), BATCH):
        members = [prompts[i] for i in order[start : start + BATCH]]
        longest = max(map(len, members))
        ids = torch.full((len(members), longest), pad)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(members):
            ids[row, longest - len(prompt) :] = torch.from_numpy(prompt)
            mask[row, longest - len(prompt) :] = 1
        generated = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=sorted(stop_ids),
            pad_token_id=pad,
        )  # fmt: skip
        written += generated.shape[1] - longest
    return written


def seconds(function, *arguments) -> float:
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--repeat", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = EvaluateConfig(
        model=str(arguments.shared / "models" / "tofu-mini-full"), benchmark="tofu:forget10", device="cpu",
        benchmark_dir=arguments.shared / "data" / "tofu", eval_limit=0, generate_limit=0,
    )  # fmt: skip
    loaded = load_model(config)
    encoder = make_encoder(config, loaded.tokenizer, loaded.stop_ids, loaded.model.config.max_position_embeddings)
    inputs = {name: splits.tokenized(split, encoder, 0) for name, split in splits.load_splits(config).items()}
    plan = Plan(generate=0, max_new_tokens=NEW_TOKENS, token_budget=BUDGET)
    scoring_only = Plan(generate=-1, max_new_tokens=NEW_TOKENS, token_budget=BUDGET)

    questions, prompts = [], []
    for data in inputs.values():
        for row, (own, wrong) in zip(data.measured_rows, data.others, strict=True):
            questions.append([row, *([own] if own else []), *wrong])
            prompts.append(row.input_ids[: row.prompt_end])
    sequences = distinct(questions)
    pad = loaded.tokenizer.pad_token_id or 0
    spent = SimpleNamespace(ours=[], scoring=[], floor_scoring=[], floor_generation=[])

    def ours(chosen: Plan) -> list:
        return [
            measure(loaded, Questions(name, data.measured_rows, data.prompts(), len(data.rows), data.others), chosen)
            for name, data in inputs.items()
        ]

    measurements = ours(scoring_only)  # warm
    for _ in range(arguments.repeat):
        spent.floor_scoring.append(seconds(floor_scoring, loaded.model, sequences))
        spent.scoring.append(seconds(ours, scoring_only))
        spent.floor_generation.append(seconds(floor_generation, loaded.model, prompts, loaded.stop_ids, pad))
        spent.ours.append(seconds(ours, plan))
    best = {name: min(values) for name, values in vars(spent).items()}
    floor = best["floor_scoring"] + best["floor_generation"]
    print(json.dumps({
        "rows": len(questions),
        "answers": sum(map(len, questions)),
        "tokens_run": sum(m.tokens_run for m in measurements),
        "tokens_needed": sum(m.tokens_needed for m in measurements),
        "tokens_if_each_answer_had_its_question": sum(len(row.input_ids) for q in questions for row in q),
        "seconds": {name: round(value, 2) for name, value in best.items()},
        "scoring_ratio": round(best["scoring"] / best["floor_scoring"], 3),
        "whole_ratio": round(best["ours"] / floor, 3),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
