"""The commands that follow a verdict: the next steps if all is well, else a run with changed settings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlearn_cli.attack_report import read_attack
from unlearn_cli.config import ForgetConfig, consent
from unlearn_cli.config.resolve import as_flag
from unlearn_cli.contract import METHODS, Procedure
from unlearn_cli.recipes.scoring.outcome import forget_outcome
from unlearn_cli.report import FILE, RunReport, VerdictWord

TOO_MUCH = ("DAMAGED", "DIVERGED", "OVER-FORGOTTEN")
LASTING = "rehearsal"  # the method of --recipe durable
NEARLY = 0.9  # share of the retain probability from which more steps repair the rest
Changes = dict[str, float | int | str]  # option -> its new value


def commands(word: VerdictWord, report: RunReport, run: RunReport, folder: Path) -> list[str]:
    """The commands to run next; none if no run made the model.

    Args:
        word: the word of the verdict.
        report: the report with the scores.
        run: the report of the run. A report of an evaluation alone has no settings that could be changed.
        folder: the run folder.
    """
    if run.command != "forget":
        return []
    if word == "NOT KNOWN BEFORE":
        model, forget = run.config["model"], run.config.get("forget")
        if not forget:  # the rows are the model's own or a benchmark's
            return []
        columns = [word for pair in run.config.get("columns") or () for word in ("--columns", pair)]
        return [shlex.join(["unlearn", "data", "check", forget, "-m", model, *columns])]
    changes = _changes(word, report, run)
    if not changes:
        given = report.config.get("baseline") or ()  # of an evaluation several, of a run one
        return going_on(next_commands(folder, given if isinstance(given, str) else next(iter(given), None)), run, folder)
    flags = [f"--{name} {shlex.quote(value if isinstance(value, str) else f'{value:g}')}" for name, value in changes.items()]
    if (procedure := _with_own_steps(run)) is not None:
        flags = [f"--parameter {shlex.quote(_stronger(procedure, run, 0.5 if word in TOO_MUCH else 2.0))}"]
    granted = [as_flag(ForgetConfig, name, value) for name, value in _consents(run)]
    words = ["--config", shlex.quote(str(folder / FILE)), *flags, *granted, "-o", shlex.quote(_new(folder))]
    return [" ".join(["unlearn forget", *words])]


def _with_own_steps(run: RunReport) -> Procedure | None:
    """The method of the run, if neither --epochs nor --learning-rate means anything to it."""
    procedure = _procedure(run)
    return procedure if procedure is not None and procedure.strength else None


def _procedure(run: RunReport) -> Procedure | None:
    """The method of the run, if it is a procedure."""
    name = str(run.config.get("method"))
    method = METHODS.get(name) if METHODS.has(name) else None
    return method if isinstance(method, Procedure) else None


def _stronger(procedure: Procedure, run: RunReport, factor: float, names: Sequence[str] = ()) -> str:
    """The value of -p in which the parameters `names` are multiplied; by default those of the procedure's strength."""
    usual, here = procedure.resolve({}), run.config.get("parameters") or {}
    names = names or procedure.strength
    return _parameters(procedure, run, {name: f"{factor * here.get(name, usual[name]):g}" for name in names})


def _parameters(procedure: Procedure, run: RunReport, changes: Mapping[str, str]) -> str:
    """All parameters that are no defaults, as the value of -p, which replaces those of the file; and the changes."""
    usual, here = procedure.resolve({}), run.config.get("parameters") or {}
    changed = {name: value for name, value in here.items() if value != usual.get(name)} | dict(changes)
    return ",".join(f"{k}={'+'.join(map(str, v)) if isinstance(v, list | tuple) else v}" for k, v in changed.items())


def next_commands(run: Path, baseline: str | Path | None = None) -> list[str]:
    """Commands that attack the finished run and chat with it, quoted for a shell."""
    folder = shlex.quote(str(run))
    option = f" --baseline {shlex.quote(str(baseline))}" if baseline else ""
    return [f"unlearn relearn-attack {folder}{option}", f"unlearn chat {folder}"]


def going_on(commands: list[str], run: RunReport, folder: Path) -> list[str]:
    """The commands of a verdict; of a run that was attacked since, those after the attack in their place.

    Args:
        commands: those of the verdict.
        run: the report of the run.
        folder: its folder.

    Raises:
        UnlearnError: the report of an attack cannot be read.
    """
    if not run.attacks or not commands or not commands[0].startswith("unlearn relearn-attack"):
        return commands
    reports = [path for name in run.attacks if (path := folder / "attacks" / name / FILE).is_file()]
    return commands_after_attack(run, folder, came_back=any(read_attack(path).came_back for path in reports))


def commands_after_attack(run: RunReport, folder: Path, *, came_back: bool) -> list[str]:
    """The commands to run after an attack: if knowledge came back, the recipe against relearning; then the record.

    Args:
        run: the report of the attacked run.
        folder: its folder.
        came_back: whether an attack brought knowledge back.
    """
    config, commands = run.config, []
    has_rows = config.get("forget") or config.get("benchmark")
    rounded = config.get("load_in_4bit") or config.get("load_in_8bit")  # the recipe trains every weight
    if came_back and config.get("method") != LASTING and has_rows and not rounded:
        commands = [shlex.join([*_same_rows(config), "--recipe", "durable", "-o", _new(folder)])]
    return [*commands, shlex.join(["unlearn", "report", str(folder), "--html", "record.html"])]


def weak_run(run: RunReport) -> str:
    """The command of a short run on the same rows, which an attack should be able to undo.

    It teaches refusals, which hide an answer and leave it likely; raw text has no question to refuse, and gets `npo`.
    """
    method = "npo" if run.data["forget"].format == "text" else "idk"
    return shlex.join([*_same_rows(run.config), "--method", method, "--no-target", "--max-steps", "20", "-o", "control"])


def _same_rows(config: Mapping[str, Any]) -> list[str]:
    """The beginning of a command that forgets the rows of another run."""
    flags = {
        "-m": "model", "-f": "forget", "-r": "retain", "--benchmark": "benchmark", "--benchmark-dir": "benchmark_dir",
        "--limit": "limit",
    }  # fmt: skip
    words = [word for flag, name in flags.items() if config.get(name) for word in (flag, str(config[name]))]
    return ["unlearn", "forget", *words, *(word for pair in config.get("columns") or () for word in ("--columns", pair))]


def _changes(word: VerdictWord, report: RunReport, run: RunReport) -> Changes:
    """The changes of the run's settings that answer the verdict; empty if no change is needed."""
    training, target = run.training, report.target or run.target
    steps = training.steps_planned if training else 0
    more_retain = _more_retain(run)
    # With a target the number of steps is a limit. The epochs in the report would count as a limit that the user chose.
    # A procedure has stages of its own, and no such limit.
    procedure = _procedure(run)
    budget: Changes = {"max-steps": steps} if target and steps and procedure is None else {}
    twice: Changes = {"max-steps": 2 * steps} if budget else {}  # for half of the rate; a run ends earlier at its target
    if word == "DIVERGED":
        return _rate(run, 0.25) | budget
    if word == "NO EFFECT":
        return _rate(run, 4) | budget
    if word == "DAMAGED":
        nearly = target is not None and target.forget_reached and (target.retain_share or 0.0) >= NEARLY
        was_repairing = budget and nearly and training is not None and training.steps >= steps
        return ({} if was_repairing else _rate(run, 0.5)) | more_retain | twice
    if word == "OVER-FORGOTTEN":
        score = report.scores["forget"].get("probability") if target else None
        if score is None or score.after is None or not score.after.value:
            return _length(run, 0.5)
        aim = score.baseline.value if score.baseline and score.baseline.value else 2 * score.after.value
        if procedure is not None:
            return {"parameter": _parameters(procedure, run, {"level": f"{aim:.2g}"})}
        return {"until": f"forget.probability <= {aim:.2g}"} | budget
    if word == "NOT REACHED" and target and not (target.forget_reached and target.retain_reached):
        if target.forget_reached:
            return _rate(run, 0.5) | more_retain | twice
        ended_early = training is not None and training.steps < steps  # so more steps would not help
        longer: Changes = _rate(run, 2) | budget if ended_early else {"max-steps": 2 * steps}
        if procedure is not None:
            longer = {"parameter": _stronger(procedure, run, 2, (procedure.longer,))}
        return longer | ({} if target.retain_reached else more_retain)
    forget = report.scores.get("forget", {}).get("probability")
    not_forgotten = forget and forget_outcome(forget) in ("not forgotten", "partly forgotten")
    return _length(run, 2) if not_forgotten and word == "COMPLETED" else {}


def _more_retain(run: RunReport) -> Changes:
    """The change that lets the retain rows count for more; empty if the run has none."""
    config = run.config
    if not (config.get("retain") or "retain" in run.data):  # a benchmark gives rows without the option
        return {}
    if config.get("retain_term") == "none":
        return {"retain-term": "kl"}
    if config.get("retain_weight") == 0:
        return {"retain-weight": 1}
    return {"retain-ratio": 2 * config["retain_ratio"]} if config.get("retain_ratio") else {}


def _rate(run: RunReport, factor: float) -> Changes:
    """The learning rate times `factor`, with two digits; empty if the report has no number."""
    rate = run.config.get("learning_rate")
    return {"learning-rate": float(f"{factor * rate:.2g}")} if isinstance(rate, float) else {}


def _length(run: RunReport, factor: float) -> Changes:
    """The length of the training times `factor`."""
    if steps := run.config.get("max_steps"):
        return {"max-steps": max(1, int(factor * steps))}
    epochs = run.config.get("epochs")
    return {"epochs": factor * epochs} if epochs else {}


def _consents(run: RunReport) -> list[tuple[str, object]]:
    """Settings that only the user's own flag may set, not a file."""
    fields = ForgetConfig.model_fields
    return [(n, v) for n, v in run.config.items() if n in fields and v is not None and consent(ForgetConfig, n, v)]


def _new(folder: Path) -> str:
    """The name of a new folder beside this one."""
    return next(name for n in range(2, 10_000) if not Path(name := f"{folder}-{n}").exists())
