"""`unlearn relearn-attack`: try to bring back what a run forgot, and say how much comes."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.attack_report import AttackReport, write_attack
from unlearn_cli.attacks._target import AttackData, Role
from unlearn_cli.config import AttackConfig
from unlearn_cli.console import Reporter
from unlearn_cli.contract import Attack
from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.baseline import METRIC, UNKNOWN, check_baseline, knows_rows
from unlearn_cli.evaluation.score import bootstrap
from unlearn_cli.expressions.parser import Expression
from unlearn_cli.models.compose import COMPOSED
from unlearn_cli.models.process import undisturbed
from unlearn_cli.recipes.attacking.attacked_models import AttackedModels, check_no_answers, overlap, read_attack_data
from unlearn_cli.recipes.attacking.cached_baseline import Lent, lent_baseline, replaced
from unlearn_cli.recipes.attacking.curves import CurvePoint, place, read_curve, scored, write_curve
from unlearn_cli.recipes.attacking.recovery import ROLES, Curves, summarised, verdict
from unlearn_cli.recipes.attacking.settings import Setting, chosen, settings_of
from unlearn_cli.recipes.environment import environment
from unlearn_cli.recipes.forgetting.interrupt import keeping
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.recipes.scoring.scores import BOOTSTRAP_SEED
from unlearn_cli.recipes.storage.lock import locked
from unlearn_cli.rendering.attacks import attack_table
from unlearn_cli.report import AttackLine, RunReport, Score, read_report, write_report


@undisturbed()
def run(config: AttackConfig, sources: dict[str, str], reporter: Reporter) -> tuple[list[AttackReport], list[Path]]:
    """Attack, normalise and judge. Returns a report for each attack and their paths; failed gates are in them.

    Raises:
        UnlearnError: anything the user can mend.
    """
    read_report(config.run)  # a folder that is no run is not touched
    with locked(config.run):
        return _run(config, reporter)


def _run(config: AttackConfig, reporter: Reporter) -> tuple[list[AttackReport], list[Path]]:
    """As `run`, on a run that no other process writes into."""
    began = time.perf_counter()
    report = read_report(config.run)
    if report.command != "forget":
        raise UnlearnError(f"{config.run} is not a run of `unlearn forget`", "an attack needs to know what was forgotten")
    attacks = chosen(config)
    expressions = gates.parsed(config.fail_if, also=("recovery",))
    data, notes = read_attack_data(config, report)
    models = AttackedModels(config, report, data, reporter)
    for note in [*notes, *models.cut_notes()]:
        reporter.note(note)
    if config.baseline:
        models.identity("baseline")  # refuses the run itself before any time is spent
    if report.artifact is not None and report.artifact.kind in COMPOSED:
        reporter.note(
            "this run is a base and an assistant: the base is attacked and the assistant stays. Whoever holds the weights "
            "can leave the assistant out, and then nothing is forgotten"
        )
    settings = {attack.name: settings_of(attack, config, report) for attack in attacks}
    for attack in attacks:
        for setting in settings[attack.name]:
            if setting.get("data") != "same-data":
                check_no_answers(data.eval_forget, _attacker_rows(attack, [setting], data))
    curves, lent = Curves(), lent_baseline(models, attacks, settings)
    with keeping("finished curves"):
        left_out = _add_curves(curves, config, models, attacks, settings, reporter)
    if lent.start:
        curves.add("baseline", None, {}, lent.start)
        if knows_rows(_known(curves, "baseline", config), _known(curves, "original", config)):
            reporter.note(f"{lent.model} knows the forget rows, so its stored curves are not used as a baseline")
            lent = Lent()
    _tell_baseline(config, lent, attacks, reporter)
    for told in replaced(models, attacks, lent):
        reporter.note(told)
    made, paths = [], []
    for attack in attacks:
        if attack.name in left_out:
            continue
        asked = config
        if attack.name in lent.curves:
            asked = config.model_copy(update={"baseline": lent.model})
            for setting, points in lent.curves[attack.name]:
                curves.add("baseline", attack, setting, points)
        recovered = summarised(curves, attack, settings[attack.name], asked)
        attacker = _attacker_rows(attack, settings[attack.name], data)
        one = AttackReport(
            attack=attack.name,
            along=attack.along,
            run=str(config.run),
            verdict=verdict(attack, recovered["probability"], upper_bound=not asked.baseline),
            upper_bound=not asked.baseline,
            config=asked.model_dump(mode="json"),
            environment=environment(),
            forget_sha256=report.data["forget"].sha256,
            judged_rows=len(data.eval_forget),
            attacker_rows=len(attacker),
            overlap=overlap(data.eval_forget, attacker),
            curves=curves.reports(attack.name, settings[attack.name]),
            recovery=recovered,
            seconds=round(time.perf_counter() - began, 1),
            notes=reporter.notes,
        )
        made.append(one)
    _judge(expressions, made)
    for one in made:
        paths.append(write_attack(one, config.run / "attacks" / one.attack))
        reporter.show(attack_table(one))
        reporter.say(one.verdict)
        if one.overlap and one.attacker_rows:
            reporter.say(
                f"{one.overlap} of {one.judged_rows} judged answers share eight words in a row with the attacker's rows"
            )
        gates.tell(one.gates, reporter)
    _note_in_run(config.run, report, made)
    if config.plot:
        from unlearn_cli.rendering.plots import plot_attacks  # noqa: PLC0415 - matplotlib is an extra

        plot_attacks(made, config.plot)
        reporter.say(f"curves drawn: {config.plot}")
    return made, paths


def _tell_baseline(config: AttackConfig, lent: Lent, attacks: list[Attack], reporter: Reporter) -> None:
    without = [] if config.baseline else [attack.name for attack in attacks if attack.name not in lent.curves]
    if lent.curves:
        reporter.note(f"no --baseline: the kept curves of {lent.model} serve for {', '.join(lent.curves)}")
    if without:
        named = f" for {', '.join(without)}" if lent.curves else ""
        reporter.note(
            f"no --baseline{named}: what a model that never saw the rows would score is not known, so all that is there "
            "counts, and recovery is an upper bound"
        )


def _add_curves(
    curves: Curves,
    config: AttackConfig,
    models: AttackedModels,
    attacks: list[Attack],
    settings: dict[str, list[Setting]],
    reporter: Reporter,
) -> set[str]:
    """Add every model's curve under every setting, computed or read; returns the attacks that cannot be done here.

    Raises:
        UnlearnError: the baseline knows the forget rows.
    """
    roles = sorted({*models.roles, "original"}, key=ROLES.index)
    starts = [(role, None, {}) for role in roles]
    # The model that was measured last is still in memory, so the attacks begin with it.
    attacked = [
        (role, attack, setting)
        for role in reversed(roles)
        for attack in (attacks if role in models.roles else ())
        for setting in settings[attack.name]
    ]
    missing = []
    for role, attack, setting in [*starts, *attacked]:
        points = read_curve(*place(models, role, attack, setting))
        if points is None:
            missing.append((role, attack, setting))
        else:
            curves.add(role, attack, setting, points)
    total = len(starts) + len(attacked)
    if len(missing) < total:
        reporter.say(f"kept from before: {total - len(missing)} of {total} curves")
    left_out: set[str] = set()
    with reporter.progress("attack curves", len(missing)) if missing else nullcontext() as bar:
        for moment in ("start", "attack"):
            for role, attack, setting in missing:
                if (attack is None) is not (moment == "start") or (attack is not None and attack.name in left_out):
                    continue
                target = models.target(role, lambda at, r=role, a=attack: bar.advance(0, _doing(a, r, at)))
                try:
                    points = _points(target, attack, setting)
                except UnlearnError as error:
                    if config.attack or config.suite is None:
                        raise
                    reporter.note(f"{attack.name} left out: {error.message}")
                    left_out.add(attack.name)
                    continue
                write_curve(*place(models, role, attack, setting), points)
                curves.add(role, attack, setting, points)
                bar.advance(1)
            if moment == "start":
                _check_starts(curves, config, reporter)
    return left_out


def _check_starts(curves: Curves, config: AttackConfig, reporter: Reporter) -> None:
    """Refuse a baseline that knows the forget rows, before any attack is paid for."""
    original = _known(curves, "original", config)
    check_baseline(_known(curves, "baseline", config), original)
    if original is not None and (original.value or 0.0) < UNKNOWN:
        reporter.note(
            f"the original model gives the forget answers probability {original.value or 0.0:.2g}: it did not know them, so "
            "there is nothing to bring back and recovery says nothing"
        )


def _known(curves: Curves, role: Role, config: AttackConfig) -> Score | None:
    """The probability that a model gives the judged forget answers before any attack."""
    start = curves.start(role)
    if start is None:
        return None
    values = start.forget[METRIC]
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    return Score(value=float(values.mean()), ci=bootstrap(values, config.bootstrap_samples, BOOTSTRAP_SEED), n=len(values))


def _doing(attack: Attack | None, role: Role, at: int | float | str) -> str:
    """For the progress line: `relearn on the original model, step 15`."""
    return f"{attack.name} on the {role} model, {attack.along} {at}" if attack else f"the {role} model before any attack"


def _points(target: Any, attack: Attack | None, setting: Setting) -> list[CurvePoint]:
    if attack is None:
        with target.active():
            return scored([target.measure(0)])
    return scored(attack.function(target, **setting))


def _attacker_rows(attack: Attack, settings: list[Setting], data: AttackData) -> tuple[Example, ...]:
    """The rows that an attack trains on or shows."""
    if attack.name == "relearn":
        by_data = {
            "forget-subset": data.train_forget, "same-data": (*data.train_forget, *data.eval_forget),
            "retain-only": data.train_retain, "given": data.user_rows,
        }  # fmt: skip
        return by_data.get(settings[0]["data"], ())
    if attack.name == "rtt":
        return data.train_forget
    if attack.name == "few-shot":
        return data.train_forget if settings[0]["source"] == "forget" else data.train_retain
    return ()


def _judge(expressions: list[Expression], reports: list[AttackReport]) -> None:
    """The verdict of each gate, in the report of the first attack it names."""
    by_name = {report.attack.replace("-", "_"): report for report in reports}

    def find(attack: str, metric: str, place: str) -> float | None:
        return gates.recovered(by_name[attack], metric, place) if attack in by_name else None

    def why(attack: str, metric: str, place: str) -> str | None:
        if attack not in by_name:
            return f"'{attack}' was not among the attacks: {', '.join(by_name)}"
        return gates.why_not_recovered(by_name[attack], place)

    for gate in expressions:
        named = [attack for attack, _, _ in gate.names()]
        owner = next((by_name[name] for name in named if name in by_name), reports[0])
        owner.gates.append(gates.judge(gate, find, why))


def _note_in_run(folder: Path, report: RunReport, reports: list[AttackReport]) -> None:
    """A line for each attack in the run's own report."""
    lines = {
        one.attack: AttackLine(verdict=one.verdict, recovery=one.recovery["probability"].max, upper_bound=one.upper_bound)
        for one in reports
    }
    write_report(report.model_copy(update={"attacks": {**report.attacks, **lines}}), folder)
