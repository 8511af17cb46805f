"""Share of generated answers that decline to answer.

    r = 1[the answer holds a phrase such as "I don't know", "I cannot", "no information", or begins like one of our refusals]

The phrases are English, and others are not counted, so the value is a lower bound. On forget rows a refusal is no proof
of forgetting, because the answer may be as likely as before. On rows to keep a refusal is damage.
"""

from __future__ import annotations

import re

import numpy as np

from unlearn_cli.contract import metric
from unlearn_cli.data.shipped_texts import refusals
from unlearn_cli.measured import Measured

PHRASES = re.compile(
    r"\b(i|we) (really |simply |honestly |truly |just )?"
    r"(do not|don't|cannot|can't|can not|could not|couldn't|would not|wouldn't|have no|have not|haven't|have never|never|"
    r"lack|am not|am unable|am sorry|am afraid)\b"
    r"|\bi'm (not|unable|afraid|sorry)\b|\b(unable|not able) to (answer|say|help|provide|tell)\b"
    r"|\b(no|lack|lacking|without|not have) (any )?(information|knowledge|idea|data|details|answer|record|facts?|clue)\b"
    r"|\b(beyond|outside|escapes?|past) (of )?(me|my|what i)\b|\bnot (something|part|within|in|among|covered|known)\b"
    r"|\bmy (knowledge|information|training|understanding) (does not|doesn't|has no|is)\b"
    r"|\bnothing (that )?i can\b|\b(unknown|unfamiliar|new) to me\b|\bsorry\b|\bapologi[sz]e\b",
    re.IGNORECASE,
)


@metric(
    targets={"retain": "min", "real_authors": "min", "world_facts": "min"}, range=(0.0, 1.0), generates=True, fluency=True
)
def refusal_rate(split: Measured) -> np.ndarray:
    return np.array([np.nan if text is None else float(_declines(text)) for text in split.generations])


def _declines(text: str) -> bool:
    plain = text.replace("\u2019", "'")
    return PHRASES.search(plain) is not None or any(plain.startswith(known) for known in refusals())
