"""Model utility: the harmonic mean of nine scores on what is to be kept.

    MU = 9 / sum 1/v over {retain, real authors, world facts} x {probability, ROUGE-L recall, truth ratio}

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs" (2024). Probability is the normalized one on real authors
and world facts, the truth ratio that of `truth_ratio`. MU is 0 if any of the nine is 0. The benchmark's model was
trained on the retain rows, so their scores measure memory, not ability. Details: the nine scores.
"""

from __future__ import annotations

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._aggregate import harmonic, mean
from unlearn_cli.metrics.normalized_probability import normalized_probability
from unlearn_cli.metrics.probability import probability
from unlearn_cli.metrics.rouge_l import rouge_l
from unlearn_cli.metrics.truth_ratio import truth_ratio


@metric(
    paper="2401.06121",
    targets={"utility": "max"},
    range=(0.0, 1.0),
    group="utility",
    undefined="one of the nine scores has no value",
)
def model_utility(retain: Measured, real_authors: Measured, world_facts: Measured) -> tuple[float, dict[str, float]]:
    parts: dict[str, float] = {}
    for split in (retain, real_authors, world_facts):
        sure = probability if split is retain else normalized_probability
        for name, values in (("probability", sure(split)), ("rouge_l", rouge_l(split)), ("truth_ratio", truth_ratio(split))):
            parts[f"{split.split}.{name}"] = mean(values)
    return harmonic(parts.values()), parts
