"""MUSE: news articles or books are forgotten; asked for word for word, as facts, and by membership inference.

Shi et al., "MUSE: Machine Unlearning Six-Way Evaluation for Language Models" (2024, arXiv 2407.06460). Training is on
raw/forget and raw/retain1, never on the texts of the tests. news-scal1 to 4 grow; news-sust1 to 4 are requests that come one
after the other: a run on a run (docs/guides/requests.md).
"""

from __future__ import annotations

from typing import Any

from unlearn_cli.data.benchmarks._benchmark import OPEN_UNLEARNING, Benchmark, Part, Variant

HUB = "muse-bench/MUSE"


def _part(corpus: str, config: str, split: str, metrics: tuple[str, ...], **settings: Any) -> Part:
    return Part(f"{config}/{split}", f"{HUB}-{corpus}/{config}:{split}", metrics, **settings)


def _questions(corpus: str, split: str) -> Part:
    shots = _part(corpus, "knowmem", f"{split}_qa_icl", ())
    return _part(
        corpus, "knowmem", f"{split}_qa", ("knowledge_memorization",), shots=shots, max_new_tokens=32, continuation=True
    )


def _evaluation(corpus: str) -> dict[str, Part]:
    privacy = ("privleak", "min_k_auc")
    return {
        # One text is one member: a text that is a token too long is cut, not counted twice.
        **{
            split: _part(corpus, "privleak", split, privacy, windows=False) for split in ("forget", "retain", "holdout")
        },
        "forget_verbmem": _part(
            corpus, "verbmem", "forget", ("verbatim_memorization",), columns={"completion": "gt"}, max_new_tokens=128,
            answer_tokens=128, continuation=True,
        ),
        "forget_knowmem": _questions(corpus, "forget"),
        "retain_knowmem": _questions(corpus, "retain"),
    }  # fmt: skip


def _variant(corpus: str, config: str = "raw", split: str = "forget") -> Variant:
    return Variant(
        forget=_part(corpus, config, split, ()), retain=_part(corpus, "raw", "retain1", ()), evaluate=_evaluation(corpus)
    )


muse = Benchmark(
    paper="2407.06460",
    says="news and books, asked for word for word, as facts and by membership inference",
    source=f"https://huggingface.co/datasets/{HUB}-News and -Books",
    variants={
        "news": _variant("News"),
        "books": _variant("Books"),
        **{f"news-{config}{n}": _variant("News", config, f"forget_{n}") for config in ("scal", "sust") for n in range(1, 5)},
    },
    revisions={
        f"{HUB}-News": "506bd5b150b92814d45e4404a82f120ab2d748bf",
        f"{HUB}-Books": "051ba90319e920d410d87cfdbd61f25843c1b892",
    },
    published_by=f"{OPEN_UNLEARNING}; ROUGE on knowmem and verbmem of the forget texts, privleak, ROUGE on retain knowmem",
    published={
        "news": {
            "finetuned": "0.64, 0.58, -99.81, 0.56", "retain": "0.33, 0.20, 0, 0.56", "grad-ascent": "0, 0, 52.11, 0",
            "grad-diff": "0.41, 8.92e-03, 93.23, 0.37", "npo": "0.56, 0.35, -86.00, 0.51",
            "simnpo": "0.54, 0.36, -86.11, 0.51", "rmu": "0.48, 0.05, 56.36, 0.51",
        },
        "books": {
            "finetuned": "0.47, 1.0, -57.26, 0.69", "retain": "0.3, 0.14, 0, 0.69", "grad-ascent": "0, 0, -0.67, 0",
            "grad-diff": "0.18, 0.16, -37.79, 0.3", "npo": "0.32, 0.84, -54.24, 0.55",
            "simnpo": "0.32, 0.84, -54.26, 0.54", "rmu": "0.29, 0.79, -60.52, 0.48",
        },
    },
)  # fmt: skip
