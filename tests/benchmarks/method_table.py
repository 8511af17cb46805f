"""Every method with its default settings on one model: `docs/reference/methods.json` and the page made from it.

    python tests/benchmarks/method_table.py --shared ../shared --jobs 2 [--methods npo,simnpo] [--render]

Each method is a run of `unlearn forget` in a process of its own, on one thread, with the same rows, seed and limits. Rows
of other methods stay in the table; `--render` only writes the page. A method that could not be made to work keeps its row,
with what was tried in NOTES.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unlearn_cli.contract import METHODS

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "reference" / "methods.json"
PAGE = ROOT / "docs" / "reference" / "methods.md"
SHIPPED = ROOT / "unlearn_cli" / "methods" / "measured.json"  # what `unlearn list methods` marks
LIMITS = [
    "--eval-limit", "200", "--generate-limit", "60", "--seed", "42",
    # Each method over its own schedule and every retain row, as papers have it: a target would make the rows alike.
    "--no-target", "--retain-held-out", "0", "--no-general",
]  # fmt: skip
VARIANTS = {  # name in the table -> flags
    "npo --epochs 5": ["--method", "npo", "--epochs", "5"],
    "npo --epochs 5 --robust sam": ["--method", "npo", "--epochs", "5", "--robust", "sam"],
    "npo --epochs 5 --robust gru": ["--method", "npo", "--epochs", "5", "--robust", "gru"],
    "npo --epochs 5 --robust lat": ["--method", "npo", "--epochs", "5", "--robust", "lat"],
    "npo --epochs 5 --optim sophia": ["--method", "npo", "--epochs", "5", "--optim", "sophia"],
    "ihl --lora-init fila": ["--method", "ihl", "--lora-init", "fila"],
    "ihl --lora-init pissa": ["--method", "ihl", "--lora-init", "pissa"],
    "grad-ascent --calibrate": ["--method", "grad-ascent", "--calibrate", "retain.probability >= 0.95*before"],
}
# Why a row looks as it does, where the numbers alone would mislead.
NOTES: dict[str, str] = {
    "grad-ascent": "unbounded, and nothing holds the retain rows",
    "altpo": "teaches other answers that the model made up from question and true answer",
    "idk": "teaches a refusal: see ROUGE-L; the answer's probability is left (retain weight 1: 0.60 / 0.79)",
    "npo --epochs 5 --robust lat": (
        "no push at all is among the adversary's pushes, so that the plain loss is at most the one trained on: "
        "five epochs hardly moved it (epsilon 0.05: 0.89)"
    ),
    "grad-ascent --calibrate": "what is left of it at 95 % of the retain probability",
    "idk-ap": "teaches a refusal; its retain term holds an answer above a refusal, not its probability",
    "rehearsal": "before every fourth step went without the attacker; an idle machine takes a third of the seconds",
    "memit": "edits the beginning of the answer; 400 edits are more than this model's matrices hold apart from what is kept",
    "task-vector": "nothing holds the retain rows: alpha 2 gave 0.73 / 0.94, alpha 5 gave 0.25 / 0.58",
    "whp": "rows known by heart rise no further when they are reinforced: there is little to take away",
    "lunar": "this model has never learned to decline",
    "repselect": "trains on no retain row; stops at its budget of divergence on retain answers",
    "dpo": "a likelier refusal wins the preference as well as a less likely answer (retain weight 20: 0.96 / 0.98)",
    "cir": "hardly moves this model",
    "rr": "no effect at the published weights 10 : 10; before, with two blocks and weight 0.02, it wrecked the model",
    "uld": "two passes; the base's weights are untouched",
    "undo": "vectors shrink with the matrices, as in the published code; before, 0.016 / 0.957; timed beside other work",
}
# Methods whose row waits for a machine with the time for it.
NOTES |= dict.fromkeys(
    ("elm", "masc", "mcu", "mode-connectivity", "r2mu", "relabel", "shred", "weight-distance", "weight-distortion"),
    "not measured on this model yet",
)
COLUMNS = {"forget": ("probability", "rouge_l"), "retain": ("probability", "rouge_l")}


def environment() -> dict[str, str]:
    """Where and with what the numbers were made."""
    packages = {name: version(name) for name in ("unlearn-cli", "torch", "transformers", "peft")}
    machine = f"{platform.machine()} CPU, one thread for each run"
    return {"machine": machine, "python": platform.python_version(), **packages}


def run(flags: list[str], shared: Path, keep: Path | None) -> dict[str, Any]:
    """One row: scores after, seconds of training, peak memory, status."""
    folder = Path(tempfile.mkdtemp(prefix="method-table-"))
    target = folder / "run"
    data = shared / "data" / "tofu-mini"
    command = [
        sys.executable, "-m", "unlearn_cli", "forget", "--model", str(shared / "models" / "tofu-mini-full"),
        "--forget", str(data / "forget_perturbed.jsonl"), "--retain", str(data / "retain.jsonl"),
        "--output-dir", str(target), "--offline", "--quiet", *LIMITS, *flags,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    report = target / "report.json"
    if not report.is_file():
        return {"status": "failed", "message": done.stderr.strip()[-400:], "command": flags}
    read = json.loads(report.read_text(encoding="utf-8"))
    row: dict[str, Any] = {"status": read["status"], "message": read["message"], "command": flags}
    for split, metrics in COLUMNS.items():
        for metric in metrics:
            row[f"{split}.{metric}"] = read["scores"][split][metric]["after"]["value"]
    training = read["training"]
    row["seconds"] = round(read["seconds"].get("train", 0.0), 1)
    row["steps"] = training["steps"]
    row["peak_gib"] = round(read["peak_memory"]["rss"] / 2**30, 2)
    row["date"] = datetime.now(UTC).date().isoformat()
    if keep is not None:
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(target, keep, ignore=shutil.ignore_patterns("checkpoints"))
    shutil.rmtree(folder, ignore_errors=True)
    return row


def baseline(shared: Path) -> dict[str, dict[str, Any]]:
    """The untouched and the retain-only model on the same rows."""
    data, entries = shared / "data" / "tofu-mini", {}
    for label, name in (("(untouched)", "tofu-mini-full"), ("(retain-only)", "tofu-mini-retain90")):
        folder = Path(tempfile.mkdtemp(prefix="method-table-")) / "run"
        command = [
            sys.executable, "-m", "unlearn_cli", "evaluate", "--model", str(shared / "models" / name),
            "--forget", str(data / "forget_perturbed.jsonl"), "--retain", str(data / "retain.jsonl"),
            "--output-dir", str(folder), "--offline", "--quiet", *LIMITS[:4],
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        read = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        entries[label] = {
            f"{split}.{m}": read["scores"][split][m]["after"]["value"] for split, some in COLUMNS.items() for m in some
        }
        shutil.rmtree(folder.parent)
    return entries


def render(table: dict[str, Any]) -> str:
    """The page as Markdown."""
    where = ", ".join(f"{key} {value}" for key, value in table["environment"].items())
    lines = [
        "# The methods, measured",
        "",
        "Generated by `python tests/benchmarks/method_table.py`; a row is `unlearn forget --no-target` with the",
        "method's defaults: its own schedule, whatever is reached. The retain rows are those that it trains on.",
        "400 rows to forget and 1,200 to keep of TOFU (Maini et al., 2024), a 5.7 M-parameter Llama that knows them by",
        "heart, LoRA of rank 16, seed 42; 200 rows of each split measured, 60 of each answered by generation.",
        "One seed, one small model: take the numbers as an order of magnitude and [choose by trial](../guides/tuning.md).",
        "[Which method when](../guides/methods.md).",
        "",
        f"Made with {where}.",
        "",
        "| method | forget prob. | retain prob. | forget ROUGE-L | retain ROUGE-L | steps | train s | peak GiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for name, row in table["rows"].items():
        cells = [f"{row[key]:.3f}" if row.get(key) is not None else "-" for key in
                 ("forget.probability", "retain.probability", "forget.rouge_l", "retain.rouge_l")]  # fmt: skip
        note = NOTES.get(name, "")
        if row.get("status") not in (None, "completed", "stopped") and not note:
            note = row["status"].replace("_", " ")
        cells += [str(row.get("steps", "-")), str(row.get("seconds", "-")), str(row.get("peak_gib", "-"))]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
        notes += [f"- `{name}`: {note}"] if note else []
    return "\n".join([*lines, "", "## Notes", "", *notes]) + "\n"


def shipped(table: dict[str, Any]) -> str:
    """The probabilities alone, of forget and retain rows: before, and by method."""
    pairs = {
        name: [round(row[f"{split}.probability"], 4) for split in COLUMNS]
        for name, row in table["rows"].items()
        if name == "(untouched)" or (name in METHODS.names() and row.get("forget.probability") is not None)
    }
    return json.dumps({"before": pairs.pop("(untouched)"), "after": pairs}, indent=1) + "\n"


def main() -> None:
    """Run what was asked for and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--methods", help="names of the table's rows, separated by commas; default: all")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--keep", type=Path, help="keep the run folders here")
    arguments = parser.parse_args()
    table = json.loads(DATA.read_text(encoding="utf-8")) if DATA.is_file() else {"rows": {}}
    rows = {name: ["--method", name] for name in METHODS.names()} | VARIANTS
    chosen = arguments.methods.split(",") if arguments.methods else list(rows)
    if not arguments.render:
        table["environment"] = environment()
        if "(untouched)" not in table["rows"]:
            table["rows"] |= baseline(arguments.shared)
            DATA.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")

        def one(name: str) -> None:
            keep = arguments.keep / name.replace(" ", "_") if arguments.keep else None
            row = run(rows[name], arguments.shared, keep)
            print(name, json.dumps(row), flush=True)
            stored = json.loads(DATA.read_text(encoding="utf-8"))  # another process may have added rows meanwhile
            stored["rows"][name] = row
            DATA.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")

        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(one, chosen))
        table["rows"] = json.loads(DATA.read_text(encoding="utf-8"))["rows"]
    order = [*(n for n in table["rows"] if n.startswith("(")), *(n for n in rows if n in table["rows"])]
    table["rows"] = {name: table["rows"][name] for name in order}
    DATA.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(render(table), encoding="utf-8")
    SHIPPED.write_text(shipped(table), encoding="utf-8")


if __name__ == "__main__":
    main()
