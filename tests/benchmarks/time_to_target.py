"""Seconds from the command to "forgotten and kept": `unlearn forget` beside two scripts without it.

    python -m tests.benchmarks.time_to_target [--model MODEL --forget FILE --retain FILE --name NAME] [--write]

The scripts (`plain_unlearning.py`): PEFT and Trainer code as people write it, and the loop of the field's framework, which
trains all weights beside a copy of the model. The rate of the latter is `--full-rate`: take the fastest, by trial.

Without files: the demo's model and people. All are commands of their own, one after the other, on one thread: start-up,
loading, measuring before, training until both halves of the target hold, saving, measuring after. The scripts get what
`forget` found out: the level, and with PEFT the learning rate and all settings of npo + kl. They look at all forget rows and
the kept ones after each epoch, and stop as soon as both hold; `forget` settles after that. Measuring, in the scripts: the
probability of every row and greedy answers, in padded batches of 8; `forget` also measures second wordings, wrong answers
and intervals. CPU seconds of the process (user and system), so that a busy machine disturbs both alike; and of the clock.
`--write` adds the row to docs/reference/time_to_target.json and makes the page docs/reference/performance.md anew.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from tests.benchmarks import performance_page
from tests.cli.running import MODEL, write_rows
from unlearn_cli.demo.facts import splits

PLAIN = Path(__file__).with_name("plain_unlearning.py")


def main() -> None:
    """Run both, print, and write the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--forget")
    parser.add_argument("--retain")
    parser.add_argument("--rows", type=int, help="forget rows at most; ten times as many retain rows")
    parser.add_argument("--generate-limit", type=int, default=200)
    parser.add_argument("--max-new-tokens", type=int, default=200)
    parser.add_argument("--full-rate", type=float, default=1e-4, help="learning rate where all weights are trained")
    parser.add_argument("--name", default="the demo's model")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = compared(arguments, Path(folder))
    print(json.dumps(row, indent=1))
    if arguments.write:
        performance_page.add("time_to_target", row, ("model",))


def compared(arguments: argparse.Namespace, folder: Path) -> dict:
    """Seconds and results of both ways."""
    files = _files(arguments, folder)
    run = folder / "run"
    limits = ["--generate-limit", str(arguments.generate_limit), "--max-new-tokens", str(arguments.max_new_tokens)]
    command = ["-m", "unlearn_cli", "forget", "--model", arguments.model, "--forget", files["forget"], "--retain"]
    command += [files["retain"], "--method", "npo", "--retain-term", "kl", "--no-general", "--quiet", *limits]
    ours = _timed([*command, "-o", str(run)])
    report = json.loads((run / "report.json").read_text())
    ours |= {
        "steps": report["training"]["steps"],
        "forget": report["target"]["forget"],
        "kept": report["target"]["retain_share"],
        "reached": report["target"]["forget_reached"] and report["target"]["retain_reached"],
        "phases": report["seconds"],
    }
    plan = _plan(report, files, str(folder / "result"))
    full = plan | {"way": "full", "learning_rate": arguments.full_rate, "retain_ratio": 1}
    return {
        "model": arguments.name,
        "forget_rows": report["data"]["forget"]["rows"],
        "retain_rows": sum(report["data"][name]["rows"] for name in ("retain", "retain_trained") if name in report["data"]),
        "level": report["target"]["level"],
        "forget_command": ours,
        "plain": _script(plan, folder),
        "full": {**_script(full, folder), "learning_rate": arguments.full_rate},
        "date": date.today().isoformat(),
    }


def _script(plan: dict, folder: Path) -> dict:
    """Seconds and results of a script that follows a plan."""
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    return _timed([str(PLAIN), str(path)]) | json.loads(path.read_text())["result"]


def _files(arguments: argparse.Namespace, folder: Path) -> dict[str, str]:
    """The files of the rows, cut to the wished number."""
    files = {}
    for name, count in (("forget", arguments.rows), ("retain", arguments.rows and 10 * arguments.rows)):
        given = getattr(arguments, name)
        rows = [json.loads(line) for line in Path(given).read_text().splitlines()] if given else splits()[name]
        files[name] = str(write_rows(folder / f"{name}.jsonl", rows[:count]))
    return files


def _timed(arguments: list[str]) -> dict:
    """Seconds of a command, of the CPU and of the clock."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 4):
        raise SystemExit(done.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_seconds": round(cpu, 1), "seconds": round(time.perf_counter() - began, 1)}


def _plan(report: dict, files: dict[str, str], output: str) -> dict:
    """The settings and the target that the PEFT script works with."""
    config, steps = report["config"], report["training"]["steps_planned"]
    taken = ("model", "learning_rate", "lora_r", "lora_alpha", "batch_size", "retain_ratio", "retain_weight", "seed")
    return {
        **{name: config[name] for name in (*taken, "generate_limit", "max_new_tokens", "retain_held_out")},
        **files,
        "way": "peft",
        "beta": config["parameters"]["beta"],
        "level": report["target"]["level"],
        "keep": report["target"]["keep"],
        "steps": steps,
        "output": output,
    }


if __name__ == "__main__":
    main()
