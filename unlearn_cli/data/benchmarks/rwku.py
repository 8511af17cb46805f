"""RWKU: a famous person is forgotten, without any text to forget or to keep; neighbors must stay.

Jin et al., "RWKU: Benchmarking Real-World Knowledge Unlearning for Large Language Models" (2024, arXiv 2406.10890). Levels:
1 fills in blanks, 2 answers questions, 3 attacks in nine ways. `rwku:all` takes all 200 people at once, `rwku:NAME` one,
as in the paper. The rows to train on are what Llama 3 wrote about the person (`train_positive_llama3`); for another model
`--about NAME` lets that model write. Nothing is published to keep. Utility is RWKU's rows, asked in this tool's form: MMLU
by letters, TruthfulQA as one right answer among wrong ones, TriviaQA by its first answer, without their few examples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unlearn_cli.data.benchmarks._benchmark import Benchmark, Part, Rows, Variant, where_is

HUB = "jinzhuoran/RWKU"
ANSWER_TOKENS = 30


def _then(first: Callable[[Rows], Rows], second: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Rows], Rows]:
    return lambda rows: [second(row) for row in first(rows)]


def _truthful(row: dict[str, Any]) -> dict[str, Any]:
    """TruthfulQA's one right answer, and the wrong ones."""
    targets = row["mc1_targets"]
    marked = list(zip(targets["choices"], targets["labels"], strict=True))
    wrong = [text for text, label in marked if not label]
    return {
        "question": row["question"], "answer": next(text for text, label in marked if label), "perturbed_answer": wrong,
    }  # fmt: skip


def _first_answer(row: dict[str, Any]) -> dict[str, Any]:
    answers = row.get("answers") or row.get("answer")
    return {"question": row["question"], "answer": answers[0] if isinstance(answers, list) else answers}


def _as_question(row: dict[str, Any]) -> dict[str, Any]:
    return {"question": row["query"], "answer": row["answer"]}


def _variant(person: str | None) -> Variant:
    of = where_is("subject", *([person] if person else ()))

    def part(config: str, split: str, metrics: tuple[str, ...], **settings: Any) -> Part:
        return Part(config, f"{HUB}/{config}:{split}", metrics, **{"rows": of, **settings})

    def probes(config: str) -> Part:
        return part(config, "test", ("rouge_l",), rows=_then(of, _as_question), max_new_tokens=ANSWER_TOKENS)

    return Variant(
        forget=part("train_positive_llama3", "train", ()),
        evaluate={
            **{f"forget_level{level}": probes(f"forget_level{level}") for level in (1, 2, 3)},
            **{f"retain_neighbor{level}": probes(f"neighbor_level{level}") for level in (1, 2)},
            "forget_member": part("mia_forget", "test", ("nll",), windows=False),
            "retain_member": part("mia_retain", "test", ("nll",), windows=False),
            "retain_general": part("utility_general", "test", ("choice_accuracy",)),
            "retain_truthfulness": part(
                "utility_truthfulness", "test", ("normalized_probability",), rows=_then(of, _truthful)
            ),
            "retain_factuality": part(
                "utility_factuality", "test", ("rouge_l_f1",), rows=_then(of, _first_answer), max_new_tokens=ANSWER_TOKENS
            ),
        },
    )


rwku = Benchmark(
    paper="2406.10890",
    says="famous people, with neighbors that must stay",
    source=f"https://huggingface.co/datasets/{HUB}",
    variants={"all": _variant(None)},
    any_variant=_variant,
    any_name="'PERSON'",
)
