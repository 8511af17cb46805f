"""Law: importing the package, or running a command from Python, leaves the process as it was."""

from __future__ import annotations

import csv
import logging
import os
import random
import signal
import subprocess
import sys
import warnings
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from transformers.utils.logging import is_progress_bar_enabled

import unlearn_cli
from tests.cli.running import MODEL, write_rows
from unlearn_cli.demo.facts import splits


def state() -> dict[str, Any]:
    """What a library could change in the process of its host."""
    names = [None, *(name for name, log in logging.root.manager.loggerDict.items() if isinstance(log, logging.Logger))]
    return {
        "warnings": list(warnings.filters),
        "levels of loggers": {name: logging.getLogger(name).level for name in names},
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "csv": csv.field_size_limit(),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "defaults": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_float32_matmul_precision()),
        "bars": (is_progress_bar_enabled(), datasets.are_progress_bars_disabled()),
    }


def changed(before: dict[str, Any]) -> list[str]:
    now = state()
    known = before["levels of loggers"]
    now["levels of loggers"] = {name: level for name, level in now["levels of loggers"].items() if name in known}
    return [name for name in before if now[name] != before[name]]


def test_importing_every_module():
    """Of the libraries that it imports each may do with the process what it does when imported alone."""
    code = """
import pkgutil, importlib, sys
import torch, transformers, peft, datasets, accelerate, bitsandbytes
import rouge_score.rouge_scorer, scipy.stats, matplotlib.figure
import transformers.modeling_utils, peft.tuners, typer, rich.console
from tests.laws.test_host import changed, state
import unlearn_cli
ours = [m.name for m in pkgutil.walk_packages(unlearn_cli.__path__, "unlearn_cli.") if not m.name.endswith("__main__")]
before = state()
for name in ours:
    importlib.import_module(name)
assert len(ours) > 100
print(changed(before))
"""
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1:] == ["[]"], done.stdout + done.stderr


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> dict[str, Any]:
    folder, named = tmp_path_factory.mktemp("rows"), splits()
    rows = {name: str(write_rows(folder / f"{name}.jsonl", named[name][:4])) for name in ("forget", "retain")}
    few = {"generate_limit": 1, "max_new_tokens": 2, "bootstrap_samples": 10}
    return {"model": MODEL, "batch_size": 2, "max_steps": 2, "no_general": True, **rows, **few}


def test_running_commands(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    run, few = tmp_path / "run", {name: settings[name] for name in ("generate_limit", "max_new_tokens", "bootstrap_samples")}
    commands = {
        "forget": lambda: unlearn_cli.forget(**settings, deterministic=True, output_dir=run),
        "evaluate": lambda: unlearn_cli.evaluate(run),
        "relearn_attack": lambda: unlearn_cli.relearn_attack(run, parameters={"steps": "0+1"}, skip_original=True, **few),
        "merge": lambda: unlearn_cli.merge(run, output_dir=tmp_path / "merged", rows=1),
        "load": lambda: unlearn_cli.load(str(run)),
        "compare": lambda: unlearn_cli.compare(run),
        "sweep": lambda: unlearn_cli.sweep(**settings, deterministic=True, seeds=(0,), output_dir=tmp_path / "sweep"),
    }
    for name, command in commands.items():
        before = state()
        try:
            command()
        except unlearn_cli.errors.UnlearnError as error:
            assert error.exit_code == 4, error  # two steps may change nothing
        assert changed(before) == [], name


def test_a_long_field_is_read_and_the_limit_put_back(tmp_path):
    from unlearn_cli.data.readers import read_csv

    (tmp_path / "long.csv").write_text("question,answer\nq," + "a" * 200_000 + "\n")
    before = csv.field_size_limit()
    assert len(read_csv(tmp_path / "long.csv")[0]["answer"]) == 200_000
    assert csv.field_size_limit() == before
