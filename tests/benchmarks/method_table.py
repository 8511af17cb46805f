"""Every method with its default settings: `docs/reference/methods.json` and the page made from it.

    python -m tests.benchmarks.method_table --shared ../shared [--methods npo,simnpo] [--schedules target,own] [--render]

A row is `unlearn forget` on the small model, once with the target of every run and once over the method's own schedule
(`--no-target`). A method that has no target has one row. The rows of the pretrained model are cells of
`tests/benchmarks/defaults.py`. Rows of earlier calls stay in the table; `--render` only writes the page.
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.defaults import DATA as CELLS
from tests.benchmarks.defaults import run, sources
from unlearn_cli.contract import METHODS

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "reference" / "methods.json"
PAGE = DATA.with_suffix(".md")
SHIPPED = ROOT / "unlearn_cli" / "methods" / "measured.json"  # what `unlearn list methods` marks
ROWS, ROWS_REAL = 20, 1  # forget rows: of the small model, and of the pretrained one
CELL = {"model": "small", "rows": ROWS, "format": "qa", "precision": "auto", "retain rows": "given"}
SCHEDULES = {"target": [], "own": ["--no-target"]}  # flags of each
VARIANTS = {  # name in the table -> method and flags
    "npo --robust sam": ("npo", ["--robust", "sam"]),
    "npo --robust gru": ("npo", ["--robust", "gru"]),
    "npo --robust lat": ("npo", ["--robust", "lat"]),
    "npo --optim sophia": ("npo", ["--optim", "sophia"]),
    "ihl --lora-init fila": ("ihl", ["--lora-init", "fila"]),
    "ihl --lora-init pissa": ("ihl", ["--lora-init", "pissa"]),
}
# Why a row looks as it does, where the numbers alone would mislead.
NOTES: dict[str, str] = {
    "grad-ascent": "unbounded, and nothing holds the retain rows",
    "altpo": "teaches other answers that the model made up from question and true answer",
    "idk": "teaches a refusal: the answer's probability is left",
    "idk-ap": "teaches a refusal; its retain term holds an answer above a refusal, not its probability",
    "memit": "edits the beginning of the answer",
    "task-vector": "nothing holds the retain rows",
    "whp": "rows known by heart rise no further when they are reinforced: there is little to take away",
    "lunar": "this model has never learned to decline",
    "repselect": "trains on no retain row; stops at its budget of divergence on retain answers",
    "dpo": "a likelier refusal wins the preference as well as a less likely answer",
    "uld": "two passes; after few steps the assistant takes the rows to keep along (with 400 rows: 0.003 and 0.978)",
}
COLUMNS = ("method", "rows", "ends", "forget", "level", "rows above", "retain", "steps", "train s", "peak GiB", "it says")


def environment() -> dict[str, str]:
    """Where and with what the numbers were made."""
    packages = {name: version(name) for name in ("unlearn-cli", "torch", "transformers", "peft")}
    machine = f"{platform.machine()} CPU, one thread for each run"
    return {"machine": machine, "python": platform.python_version(), **packages}


def cells(name: str, row: dict[str, Any]) -> str:
    """A line of a table."""
    if row["status"] == "failed":
        return f"| `{name}` | failed: {row['message'][:80]} " + "| " * (len(COLUMNS) - 2) + "|"
    level, above, retain, peak = (row.get(key) for key in ("level", "above", "retain", "peak_gib"))
    values = (
        f"`{name}`", row["rows"], row["status"].replace("_", " "), f"{row['before']:.3f} → {row['after']:.3f}",
        "-" if level is None else f"{level:.3f}", "-" if above is None else above,
        "-" if retain is None else f"{retain:.3f}", row["steps"], row["seconds"], "-" if peak is None else peak,
        (row["says"] or "").replace("|", "/").replace("\n", " ")[:70],
    )  # fmt: skip
    return "| " + " | ".join(map(str, values)) + " |"


def table(rows: dict[str, dict[str, Any]], *, general: bool = False) -> list[str]:
    """A table as lines of Markdown; with general ability before and after where it was measured."""
    columns = [*COLUMNS, "general"] if general else list(COLUMNS)
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, row in rows.items():
        pair = f" {' → '.join(f'{value:.2f}' for value in row['general'])} |" if general and row.get("general") else ""
        lines.append(cells(name, row) + pair)
    return lines


def pretrained() -> dict[str, dict[str, Any]]:
    """The rows of the pretrained model, by method."""
    wanted = CELL | {"model": "real", "rows": ROWS_REAL}
    rows = [row for row in json.loads(CELLS.read_text("utf-8")) if all(row[key] == value for key, value in wanted.items())]
    return {row["method"]: row for row in sorted(rows, key=lambda row: str(row["method"]))}


def render(stored: dict[str, Any]) -> str:
    """The page as Markdown."""
    where = ", ".join(f"{key} {value}" for key, value in stored["environment"].items())
    rows = stored["rows"]
    with_target, own = ({name: pair[key] for name, pair in rows.items() if key in pair} for key in SCHEDULES)
    notes = [f"- `{name}`: {NOTES[name]}" for name in rows if name in NOTES]
    return "\n".join([
        "# The methods, measured",
        "",
        "Generated by `python -m tests.benchmarks.method_table`. A row is `unlearn forget` with the method's defaults on a",
        f"5.7 M-parameter Llama that knows rows of TOFU (Maini et al., 2024) by heart: {ROWS} rows to forget, 240 to keep.",
        "48 of these are held out and judge what is kept. One seed, one small model: take the numbers as an order of",
        "magnitude and [choose by trial](../guides/tuning.md). [Which method when](../guides/methods.md).",
        "",
        "*forget*: mean probability of the forget answers before and after. *level*: that of a model that never knew them.",
        "*rows above*: rows that are still above the level of a single row. *retain*: the share that is left of the",
        "probability of held-out retain rows. *it says*: the answer to the first forget row after unlearning.",
        "",
        f"Made with {where}.",
        "",
        "## With the target",
        "",
        "The default: a run goes on until the forget rows are down to the level and 95 % of the retain probability is left,",
        "or until its budget of steps is spent (`not reached`).",
        "",
        *table(with_target),
        "",
        "## Over its own schedule",
        "",
        "`--no-target`: the epochs that the method declares, whatever is reached. Procedures, and methods that train no",
        "adapter, always run so.",
        "",
        *table(own),
        "",
        "## On a pretrained model",
        "",
        f"SmolLM2-135M-Instruct, taught 240 rows of TOFU: {ROWS_REAL} row to forget, 60 to keep, of which 12 are held out.",
        "With the target. *general*: accuracy on the shipped general questions. [Other numbers of rows](defaults.md).",
        "",
        *table(pretrained(), general=True),
        "",
        "## Notes",
        "",
        *notes,
    ]) + "\n"  # fmt: skip


def shipped(stored: dict[str, Any]) -> str:
    """Forget and retain probability of each method, before and after a run with its defaults."""
    after, before = {}, None
    for name, pair in stored["rows"].items():
        row = pair.get("target") or pair["own"]
        if name in METHODS.names() and row["status"] != "failed" and row["retain"] is not None:
            before = before or [round(row["before"], 4), 1.0]
            after[name] = [round(row["after"], 4), round(row["retain"], 4)]
    return json.dumps({"before": before, "after": after}, indent=1) + "\n"


def main() -> None:
    """Run what was asked for and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--methods", help="names of the table's rows, separated by commas; default: all")
    parser.add_argument("--schedules", default=",".join(SCHEDULES))
    parser.add_argument("--render", action="store_true")
    arguments = parser.parse_args()
    stored = json.loads(DATA.read_text(encoding="utf-8")) if DATA.is_file() else {"rows": {}}
    known = {name: (name, []) for name in METHODS.names()} | VARIANTS
    chosen = [] if arguments.render else arguments.methods.split(",") if arguments.methods else list(known)
    for name in chosen:
        stored["environment"] = environment()
        method, flags = known[name]
        for schedule in arguments.schedules.split(","):
            pair = stored["rows"].setdefault(name, {})
            if schedule == "own" and (name in VARIANTS or pair.get("own", {}).get("only")):
                continue
            row = run(sources(arguments.shared, None)["small"], CELL | {"method": method}, *flags, *SCHEDULES[schedule])
            only = schedule == "target" and row["status"] != "failed" and row["level"] is None  # it has no target
            pair["own" if only else schedule] = row | ({"only": True} if only else {})
            print(name, json.dumps(row), flush=True)
            stored["rows"] = {name: stored["rows"][name] for name in known if name in stored["rows"]}
            DATA.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(render(stored), encoding="utf-8")
    SHIPPED.write_text(shipped(stored), encoding="utf-8")


if __name__ == "__main__":
    main()
