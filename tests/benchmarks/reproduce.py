"""The papers' claims, measured here: `docs/reference/reproductions.json`, `.md` and pictures.

    python -m tests.benchmarks.reproduce --shared ../shared [--real DIR] [--experiments npo-divergence,...] [--cells TEXT]
    python -m tests.benchmarks.reproduce --render

Every cell is a run of `unlearn forget` on one thread; a cell that is there is not run again, unless --again is given.
DIR holds the models that `../shared/real/build.py DIR` makes. `claims.py` holds what the papers say and how it is judged.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.cells import CELLS
from tests.benchmarks.experiments import measured_cell
from tests.benchmarks.reproduction_page import page, pictures

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "reference" / "reproductions.json"


def stored(path: Path) -> dict[str, Any]:
    """What was measured so far."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"environment": {}, "cells": {}}


def store(path: Path, key: str, numbers: dict[str, Any]) -> None:
    """Add one cell; another process may add cells meanwhile."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        table = stored(path)
        packages = {name: version(name) for name in ("torch", "transformers", "peft")}
        table["environment"] = {"machine": f"{platform.machine()} CPU, one thread", **packages}
        table["cells"][key] = {**numbers, "date": datetime.now(UTC).date().isoformat()}
        table["cells"] = dict(sorted(table["cells"].items()))
        path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run the cells that were asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--experiments", help="names separated by commas; default: all")
    parser.add_argument("--cells", default="", help="only cells whose key holds this text")
    parser.add_argument("--again", action="store_true", help="also cells that are there")
    parser.add_argument("--list", action="store_true", help="print the cells and stop")
    parser.add_argument("--render", action="store_true", help="only write the page")
    parser.add_argument("--data", type=Path, default=DATA, help="the file of measurements")
    arguments = parser.parse_args()
    wanted = set(arguments.experiments.split(",")) if arguments.experiments else {cell.experiment for cell in CELLS}
    chosen = [cell for cell in CELLS if cell.experiment in wanted and arguments.cells in cell.key]
    for cell in [] if arguments.render else chosen:
        if arguments.list:
            print(cell.key, *cell.flags)
            continue
        if cell.key in stored(arguments.data)["cells"] and not arguments.again:
            continue
        if cell.model == "real" and arguments.real is None:
            continue
        numbers = measured_cell(cell, arguments.shared, arguments.real)
        store(arguments.data, cell.key, numbers)
        print(cell.key, json.dumps(numbers), flush=True)
    if not arguments.list:
        table = stored(arguments.data)
        (DATA.parent / "reproductions.md").write_text(page(table), encoding="utf-8")
        for name, drawn in pictures(table).items():
            (DATA.parent / name).write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
