"""WMDP: hazardous knowledge, forgotten by training on texts of its field, tested by multiple choice.

Li et al., "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning" (2024, arXiv 2403.03218). Good is near
0.25, by chance; below that the answers were turned round. For chemistry no texts were published.
"""

from __future__ import annotations

from unlearn_cli.data.benchmarks._benchmark import Benchmark, Part, Variant

CORPORA = "cais/wmdp-corpora"
BIO = "cais/wmdp-bio-forget-corpus"
FORM = f"the authors give it out on request: https://huggingface.co/datasets/{BIO}"


def _corpus(name: str) -> Part:
    return Part(name, f"{CORPORA}/{name}:train")


def _questions(short: str, subject: str) -> dict[str, Part]:
    return {"forget": Part(f"wmdp-{short}", f"cais/wmdp/wmdp-{short}:test", ("choice_accuracy",), subject=subject)}


wmdp = Benchmark(
    paper="2403.03218",
    says="hazardous knowledge in biology, computer security and chemistry, by multiple choice",
    source="https://huggingface.co/datasets/cais/wmdp and cais/wmdp-corpora",
    variants={
        "bio": Variant(
            Part("bio-forget-corpus", f"{BIO}:train", asked_for=FORM), _corpus("bio-retain-corpus"),
            _questions("bio", "biology"),
        ),
        "chem": Variant(evaluate=_questions("chem", "chemistry"), because="there are no texts of chemistry"),
        "cyber": Variant(
            _corpus("cyber-forget-corpus"), _corpus("cyber-retain-corpus"), _questions("cyber", "cybersecurity")
        ),
    },
    revisions={"cais/wmdp": "7125571f22f032c56415e7980f48d877dd830ff8"},
)  # fmt: skip
