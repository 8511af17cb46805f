"""Share of generated answers that are no language: empty, the same words over and over, or broken words.

    g = 1 where an answer is empty, repeats itself, or holds a word such as "capital()" or "MossbackRuna", else 0

The text alone is judged, so fluent nonsense is not counted, and the value is a lower bound. Words and signs that occur
in the questions or the true answers are no fault. Compare it with the value before, because the model may have written
such answers already. Details: the number of answers with each fault. "OpenUnlearning" (Dorna et al., 2025) takes a
classifier for this, which needs a download.
"""

from __future__ import annotations

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.measured import Measured
from unlearn_cli.metrics._language import Known, counted, fault


@metric(targets={"forget": "min", "retain": "min", "general": "min"}, range=(0.0, 1.0), generates=True, fluency=True)
def gibberish(split: Measured) -> tuple[np.ndarray, dict[str, float]]:
    known = Known((*split.prompts, *split.references))
    faults = [None if text is None else fault(text, known) for text in split.generations]
    values = [np.nan if text is None else float(f is not None) for text, f in zip(split.generations, faults, strict=True)]
    return np.array(values), counted(faults)
