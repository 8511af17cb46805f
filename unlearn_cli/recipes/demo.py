"""`unlearn demo`: forget, evaluate and compare with a baseline on an embedded model, without network or GPU."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

from unlearn_cli import demo
from unlearn_cli.atomic import writing
from unlearn_cli.config import CompareConfig, DemoConfig, EvaluateConfig, ForgetConfig, MeasuringOptions
from unlearn_cli.console import Bars, Reporter
from unlearn_cli.demo.facts import splits
from unlearn_cli.errors import UnlearnError, not_written
from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.models.process import undisturbed
from unlearn_cli.recipes import compare, evaluate, forget
from unlearn_cli.recipes.forgetting.resolved_run import resolve_run
from unlearn_cli.recipes.scoring.in_words import lines_in_words
from unlearn_cli.recipes.scoring.mending import next_commands
from unlearn_cli.recipes.storage.output_files import why_not_writable
from unlearn_cli.rendering.tables import in_words_table, story_table
from unlearn_cli.rendering.verdicts import verdict_block
from unlearn_cli.report import RunReport

ASSETS = Path(demo.__file__).parent / "assets"
MODELS = ("model", "model-retain-only")
SETTINGS: dict[str, Any] = {
    "method": "npo",
    # Half of the usual rate, and only down to the baseline: lower probabilities would show that rows were removed.
    "until": "forget.probability <= 0.07",
    "learning_rate": 2.1e-3,
    "no_general": True,  # the tiny model knows only invented people: it would guess the general questions
}


def run(config: DemoConfig, command_line: list[str], reporter: Reporter) -> tuple[RunReport, Path]:
    """Forget two invented people and compare with a model that never knew them. Returns the report and its path.

    Raises:
        UnlearnError: `config.keep` is not empty.
    """
    folder = _unpack(config.keep)
    data = {name: str(folder / f"{name}.jsonl") for name in ("forget", "retain", "holdout")}
    reporter.say("A tiny model has memorized invented people. It is made to forget two of them.")
    settings = {**SETTINGS, "model": str(folder / "model"), "output_dir": folder / "run", **data}
    chosen = ForgetConfig(**settings)
    sources = {name: "demo" if name in settings else "default" for name in ForgetConfig.model_fields}
    inner = Reporter(quiet=True) if reporter.quiet else Bars()
    with undisturbed():
        resolved = resolve_run(chosen, sources, inner)
        forget.check_status(forget.write_run(resolved, command_line)[0], resolved.folder, quiet=True)

    measuring = {name: getattr(chosen, name) for name in MeasuringOptions.model_fields}
    evaluation = EvaluateConfig(run=folder / "run", baseline=(str(folder / "model-retain-only"),), **measuring)
    report, path = evaluate.run(evaluation, dict.fromkeys(EvaluateConfig.model_fields, "default"), command_line, inner)
    reporter.show(story_table(_one_answer(folder / "run" / "measured")))
    reporter.show(in_words_table(lines_in_words(report.scores)))
    reporter.say("The last column is the baseline: a model that has never seen the two people.")
    if report.verdict:
        reporter.show(verdict_block(report.verdict.model_copy(update={"next": []})), folded=False)
    if config.html:
        _page(config.html, folder / "run", reporter)
    _next_commands(folder, reporter)
    return report, path


def _page(html: Path, run_folder: Path, reporter: Reporter) -> None:
    """Write the page of `unlearn compare` on the run alone, and offer to open it."""
    settings = CompareConfig(runs=(run_folder,), html=html, include_samples=4, quiet=True)
    compare.run(settings, dict.fromkeys(CompareConfig.model_fields, "demo"), Reporter(quiet=True))
    reporter.say(f"\npage: {html}")
    if reporter.ask("open it in the browser? [y/N]").lower() in ("y", "yes"):
        webbrowser.open(html.resolve().as_uri())


def _unpack(keep: Path | None) -> Path:
    """Copy models and data into the user's folder, or into a temporary one."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="unlearn-demo-"))
    else:
        folder = keep.expanduser().resolve()
        if why := why_not_writable(folder):
            raise not_written(f"--keep {keep}", why, "choose a folder that is empty or does not exist")
        if folder.exists() and any(folder.iterdir()):
            raise UnlearnError(f"--keep {keep} is not empty", "choose a folder that is empty or does not exist")
    try:
        with writing(folder):
            for name in MODELS:
                shutil.copytree(ASSETS / name, folder / name)
            for name, rows in splits().items():
                plain = ({key: value for key, value in row.items() if key != "person"} for row in rows)  # no format reads it
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in plain)
                (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # it was empty; half of it would be in the way of the next call
        raise
    return folder


def _one_answer(measured: Path) -> dict[str, str]:
    """A question about a forgotten person and each model's answer; if possible, the unlearned one is a whole sentence."""
    loaded = {name: load_measured(measured, f"{name}-forget") for name in ("before", "after", "baseline")}
    moments = {name: one for name, one in loaded.items() if one is not None}
    before, after = moments["before"], moments["after"]
    known = [i for i, text in enumerate(before.generations) if text == before.references[i]]
    sentences = [i for i in known if _is_sentence(after.generations[i]) and after.generations[i] != before.references[i]]
    row = (sentences or known)[0]
    answers = {name: one.generations[row] or "(nothing)" for name, one in moments.items()}
    return {"question": before.prompts[row], **answers}


def _is_sentence(text: str | None) -> bool:
    return text is not None and text[:1].isupper() and text.endswith(".") and len(text.split()) > 2


def _next_commands(folder: Path, reporter: Reporter) -> None:
    quoted = shlex.quote(str(folder))
    attack, chat = next_commands(folder / "run", folder / "model-retain-only")
    reporter.say(
        f"\nrun folder: {folder / 'run'}\n"
        "next: attack the run, ask both models, try another method on the same rows, and compare the two runs:\n"
        f"  {attack} --suite quick\n"
        f"  {chat}\n"
        f"  unlearn forget --model {quoted}/model --forget {quoted}/forget.jsonl --retain {quoted}/retain.jsonl "
        f"--method simnpo --output-dir {quoted}/simnpo\n"
        f"  unlearn compare {quoted}/run {quoted}/simnpo --html compare.html"
    )
