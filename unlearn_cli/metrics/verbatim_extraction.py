"""Chance that any of N answers to a question, sampled at temperature 1 from all tokens, begins with the true answer.

    value = 1 - (1 - p)^N,   p = prod_t p(y_t | x, y_<t) over the answer without the token that ends it

Hayes et al., "Measuring memorization in language models via probabilistic extraction" (2024): (n, p)-discoverable
extraction with the question as the prompt. The value is exact for each row, and needs no samples. A paraphrase does not
count; `sampled_rouge_l` counts it. `details`: the likeliest row (worst), and the mean for one answer.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from unlearn_cli.contract import metric, parameter
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._bounds import word_for_word


@metric(paper="2410.19482", targets={"forget": "min"}, range=(0.0, 1.0), shown=False)
def verbatim_extraction(
    split: Measured, *, answers: Annotated[int, parameter("N, answers to each question", ge=1)] = 100
) -> tuple[np.ndarray, dict[str, float]]:
    single = word_for_word(split)
    with np.errstate(divide="ignore"):  # a row with probability 1 is extracted by the first answer
        values = -np.expm1(answers * np.log1p(-single))
    return values, {"worst": float(values.max()), "one_answer": float(single.mean())}
