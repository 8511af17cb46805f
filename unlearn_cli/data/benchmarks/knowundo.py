"""KnowUnDo: copyrighted or private knowledge to forget, beside knowledge of the same subject that must stay.

Tian et al., "To Forget or Not? Towards Practical Knowledge Unlearning for Large Language Models" (2024, arXiv 2407.01920).
Each split is one row whose columns `train` and `val` are lists of questions (text) with answers (labels).
"""

from __future__ import annotations

from collections.abc import Callable

from unlearn_cli.data.benchmarks._benchmark import Benchmark, Part, Rows, Variant, nested

HUB = "zjunlp/KnowUnDo"


def _questions(column: str) -> Callable[[Rows], Rows]:
    unpacked = nested(column)
    return lambda rows: [{"question": item["text"], "answer": item["labels"]} for item in unpacked(rows)]


def _variant(domain: str) -> Variant:
    def part(split: str, column: str, *metrics: str) -> Part:
        return Part(f"{domain}/{split}", f"{HUB}/{domain}:{split}", metrics, rows=_questions(column))

    return Variant(
        forget=part("unlearn", "train"),
        retain=part("retention", "train"),
        evaluate={
            "forget_success": part("unlearn", "val", "probability", "rouge_l"),
            "retain_success": part("retention", "val", "probability", "rouge_l"),
        },
    )


knowundo = Benchmark(
    paper="2407.01920",
    says="copyrighted and private knowledge beside what must stay",
    source=f"https://huggingface.co/datasets/{HUB}",
    variants={domain: _variant(domain) for domain in ("copyright", "privacy")},
)
