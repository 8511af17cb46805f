"""Run the real command line in this process, or in one that can be stopped."""

from __future__ import annotations

import json
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from typer.main import get_command
from typer.testing import CliRunner

from tests.cli.fresh import MAIN, Process, server
from unlearn_cli.cli.app import build
from unlearn_cli.cli.help import plain_usage_errors
from unlearn_cli.demo.facts import splits
from unlearn_cli.recipes.demo import ASSETS

# One layer each, which know the demo's people as the demo's models do: `python -m tests.assets.build`.
SMALL = Path(__file__).parents[1] / "assets"
MODEL, BASELINE = str(SMALL / "model"), str(SMALL / "model-retain-only")
# The demo's own, of four layers: for what depends on depth, or is to be measured.
DEMO, DEMO_BASELINE = str(ASSETS / "model"), str(ASSETS / "model-retain-only")
QUICK = (
    "--max-steps",
    "4",
    "--batch-size",
    "4",
    "--generate-limit",
    "4",
    "--max-new-tokens",
    "8",
    "--bootstrap-samples",
    "50",
)


# The tiny models know nothing general: to measure it costs every run two seconds and shows nothing. Runs of a few steps over
# a handful of rows reach no target: they go over a fixed schedule, and train on every retain row.
QUICKLY = {"UNLEARN_NO_GENERAL": "true", "UNLEARN_NO_TARGET": "true", "UNLEARN_RETAIN_HELD_OUT": "0"}


class Result(NamedTuple):
    """How a command ended, and what it wrote."""

    exit_code: int
    stdout: str
    stderr: str


@cache
def _command() -> Any:
    """The whole application, put together once: its hundreds of options take longer than many a command."""
    return get_command(build())


def unlearn(*arguments: object, general: bool = False, target: bool = False, text: str | None = None) -> Result:
    """How `unlearn ARGUMENTS` ends in this process.

    `general`: measure general ability. `target`: hold retain rows out, and train until the target is reached. `text`: stdin.
    """
    code: Any = 0
    wanted = {"UNLEARN_NO_GENERAL"} if general else set()
    wanted |= {"UNLEARN_NO_TARGET", "UNLEARN_RETAIN_HELD_OUT"} if target else set()
    environment = {name: value for name, value in QUICKLY.items() if name not in wanted}
    with CliRunner().isolation(text, env=environment) as (out, err, _):
        try:
            with plain_usage_errors():
                code = _command().main([str(argument) for argument in arguments], "unlearn", standalone_mode=False)
        except SystemExit as stop:
            code = stop.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        return Result(code or 0, *(stream.getvalue().decode().replace("\r\n", "\n") for stream in (out, err)))


# Before a command in a process of its own: its steps take long enough for a signal to come between two of them.
SLOWLY = """import time
from unlearn_cli.recipes.storage.run_folder import RunFolder
append = RunFolder.append
RunFolder.append = lambda *given: time.sleep(0.1) or append(*given)
"""


def started(*arguments: object, code: str = MAIN) -> Process:
    """`unlearn ARGUMENTS` in a process of its own, which can be sent a signal; `code` is what it executes."""
    return server().start(*arguments, code=code, **QUICKLY)


def write_rows(path: Path, rows: list[dict]) -> Path:
    """Rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def data_arguments(folder: Path, model: str = MODEL) -> list[str]:
    """--model, --forget and --retain for a model that knows the demo's people."""
    parts = splits()
    forget = write_rows(folder / "forget.jsonl", parts["forget"][:8])
    retain = write_rows(folder / "retain.jsonl", parts["retain"][:16])
    return ["--model", model, "--forget", str(forget), "--retain", str(retain)]


def knowing_model(folder: Path) -> Path:
    """The model with weights that differ a little: another model by its fingerprint, and it knows the same rows."""
    return changed_a_little(MODEL, folder)


def changed_a_little(model: str, folder: Path) -> Path:
    """A copy of a model, whose weights differ a little."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor * 1.0005 for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def read_report(run: Path) -> dict:
    """The report of a run folder."""
    return json.loads((run / "report.json").read_text(encoding="utf-8"))


def losses(run: Path) -> list[tuple]:
    """Step, losses and gradient norm of every step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(x["step"], x["forget_loss"], x["retain_loss"], x["grad_norm"]) for x in lines if "loss" in x]
