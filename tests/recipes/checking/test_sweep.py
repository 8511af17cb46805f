"""What a sweep and its search refuse before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearn_cli.config import SweepConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.checking.sweep import check

RATES = {"learning_rate": "1e-4:1e-2:log"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": RATES}, "--grid learning_rate=1e-4:1e-2:log is a range: a grid has single values"),
        ({"grid": {"learning_rate": ("1e-4:1e-2", 0.1)}, "search": 4}, "has a range and other values"),
        ({"grid": {"learning_rate": "1e-2:1e-4"}, "search": 4}, "--grid learning_rate=1e-2:1e-4: "),
        ({"grid": {"lora_r": 0}}, "--grid lora_r=0: must be greater than or equal to 1"),
        ({"grid": RATES, "search": 4, "halving": True}, "--halving is for a grid"),
        ({"grid": RATES, "search": 4, "seeds": (0, 1)}, "--search runs each setting with one seed"),
        ({"grid": {"lora_r": 8}, "search": 4}, "the search varies nothing"),
        ({"methods": ("npo",), "search": 4}, "the search varies nothing"),
    ],
)
def test_an_impossible_sweep_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UnlearnError) as refused:
        check(SweepConfig.model_validate({"output_dir": tmp_path / "sweep"} | settings))
    assert message in refused.value.message and refused.value.hint


@pytest.mark.parametrize(
    "settings",
    [{"grid": RATES, "search": 4}, {"methods": ("npo", "simnpo"), "search": 4}, {"grid": {"lora_r": (8, 16)}, "search": 4}],
)
def test_a_search_that_varies_something_is_none(tmp_path: Path, settings: dict[str, Any]) -> None:
    check(SweepConfig.model_validate({"output_dir": tmp_path / "sweep"} | settings))
