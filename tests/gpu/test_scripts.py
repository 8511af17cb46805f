"""The script that measures a card runs at small size on a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("part", [1, 2])
def test_each_part_of_the_script_runs(tmp_path: Path, part: int) -> None:
    command = ["-m", "tests.benchmarks.gpu", "--part", str(part), "--device", "cpu", "--shapes", "tiny", "--out", tmp_path]
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "gpu.json").read_text())
    assert rows and not any("error" in row for row in rows), rows
    assert "No row was measured on a GPU" in (tmp_path / "gpu.md").read_text()
