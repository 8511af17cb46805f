"""Recipes: named sets of settings for `--recipe`. A setting that is given in any other way wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

RecipeName = Literal["quick", "balanced", "durable"]

RECIPES: Mapping[RecipeName, Mapping[str, Any]] = {
    # A first look: fewer steps and fewer measured rows. The target stays.
    "quick": {"max_steps": 60, "eval_limit": 200, "generate_limit": 40, "max_new_tokens": 64, "bootstrap_samples": 300},
    # What a run does that is asked for nothing else.
    "balanced": {"method": "npo"},
    # What came back least under relearning while the rows to keep stayed (docs/reference/frontier.md); several times the
    # time of `balanced`, and the artifact is a whole model.
    # Its steps are too small for weights of 16 bits.
    "durable": {"method": "rehearsal", "dtype": "float32", "parameters": {"rounds": 250}},
}
