"""Law: runs one after another on one base in memory are bit for bit what each is alone, in any order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, write_rows
from tests.laws.interrupting import differences
from unlearn_cli.config import ForgetConfig, resolve
from unlearn_cli.console import Reporter
from unlearn_cli.contract import METHODS, Method
from unlearn_cli.demo.facts import splits
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.model_cache import ModelCache
from unlearn_cli.recipes import forget

FEW = {
    "model": MODEL, "batch_size": 2, "generate_limit": 1, "max_new_tokens": 2, "bootstrap_samples": 10, "eval_limit": 2,
    "no_general": True,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "npo": {"method": "npo"},
    "uld": {"method": "uld"},
    "whp": {"method": "whp"},
    "offset": {"method": "offset"},
    "a procedure": {"method": "layered", "parameters": {"folds": 2}},
    "fila": {"lora_init": "fila"},
    "checkpointing, dropout, deterministic": {
        "activation_checkpointing": "on", "lora_dropout": 0.2, "robust": "lat", "deterministic": True,
    },
    "whole matrices": {"method": "undo"},
}  # fmt: skip
ALL = {name: {"method": name} for name in METHODS.names()}


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("rows")
    return {name: str(write_rows(folder / f"{name}.jsonl", splits()[name][:4])) for name in ("forget", "retain")}


def run(rows: dict[str, str], settings: dict[str, Any], folder: Path, load: Callable) -> Path:
    procedure = not isinstance(METHODS.get(settings.get("method", "npo")), Method)
    length = {"epochs": 0.5} if procedure else {"max_steps": 2}
    given = {**FEW, **rows, **length, **settings, "output_dir": folder}
    config, sources = resolve(ForgetConfig, given, None, called="python")
    try:
        forget.run(config, sources, [], Reporter(quiet=True), shared=forget.Shared(load))
    except UnlearnError as error:
        if error.exit_code != 4:  # two steps may change nothing
            raise
    return folder


def check(rows: dict[str, str], settings: dict[str, dict[str, Any]], folder: Path, orders: tuple[int, ...]) -> None:
    alone = {name: run(rows, one, folder / "alone" / name, ModelCache().load) for name, one in settings.items()}
    for order in orders:
        names, cache, layouts = list(settings)[::order], ModelCache(), []

        def load(*arguments: Any, cache: ModelCache = cache, layouts: list = layouts, **named: Any) -> Any:
            loaded = cache.load(*arguments, **named)
            layouts.append((loaded.layout, loaded.quantization, loaded.dtype))
            return loaded

        for name in names:
            run_files = run(rows, settings[name], folder / str(order) / name, load)
            assert differences(run_files, alone[name]) == [], f"{name} after {names[: names.index(name)]}"
        assert len(set(layouts)) == 1, layouts


def test_any_order(rows, tmp_path):
    check(rows, SETTINGS, tmp_path, (-1,))  # whole matrices come first, which leave the most behind


@pytest.mark.slow
def test_any_order_of_all_methods(rows, tmp_path):
    check(rows, ALL | SETTINGS, tmp_path, (1, -1))
