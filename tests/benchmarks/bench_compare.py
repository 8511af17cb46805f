"""How long `unlearn compare` takes on many runs: `python tests/benchmarks/bench_compare.py RUN [--runs 20] [--rows 400]`.

Copies of one finished run folder with as many rows each, compared by the command line, start-up included; beside it
the floor:
`python -c "import numpy, pydantic, rich, typer"`. Wall seconds, the fastest of three.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

METRICS = ("probability", "rouge_l", "extraction_strength", "exact_memorization", "truth_ratio", "nll")


def fastest(command: list[str], times: int = 3) -> float:
    """Wall seconds of a command that must succeed."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        spent.append(time.perf_counter() - start)
    return min(spent)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=400)
    arguments = parser.parse_args()
    report = json.loads((arguments.run / "report.json").read_text(encoding="utf-8"))
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(arguments.runs):
            path = Path(folder) / f"run-{number}"
            path.mkdir()
            report["config"]["seed"] = number
            (path / "report.json").write_text(json.dumps(report), encoding="utf-8")
            lines = [
                json.dumps({"split": split, "id": str(i), **{m: draw.random() for m in METRICS}})
                for split in ("forget", "retain")
                for i in range(arguments.rows)
            ]
            (path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
            paths.append(str(path))
        ours = fastest([sys.executable, "-m", "unlearn_cli", "compare", *paths, "--json", "--quiet"])
        page = fastest([sys.executable, "-m", "unlearn_cli", "compare", *paths, "--html", f"{folder}/page.html", "--quiet"])
    floor = fastest([sys.executable, "-c", "import numpy, pydantic, rich, typer"])
    seconds = {"compare": round(ours, 2), "with_page": round(page, 2), "imports_alone": round(floor, 2)}
    print(json.dumps({"runs": arguments.runs, "rows": arguments.rows, "seconds": seconds}))


if __name__ == "__main__":
    main()
