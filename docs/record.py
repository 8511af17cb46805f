"""Make the record of the demo's run in docs/examples: `python docs/record.py` (some minutes, on a CPU; it needs Chromium).

The demo's run is measured beside its baseline with sampled answers, attacked with the standard suite and merged, as the
guide says. The folder in which that happens has no meaning for a reader and is left out of the page.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from unlearn_cli.recipes import record

EXAMPLES = Path(__file__).parent / "examples"
BASELINE = ("--baseline", "demo/model-retain-only")


def unlearn(*arguments: object, cwd: Path, may_fail: bool = False) -> None:
    """Run a command; its output is not shown. `may_fail`: exit code 4, of a run that missed its aim, is accepted."""
    command = [sys.executable, "-m", "unlearn_cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode and not (may_fail and done.returncode == 4):
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def people(folder: Path) -> None:
    """Whom each row is about, as a file: the rows' ids begin with the name."""
    rows = [json.loads(line) for line in (folder / "demo" / "forget.jsonl").read_text().splitlines()]
    with (folder / "people.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "subject"])
        table.writerows([row["id"], row["id"].rpartition("-")[0]] for row in rows)


def main() -> None:
    """Make both files."""
    browser = record.browser()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        os.environ["UNLEARN_CACHE"] = str(folder / "cache")
        unlearn("demo", "--keep", "demo", cwd=folder)
        people(folder)
        unlearn("evaluate", "demo/run", *BASELINE, "--samples", 128, "--sample-top-p", 1, cwd=folder)
        rows = ("--model", "demo/model", "--forget", "demo/forget.jsonl", "--retain", "demo/retain.jsonl")
        weak = ("--method", "idk", "--no-target", "--max-steps", 20)
        unlearn("forget", *rows, *weak, "-o", "demo/control", cwd=folder, may_fail=True)
        unlearn("relearn-attack", "demo/run", *BASELINE, "--control", "demo/control", "--suite", "standard", cwd=folder)
        unlearn("merge", "demo/run", "-o", "demo/merged", cwd=folder)
        unlearn("evaluate", "demo/merged", "--lineage", "demo/run", cwd=folder)
        request = ["--request-id", "2026-114", "--subject-id", "people.csv", "--leak-at", 0.9]
        unlearn("report", "demo/run", "--html", "record.html", *request, cwd=folder)
        page = (folder / "record.html").read_text(encoding="utf-8").replace(f"{folder}/", "")
    EXAMPLES.mkdir(exist_ok=True)
    (EXAMPLES / "record.html").write_text(page, encoding="utf-8")
    record.print_page(page, EXAMPLES / "record.pdf", browser)


if __name__ == "__main__":
    main()
