"""CPU seconds from the command to the first training step, beside the bare imports of torch, transformers and peft.

    python -m tests.benchmarks.start_up [--repeats 3] [--write]

Each is a process of its own on one thread; the ways alternate, and the medians are kept. The command is `unlearn forget` on
the demo's model and people, which reads rows and weights, tries a step, measures before training, takes one step, and
measures again; and the same until its target is reached, with general ability measured.
`--write` replaces docs/reference/start_up.json and makes docs/reference/performance.md anew.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from tests.benchmarks import performance_page
from tests.cli.running import DEMO, write_rows
from unlearn_cli.demo.facts import splits

BARE = (
    "import torch; from transformers import AutoModelForCausalLM, AutoTokenizer; from peft import LoraConfig, get_peft_model"
)
IMPORTS = {"torch": "import torch", "torch, transformers, peft": BARE, "unlearn forget": "import unlearn_cli.recipes.forget"}


def main() -> None:
    """Measure, print, and write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = {"name": "demo", **measured(Path(folder), arguments.repeats), "date": date.today().isoformat()}
    print(json.dumps(row, indent=1))
    if arguments.write:
        performance_page.add("start_up", row, ("name",))


def measured(folder: Path, repeats: int) -> dict:
    """Medians of CPU seconds: of the imports, and of a run of one step."""
    files = {name: str(write_rows(folder / f"{name}.jsonl", splits()[name])) for name in ("forget", "retain")}
    command = ["-m", "unlearn_cli", "forget", "--model", DEMO, "--forget", files["forget"], "--retain", files["retain"]]
    command += ["--quiet", "--overwrite", "-o", str(folder / "run")]
    ways = {name: ["-c", code] for name, code in IMPORTS.items()}
    ways |= {"to the target": command, "one step": [*command, "--no-general", "--max-steps", "1"]}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, arguments in ways.items():
            seconds[name].append(_cpu_seconds(arguments))
    phases = json.loads((folder / "run" / "report.json").read_text())["seconds"]
    return {"seconds": {name: statistics.median(values) for name, values in seconds.items()}, "phases": phases}


def _cpu_seconds(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 4):
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
