"""Relabeling: the forget questions are trained on wrong answers, each row on its own.

    L = M_alternative,   M = -(1/n) sum_t log p(a_t | x, a_<t),   a a wrong answer of the data, or an answer to another row

Graves, Nagisetty and Ganesh, "Amnesiac Machine Learning" (2020), for classifiers, with random labels. Each row gets a
new answer of its own. A refusal or an ascent is one change that all rows share, so relearning a few rows undoes it for
all. The disadvantage is that the model then states false facts. Use the method as the base of `undo`, or where nobody
reads the answers.
"""

from __future__ import annotations

from torch import Tensor

from unlearn_cli.contract import Average, Defaults, method
from unlearn_cli.outputs import Outputs


@method(
    paper="2010.10981",
    family="preference",
    published={},
    because="the paper's setting is one of image classifiers",
    defaults=Defaults(retain_term="kl", retain_weight=2.0, retain_ratio=2, epochs=6),
    alternatives="perturbed",
)
def relabel(alternative: Outputs, *, average: Average = "answers") -> Tensor:
    return -alternative.averaged(alternative.token_logps, average)
