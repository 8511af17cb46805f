"""The page docs/reference/performance.md, from the JSON files that the benchmarks write beside it."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs/reference"
WAYS = ("plain", "packed", "template once", "states kept")


def add(name: str, row: dict, keys: tuple[str, ...]) -> None:
    """Add a row to a JSON file, in place of the one with equal values of `keys`, and make the page anew."""
    rows = [old for old in rows_of(name) if any(old[key] != row[key] for key in keys)]
    (FOLDER / f"{name}.json").write_text(json.dumps([*rows, row], indent=1) + "\n")
    (FOLDER / "performance.md").write_text(whole())


def rows_of(name: str) -> list[dict]:
    """The rows of a JSON file beside the page."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else []


def whole() -> str:
    """The page: one section for each file that is there."""
    sections = {
        "performance": page, "time_to_target": to_target, "start_up": start_up, "generation": generation, "scaling": scaling,
        "alternatives": alternatives, "floor": not_kept,
    }  # fmt: skip
    return "".join(section(rows) for name, section in sections.items() if (rows := rows_of(name)))


def heading(*columns: str) -> tuple[str, str]:
    """The two first lines of a table."""
    return f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"


def page(rows: list[dict]) -> str:
    """The page, from the rows of the JSON file."""
    lines = [
        "# Performance",
        "",
        "CPU seconds of one step of `npo` with the retain term `kl`. Each row is one run, in which the four ways alternate",
        "over the same rows; all give the same loss. What the ways are: `python -m tests.benchmarks.performance --help`.",
        "Ratio: plain PEFT over `forget`.",
        "",
        *heading(
            "model",
            "rows a step",
            "plain PEFT",
            "packed",
            "template once",
            "states kept (`forget`)",
            "ratio",
            "loss differs by",
        ),
    ]
    for row in rows:
        cells = [f"{row['seconds'][name]:.3g} s, {row['tokens'][name]:.0f} tokens" for name in WAYS]
        ratio = row["seconds"]["plain"] / row["seconds"]["states kept"]
        forget, retain = row["rows"]
        lines.append(
            f"| {row['model']} ({row['parameters'] / 1e6:.3g} M) | {forget} + {retain} | {' | '.join(cells)} | {ratio:.2f} "
            f"| {row['loss_difference']:.0e} |"
        )
    machines = sorted({f"{row['machine']}, torch {row['torch']}, {row['date']}" for row in rows})
    return "\n".join([*lines, "", f"Measured on: {'; '.join(machines)}. Nothing here was measured on a GPU.", ""])


def alternatives(rows: list[dict]) -> str:
    """The section on questions with several answers, from the rows of alternatives.json."""
    lines = [
        "",
        "## Questions with several answers",
        "",
        "CPU seconds of one step of a method that trains on several answers to a question, 8 rows to forget and 16 to keep:",
        "with a copy of the question for each answer, and with one for all, as `forget` runs it. Tokens before the answer",
        "and of the answer are means of the rows to forget. `python -m tests.benchmarks.alternatives --help`.",
        "",
        *heading(
            "method", "model", "question + answer", "a copy for each", "one for all", "ratio",
            "losses and gradients differ by", "date",
        ),
    ]  # fmt: skip
    for row in rows:
        each, once = (f"{row['seconds'][way]:.3g} s, {row['tokens'][way]:.0f} tokens" for way in ("each", "once"))
        low, high = row["ratios"]
        lines.append(
            f"| {row['method']} | {row['model']} | {row['question']:.0f} + {row['answer']:.0f} | {each} | {once} "
            f"| {row['ratio']:.2f} ({low:.2f}, {high:.2f}) | {row['difference']:.0e} | {row['date']} |"
        )
    return "\n".join([*lines, "", *OF_ALTERNATIVES, ""])


def to_target(rows: list[dict]) -> str:
    """The section on whole commands, from the rows of time_to_target.json."""
    lines = [
        "",
        "## From the command to forgotten and kept",
        "",
        "CPU seconds of a whole command, from start-up to the last measurement, on one thread: `unlearn forget`; PEFT with",
        "transformers' Trainer as people write it; and the loop of the field's framework, which trains all weights beside a",
        "copy of the model, at the best of three rates. Both scripts (`tests/benchmarks/plain_unlearning.py`) have the same",
        "rows and target, and measure less. What they do, and the command that makes the rows:",
        "`python -m tests.benchmarks.time_to_target --help`.",
        "",
        *heading(
            "model",
            "rows to forget + to keep",
            "PEFT",
            "the framework's loop",
            "`forget`",
            "ratios",
            "steps",
            "probability (target)",
            "kept",
            "date",
        ),
    ]
    for row in rows:
        ours = row["forget_command"]
        others = [row["plain"], row["full"]]
        ways = [*others, ours]
        seconds = [f"{way['cpu_seconds']:.1f} s" + ("" if way["reached"] else ", not reached") for way in ways]
        ratios = ", ".join(f"{way['cpu_seconds'] / ours['cpu_seconds']:.1f}" for way in others)
        forget, kept = (
            ", ".join(f"{way[half]:{form}}" for way in ways) for half, form in (("forget", ".2g"), ("kept", ".1%"))
        )
        lines.append(
            f"| {row['model']} | {row['forget_rows']} + {row['retain_rows']} | {' | '.join(seconds)} | {ratios} "
            f"| {', '.join(str(way['steps']) for way in ways)} | {forget} ({row['level']:.2g}) | {kept} | {row['date']} |"
        )
    return "\n".join([*lines, "", *OF_TARGETS, ""])


def start_up(rows: list[dict]) -> str:
    """The section on start-up, from the row of start_up.json."""
    seconds = rows[0]["seconds"]
    bare = seconds["torch, transformers, peft"]
    lines = [
        "",
        "## Start-up",
        "",
        "CPU seconds of a process on one thread: imports, and `unlearn forget` on the demo's model, its measurements before",
        "and after included: until its target, with general ability, and with one step, without.",
        "`python -m tests.benchmarks.start_up --help`.",
        "",
        *heading("what", "CPU seconds", "of the bare imports"),
        *(f"| {name} | {value:.1f} | {value / bare:.2f} |" for name, value in seconds.items()),
        "",
        "The imports alone are collected for garbage as Python does by itself, which the commands do less often: they walk",
        f"through a million objects that stay. {rows[0]['date']}.",
        "",
    ]
    return "\n".join(lines)


def generation(rows: list[dict]) -> str:
    """The section on greedy answers, from the rows of generation.json."""
    lines = [
        "",
        "## Greedy answers",
        "",
        "CPU seconds of transformers' `generate` in batches of 32 in the order of the file, and of `unlearn` over the same",
        "prompts, alternating in one process. `python -m tests.benchmarks.generation --help`.",
        "",
        *heading("model", "rows", "new tokens", "`generate`", "`unlearn`", "ratio", "equal answers", "date"),
    ]
    for row in rows:
        theirs, ours = row["seconds"].values()
        lines.append(
            f"| {row['model']} | {row['rows']} | {row['tokens']} | {theirs:.3g} s | {ours:.3g} s | {row['ratio']:.2f} "
            f"| {row['equal']:.0%} | {row['date']} |"
        )
    return "\n".join([*lines, "", *OF_GENERATION, ""])


def scaling(rows: list[dict]) -> str:
    """The section on cost against size, from the rows of scaling.json."""
    lines = [
        "",
        "## Cost against size",
        "",
        "CPU seconds of a step on a Llama with random weights: 8 rows of 64 tokens, a vocabulary of 8192, 4 layers, 256",
        "hidden units, and one of these changed. An exponent of 1 is linear. `python -m tests.benchmarks.scaling --help`.",
        "",
        *heading("what changes", "size: seconds", "exponent", "date"),
    ]
    for row in rows:
        points = ", ".join(f"{size}: {seconds:.3g}" for size, seconds in row["points"])
        lines.append(f"| {row['series']} | {points} | {row['exponent']:.2f} | {row['date']} |")
    return "\n".join([*lines, ""])


def not_kept(rows: list[dict]) -> str:
    """The section on ideas that were measured and rejected, from the rows of floor.json."""
    lines = [
        "",
        "## Tried and not kept",
        "",
        "A step as it is and with an idea, alternating over the same rows in one process: CPU seconds, the median of the",
        "ratios, and between which two they lay. The losses and the norms of the gradients are equal.",
        "`python -m tests.benchmarks.floor --help`.",
        "",
        *heading(
            "idea", "model", "layers", "tokens that are scored", "step", "with the idea", "ratio", "losses differ by", "date"
        ),
    ]
    for row in rows:
        before, after = row["seconds"].values()
        low, high = row["ratios"]
        lines.append(
            f"| {row['idea']} | {row['model']} | {row['layers']} | {row['scored']:.0%} | {before:.3g} s | {after:.3g} s "
            f"| {row['ratio']:.3f} ({low:.2f}, {high:.2f}) | {row['loss_difference']:.0e} | {row['date']} |"
        )
    return "\n".join([*lines, "", *REASONS, ""])


OF_ALTERNATIVES = (
    "Rows share tokens where attention is run row by row: on a CPU, and on a GPU in float32. Elsewhere one launch of a",
    "kernel takes all rows, and each answer keeps its copy. The robust rule `lat` shares nothing: it moves hidden states of",
    "each row.",
)
OF_TARGETS = (
    "In each cell: PEFT, the loop of the framework, `forget`. The aim was a third of either, and is not met: `forget`",
    "settles for ten steps or more where the scripts stop at once, so that more of the retain rows is left. With a target",
    "of 0.00086 on the demo's model it was met: 11.4 s beside 34.9 s with PEFT, 2026-11-30.",
)
OF_GENERATION = (
    "The aims are 1.2 times the time of `generate` at one row, and a third of it at 200. The first is met, the second not.",
    "Rows leave a batch when an eighth of it has finished; no row takes the place of one that left. Batches of 128 or 256",
    "instead of 64 take 0.93 and 0.86 of the time on the demo's model, and two and four times the cache: not kept. Of 6.9 s",
    "with 200 rows on the model of 5.7 M parameters 4.8 s are matrix products and attention, so a third is out of reach.",
    "A cache with room at its end, so that no step copies what is there, took 6.94 s instead of 6.85: not kept.",
)
REASONS = (
    "- **narrow**: in the last layer, tokens whose successor is not scored get keys and values only: no query, no MLP, no",
    "  final norm. That saves at most their share of one layer, so it shrinks with depth; and each architecture would need",
    "  a last layer of our own. On the 30 layers of SmolLM2-135M (2 + 4 rows a step) it gains less than the 3% from which",
    "  on it would have been built; by arithmetic 1%, 94% of one layer for 40% of the tokens.",
    "- **scipy later**: transformers imports scipy for losses of object detection. With that import left out, importing",
    "  `unlearn forget` took 5.96 and 6.20 CPU seconds instead of 6.07 and 6.23, because other modules import it too.",
    "- **torch's compiler later**: transformers' masks import `torch._dynamo`, its parallel layers",
    "  `torch.distributed.tensor`, and both sympy: a quarter of the time of all imports. Not tried: torch's optimizers",
    "  import the first at their first step anyway.",
    "- **adapters in the upper half**: cheaper steps and more of them, [in the guide](../guides/tuning.md).",
    "- **float32 for a checkpoint in bfloat16**: three steps of npo on SmolLM2-135M take 70 CPU seconds instead of",
    "  53, start-up and measuring included, on a CPU with avx512_bf16. The losses of the second and third step differ",
    "  by 0.8% and 1.5%. So `--dtype auto` stays the checkpoint's own.",
    "- **Not tried**: a fused linear layer and log-softmax (Liger, cut cross-entropy), which needs CUDA; a base in",
    "  int8 on a CPU; recomputing only the large activations of a block instead of all.",
    "- **Not compared**: OpenUnlearning's own loop. Its losses, with PEFT and the Trainer, are the plain code above.",
)
