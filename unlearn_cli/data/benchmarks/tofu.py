"""TOFU: 4,000 questions about 200 invented authors; some authors are forgotten, the others kept.

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs" (2024, arXiv 2401.06121). Its own evaluation takes the first
300 rows of each split (--limit 300). forget50 and forget90 are cut from the full set as the smaller ones are, for the
claims of NPO (Zhang et al., 2024, arXiv 2404.05868): the last authors are forgotten; they have no wrong answers.
"""

from __future__ import annotations

from unlearn_cli.data.benchmarks._benchmark import OPEN_UNLEARNING, Benchmark, Part, Variant, share

HUB = "locuslab/TOFU"
QUALITY = ("truth_ratio", "forget_quality", "probability", "rouge_l")
UTILITY = ("truth_ratio", "probability", "rouge_l")


def _part(name: str, metrics: tuple[str, ...], sha256: str | None = None) -> Part:
    return Part(name, f"{HUB}/{name}:train", metrics, sha256)


KEPT = {
    "retain": _part("retain_perturbed", UTILITY, "4063ea3607804e0e"),
    "real_authors": _part("real_authors_perturbed", UTILITY, "aac0d5ca78e770f1"),
    "world_facts": _part("world_facts_perturbed", UTILITY, "6010d33f6ece3b95"),
}
FORGET = {"01": "76eab284d87d22e5", "05": "c95389fe5051639f", "10": "299efacd37f0eaf1"}
RETAIN = {"01": ("99", "234e063425a6ff21"), "05": ("95", "fc6b9b525baabeae"), "10": ("90", "c48ef641fc059bdc")}
LARGE = {"50": (0.5, "389cc24f560e2212", "9cb26e35604529b5"), "90": (0.1, "993086e4021cddd2", "bc8a6f47f265ae1c")}


def _small(number: str) -> Variant:
    # The rows with wrong answers hold the questions and answers of those without.
    forget = _part(f"forget{number}_perturbed", QUALITY, FORGET[number])
    kept, sha256 = RETAIN[number]
    return Variant(
        forget=forget,
        retain=_part(f"retain{kept}", (), sha256),
        evaluate={"forget": forget, **KEPT},
        optional={"holdout": _part(f"holdout{number}", ("loss_auc", "min_k_auc"))},
        same_rows=True,
    )


def _large(number: str) -> Variant:
    cut, forget_sha256, retain_sha256 = LARGE[number]

    def of_full(first: float, last: float, sha256: str) -> Part:
        return Part("full", f"{HUB}/full:train", ("probability", "rouge_l"), sha256, rows=share(first, last))

    forget = of_full(cut, 1.0, forget_sha256)
    return Variant(forget, of_full(0.0, cut, retain_sha256), {"forget": forget, **KEPT}, same_rows=True)


tofu = Benchmark(
    paper="2401.06121",
    says="facts about invented authors",
    source=f"https://huggingface.co/datasets/{HUB}",
    variants={f"forget{n}": _small(n) for n in FORGET} | {f"forget{n}": _large(n) for n in LARGE},
    revisions={HUB: "324592d84ae4f482ac7249b9285c2ecdb53e3a68"},
    as_published="--full --no-target --retain-held-out 0 --epochs 10 --batch-size 32 --learning-rate 1e-5",
    published_by=f"{OPEN_UNLEARNING}, Llama-3.2-1B-Instruct; forget quality, model utility, forget truth ratio",
    published={
        "forget01": {
            "finetuned": "0.01, 0.60, 0.47", "retain": "1.0, 0.60, 0.65", "grad-ascent": "0.27, 0.33, 0.59",
            "grad-diff": "0.77, 0.43, 0.57", "dpo": "0.01, 0.51, 0.60", "npo": "0.92, 0.56, 0.66",
            "simnpo": "0.58, 0.46, 0.55", "rmu": "0.16, 0.55, 0.70",
        },
        "forget05": {
            "finetuned": "1.33e-13, 0.60, 0.47", "retain": "1.0, 0.60, 0.64", "grad-ascent": "1.94e-119, 0, 2.52e-23",
            "grad-diff": "1.94e-119, 0.53, 3.87e-34", "dpo": "1.12e-05, 0.07, 0.62", "npo": "0.14, 0.45, 0.70",
            "simnpo": "5.01e-100, 0.58, 4.19e-03", "rmu": "4.87e-10, 0.58, 0.77",
        },
        "forget10": {
            "finetuned": "1.66e-21, 0.60, 0.48", "retain": "1.0, 0.59, 0.63", "grad-ascent": "1.06e-239, 0, 2.25e-18",
            "grad-diff": "1.06e-239, 0.49, 3.53e-27", "dpo": "4.64e-12, 0.23, 0.60", "npo": "0.02, 0.46, 0.70",
            "simnpo": "2.47e-203, 0.54, 1.07e-05", "rmu": "3.15e-15, 0.59, 0.76",
        },
    },
)  # fmt: skip
