"""`unlearn demo`: forget, evaluate and compare with a baseline on an embedded model, without network or GPU."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from unlearn_cli import demo
from unlearn_cli.config import DemoConfig, EvaluateConfig, ForgetConfig, MeasuringOptions
from unlearn_cli.console import Reporter
from unlearn_cli.demo.facts import splits
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.models.process import undisturbed
from unlearn_cli.recipes import evaluate, forget
from unlearn_cli.recipes.forgetting.resolved_run import resolve_run
from unlearn_cli.recipes.scoring.outcome import next_commands
from unlearn_cli.report import RunReport

ASSETS = Path(demo.__file__).parent / "assets"
MODELS = ("model", "model-retain-only")
SETTINGS: dict[str, Any] = {
    "method": "npo",
    "max_new_tokens": 32,
    "no_general": True,  # the tiny model has seen invented people alone: it would guess
}


def run(config: DemoConfig, command_line: list[str], reporter: Reporter) -> tuple[RunReport, Path]:
    """Forget two invented people and compare with a model that never knew them. Returns the report and its path.

    Raises:
        UnlearnError: `config.keep` is not empty.
    """
    folder = _unpack(config.keep)
    data = {name: str(folder / f"{name}.jsonl") for name in ("forget", "retain", "holdout")}
    reporter.say(f"A tiny Llama has memorised invented people. It is about to forget two of them.\nfolder: {folder}\n")
    settings = {**SETTINGS, "model": str(folder / "model"), "output_dir": folder / "run", **data}
    chosen = ForgetConfig(**settings)
    sources = {name: "demo" if name in settings else "default" for name in ForgetConfig.model_fields}
    with undisturbed():
        resolved = resolve_run(chosen, sources, reporter)
        forget.check_status(forget.write_run(resolved, command_line)[0], resolved.folder)

    reporter.say("\ncomparing with the baseline, a model that has never seen the rows to forget")
    measuring = {name: getattr(chosen, name) for name in MeasuringOptions.model_fields}
    again = EvaluateConfig(run=folder / "run", baseline=str(folder / "model-retain-only"), **measuring)
    report, path = evaluate.run(again, dict.fromkeys(EvaluateConfig.model_fields, "default"), command_line, reporter)
    reporter.show(_one_answer(folder / "run" / "measured"))
    _next_commands(folder, reporter)
    return report, path


def _unpack(keep: Path | None) -> Path:
    """Copy models and data into the user's folder, or into a temporary one."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="unlearn-demo-"))
    else:
        folder = keep.expanduser().resolve()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UnlearnError(f"--keep {keep} is not empty", "choose a folder that is empty or does not exist")
        folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        shutil.copytree(ASSETS / name, folder / name)
    for name, rows in splits().items():
        known = ({key: value for key, value in row.items() if key != "person"} for row in rows)  # no format reads "person"
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in known)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def _one_answer(measured: Path) -> Table:
    """One question about a forgotten person, and the answer of each model."""
    loaded = {name: load_measured(measured, f"{name}-forget") for name in ("before", "after", "baseline")}
    moments = {name: one for name, one in loaded.items() if one is not None}
    before = moments["before"]
    row = next(i for i, text in enumerate(before.generations) if text == before.references[i])
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(2):
        table.add_column(overflow="fold")
    table.add_row(Text("\nquestion", style="bold"), Text(f"\n{before.prompts[row]}"))
    for name, one in moments.items():
        table.add_row(Text(name, style="bold"), Text(one.generations[row] or "(nothing)"))
    return table


def _next_commands(folder: Path, reporter: Reporter) -> None:
    quoted = shlex.quote(str(folder))
    chat, attack = next_commands(folder / "run", folder / "model-retain-only")
    reporter.say(
        f"\nrun folder: {folder / 'run'}\n"
        "next: does it come back? ask both models, try another method on the same data, and compare the two:\n"
        f"  {attack} --suite quick\n"
        f"  {chat}\n"
        f"  unlearn forget --model {quoted}/model --forget {quoted}/forget.jsonl --retain {quoted}/retain.jsonl "
        f"--method simnpo --output-dir {quoted}/simnpo\n"
        f"  unlearn compare {quoted}/run {quoted}/simnpo --html compare.html"
    )
