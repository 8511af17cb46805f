"""Utility: model utility and fluency together, each as a share of its value before unlearning.

    HM(MU / MU_before, H / H_before), each at most 1;   MU `model_utility`, H `ngram_entropy` of the forget answers

Dorna et al., "OpenUnlearning" (2025), which measures fluency by a classifier of gibberish. That needs a download, so
fluency is the variety of the language here. Values of the two are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._aggregate import harmonic, mean, shares
from unlearn_cli.metrics.model_utility import model_utility
from unlearn_cli.metrics.ngram_entropy import ngram_entropy


@metric(
    paper="2506.12618",
    targets={"aggregate": "max"},
    range=(0.0, 1.0),
    group="aggregate",
    undefined="model utility or fluency has no value, or was 0 before",
    shown=False,
)
def utility_score(
    forget: Measured, retain: Measured, real_authors: Measured, world_facts: Measured, before: Mapping[str, Measured]
) -> tuple[float, dict[str, float]]:
    ours = _parts(forget, retain, real_authors, world_facts)
    theirs = _parts(*(before[name] for name in ("forget", "retain", "real_authors", "world_facts")))
    left = shares(ours, theirs)
    return harmonic(left.values()), left


def _parts(forget: Measured, *utility_splits: Measured) -> dict[str, float]:
    return {"model_utility": model_utility(*utility_splits)[0], "fluency": mean(ngram_entropy(forget))}
