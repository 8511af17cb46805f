"""Perplexity of prose that nobody of this project wrote: paragraphs of Python's own documentation.

    python -m tests.benchmarks.prose MODEL ...

The general text of a report and the paragraphs that `rehearsal` keeps come from the same hands. This text shows whether what
they protect is prose, or only ours. MODEL: a folder of a whole model.
"""

from __future__ import annotations

import argparse
import math
import re
from pydoc_data.topics import topics

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

COUNT = 24
WORDS = range(60, 91)  # of a paragraph
CODE = re.compile(r"[=|{}<>]|::|\.\.\.")


def paragraphs() -> list[str]:
    """Paragraphs without code, spread evenly over the documentation."""
    parts = (re.sub(r"\s+", " ", part).strip() for name in sorted(topics) for part in re.split(r"\n\s*\n", topics[name]))
    prose = [part for part in parts if len(part.split()) in WORDS and not CODE.search(part)]
    return prose[:: max(1, len(prose) // COUNT)][:COUNT]


def perplexity(folder: str, texts: list[str]) -> float:
    """exp of the mean negative log-likelihood of a token."""
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
    )
    total, tokens = 0.0, 0
    with torch.no_grad():
        for text in texts:
            ids = tokenizer(text, return_tensors="pt").input_ids
            total += model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
            tokens += ids.shape[1] - 1
    return math.exp(total / tokens)


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    for folder in parser.parse_args().models:
        print(f"{folder}: {perplexity(folder, paragraphs()):.2f}", flush=True)


if __name__ == "__main__":
    main()
