"""The fuzzer of `fuzz.py` runs, and finds a mistake that is planted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="atheris is not installed: pip install atheris")

KINDS = (
    "expression", "config", "report", "attack", "written", "about", "alternatives", "jsonl", "json", "csv", "txt",
)  # fmt: skip
PLANTED = """
import runpy, sys, unlearn_cli.report
unlearn_cli.report.read_report = lambda path: 1 / 0 if b"~" in path.read_bytes() else None
sys.argv = ["fuzz", "report", "60"]
runpy.run_module("tests.hostile.fuzz", run_name="__main__")
"""


def fuzz(*arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), *sys.path])
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, errors="replace", cwd=at, timeout=240,
        env={**os.environ, "PYTHONPATH": paths}, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    done = fuzz("-m", "tests.hostile.fuzz", kind, "20", at=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert " runs in " in done.stderr


@pytest.mark.slow
def test_a_planted_mistake_is_found(tmp_path: Path) -> None:
    done = fuzz("-c", PLANTED, at=tmp_path)
    assert done.returncode != 0 and "ZeroDivisionError" in done.stdout + done.stderr
