"""Settings of a run that exclude each other."""

from __future__ import annotations

import pytest

from unlearn_cli.config import ForgetConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.forgetting.resolve import resolve_method


@pytest.mark.parametrize("name", ["keep", "stop_when", "calibrate", "until"])
def test_an_expression_on_the_retain_rows_of_a_benchmark(name: str) -> None:
    """The benchmark gives them, and --retain is not needed. One that publishes none is refused."""
    given = {"model": "m", name: "retain.probability >= 0.98*before"}
    settings = resolve_method(ForgetConfig.model_validate({**given, "benchmark": "tofu:forget10"}), {name: "flag"})
    assert settings.config.retain is None
    without = {**given, "benchmark": "rwku:all", "retain_term": "none"}
    with pytest.raises(UnlearnError, match="no retain rows are measured"):
        resolve_method(ForgetConfig.model_validate(without), {name: "flag"})
