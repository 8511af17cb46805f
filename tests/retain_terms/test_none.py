"""No retain term: nothing is needed and nothing is added."""

from __future__ import annotations

from unlearn_cli.contract import METHODS, RETAIN_TERMS
from unlearn_cli.training.objective import Objective


def test_it_needs_nothing() -> None:
    none = RETAIN_TERMS.get("none")
    assert none.needs == () and not none.logits and not none.parameters


def test_no_retain_rows_are_run() -> None:
    def groups(term: str) -> tuple[str, ...]:
        return Objective(METHODS.get("npo"), RETAIN_TERMS.get(term), {}, {}, 1.0, 1.0).groups

    assert groups("none") == ("forget",)
    assert groups("nll") == ("forget", "retain")
