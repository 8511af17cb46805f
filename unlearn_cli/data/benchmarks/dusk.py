"""DUSK: five documents tell of the same people in five styles; one is forgotten, what the others say as well must stay.

Jeung et al., "DUSK: Do Not Unlearn Shared Knowledge" (2025, arXiv 2505.15209). The chronological document is forgotten.
"""

from __future__ import annotations

from typing import Any

from unlearn_cli.data.benchmarks._benchmark import Benchmark, Part, Variant

HUB = "AI-ISL/DUSK"
STYLES = ("feature_story", "interview", "inverted_pyramid", "listicle")


def _part(config: str, split: str, *metrics: str, **settings: Any) -> Part:
    return Part(f"{config}/{split}" if config == "raw" else config, f"{HUB}/{config}:{split}", metrics, **settings)


def _retain(style: str) -> Variant:
    return Variant(
        forget=_part("raw", "forget_chronological"),
        retain=_part("raw", f"retain_{style}"),
        evaluate={
            "forget_specific": _part("eval_specific_forget_qa", "eval", "rouge_l", max_new_tokens=32),
            "retain_general": _part("eval_general_qa", "eval", "rouge_l", max_new_tokens=32),
            "holdout": _part("eval_holdout", "eval", windows=False),
        },
    )


dusk = Benchmark(
    paper="2505.15209",
    says="one of five documents about the same people, whose shared facts must stay",
    source=f"https://huggingface.co/datasets/{HUB}",
    variants={style.replace("_", "-"): _retain(style) for style in STYLES},
)
