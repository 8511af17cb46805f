"""The run spec: what makes two runs the same."""

from __future__ import annotations

from typing import Any

import pytest

from unlearn_cli.recipes.storage.run_spec import RunSpec, differences


def spec(**changes: Any) -> RunSpec:
    settings = {"seed": 1, "method": "./own.py", "model": "a", "forget": "f.jsonl", "parameters": {"base": "./b.py", "x": 2}}
    files = {"method": "hash of own.py", "base": "hash of b.py"}
    parts = {"settings": settings, "model": "weights", "data": {"forget": "rows"}, "files": files}
    for name, part in changes.items():
        parts[name] = {**parts[name], **part} if isinstance(part, dict) else part
    return RunSpec(**parts)


@pytest.mark.parametrize("changes", [
    {"settings": {"new": None}},  # an option that an earlier release did not have
    {"settings": {"model": "b", "method": "./moved.py", "forget": "moved.jsonl"}},
    {"settings": {"parameters": {"base": "./moved.py", "x": 2}}},
])  # fmt: skip
def test_another_path_or_an_absent_setting_is_the_same_run(changes: dict[str, Any]) -> None:
    assert spec(**changes).sha256 == spec().sha256 and differences(spec(**changes).flat(), spec().flat()) == []


@pytest.mark.parametrize(("changes", "words"), [
    ({"settings": {"seed": 2}}, "seed: 1 -> 2"),
    ({"settings": {"parameters": {"base": "./b.py", "x": 3}}}, "parameters: {'x': 2} -> {'x': 3}"),
    ({"model": "other"}, "model weights: weights -> other"),
    ({"data": {"forget": "other"}}, "forget data: rows -> other"),
    ({"files": {"method": "other"}}, "method file: hash of own.py -> other"),
])  # fmt: skip
def test_what_makes_another_run_is_named(changes: dict[str, Any], words: str) -> None:
    assert spec(**changes).sha256 != spec().sha256 and differences(spec().flat(), spec(**changes).flat()) == [words]
