"""Notes on settings that change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from unlearn_cli.config import ForgetConfig
from unlearn_cli.recipes.forgetting.ignored import ignored_notes
from unlearn_cli.recipes.forgetting.resolve import resolve_method


def noted(*, has_adapter: bool = False, **given: Any) -> list[str]:
    config = ForgetConfig(model="m", forget="f", retain="r", **given)
    return list(ignored_notes(resolve_method(config, dict.fromkeys(given, "flag")), has_adapter=has_adapter))


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"retain_term": "none", "retain_weight": 3.0}, "--retain-weight changes nothing: this run has no retain term"),
        ({"retain_term": "none", "retain_ratio": 3}, "--retain-ratio changes nothing: this run has no retain term"),
        ({"max_steps": 9, "epochs": 3.0}, "--epochs changes nothing: --max-steps is the length of this run"),
        ({"lora_r": 8, "has_adapter": True}, "--lora-r changes nothing: the model has an adapter, which is trained"),
    ],
)
def test_what_a_setting_means_nothing_beside_is_named(given: dict[str, Any], note: str) -> None:
    assert noted(**given) == [note]


@pytest.mark.parametrize(
    "given",
    [
        {"retain_weight": 3.0, "retain_ratio": 3, "epochs": 3.0, "lora_r": 8},
        {"retain_term": "none"},  # the weight and the epochs of the method were not given
        {"max_steps": 9},
        {"lora_r": 16, "has_adapter": True},  # the default
        {"method": "repselect", "retain_ratio": 3},  # a procedure reads retain rows without a term
    ],
)
def test_nothing_is_said_of_settings_that_count(given: dict[str, Any]) -> None:
    assert noted(**given) == []
