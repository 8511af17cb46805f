"""The list of methods by family."""

import json
import runpy
from pathlib import Path

import pytest

from unlearn_cli.contract import FAMILIES, METHODS
from unlearn_cli.recipes.catalogue import families

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_declares_a_family_that_is_read_without_importing_it(name: str) -> None:
    assert METHODS.declared(name, "family") == METHODS.get(name).family
    assert METHODS.get(name).family in FAMILIES


def test_every_method_stands_in_the_list_once_below_where_to_start() -> None:
    start, _, rest = "\n".join(families.lines()).partition("\n\n")
    assert [line.split()[0] for line in start.splitlines()[1:]] == list(families.START)
    assert sorted(line.split()[0] for line in rest.splitlines() if line.startswith("  ")) == METHODS.names()
    assert [e["name"] for e in json.loads(families.dumps())] == METHODS.names()


def test_marks_are_those_of_the_measured_table() -> None:
    script = runpy.run_path(str(ROOT / "tests" / "benchmarks" / "method_table.py"))
    table = json.loads(script["DATA"].read_text(encoding="utf-8"))
    assert script["SHIPPED"].read_text(encoding="utf-8") == script["shipped"](table), "method_table.py --render"
    marks = {name: families.mark_of(name) for name in METHODS.names()}
    assert marks["uld"] == "wrecked the model" and marks["rr"] == "did little" and marks["npo"] is None
    assert not any(marks[name] for name in families.START)


def test_a_method_without_a_measurement_or_a_family_has_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    assert families.mark_of("not-measured") is None
    monkeypatch.setattr(type(METHODS), "declared", lambda *_: None)
    assert families.family_of("npo") == families.OTHERS
    assert f"\n{families.OTHERS}: of other packages" in "\n".join(families.lines())
