"""`unlearn relearn-attack`: try to bring back what a run forgot, and report how much comes back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from unlearn_cli.attack_report import AttackReport, write_attack
from unlearn_cli.attacks._target import AttackData
from unlearn_cli.config import AttackConfig
from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.parser import Condition
from unlearn_cli.models.compose import COMPOSED
from unlearn_cli.models.environment import environment
from unlearn_cli.models.process import undisturbed
from unlearn_cli.models.source import same_model
from unlearn_cli.recipes.attacking import claims
from unlearn_cli.recipes.attacking.attack_data import attacker_rows, check_no_answers, overlap, read_attack_data
from unlearn_cli.recipes.attacking.attacked_models import AttackedModels
from unlearn_cli.recipes.attacking.cached_baseline import CachedBaseline, add_cached_baseline, replacement_notes
from unlearn_cli.recipes.attacking.curves import Curves
from unlearn_cli.recipes.attacking.execution import compute_curves
from unlearn_cli.recipes.attacking.recovery import recovery_by_metric, verdict
from unlearn_cli.recipes.attacking.settings import ConfiguredAttack, chosen_attacks, configured
from unlearn_cli.recipes.auditing import chain
from unlearn_cli.recipes.forgetting.interrupt import keeping
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.recipes.scoring.mending import commands_after_attack, weak_run
from unlearn_cli.recipes.storage.lock import locked
from unlearn_cli.rendering.attacks import attack_table
from unlearn_cli.rendering.verdicts import next_block
from unlearn_cli.report import FILE, RunReport, read_report, write_report
from unlearn_cli.report_parts import AttackLine


@undisturbed()
def run(
    config: AttackConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[list[AttackReport], list[Path]]:
    """Attack a run and write a report for each attack. Returns the reports, verdicts of gates included, and their paths.

    Raises:
        UnlearnError: a problem that the user can fix.
    """
    read_report(config.run)  # a folder without a run gets no lock
    with locked(config.run, "an attack writes into its run: attack a copy of the folder, in a place that can be written"):
        reports, paths = _run(config, reporter)
        chain.extend(config.run, "relearn-attack", command_line, [config.run / FILE, *paths])
        return reports, paths


def _run(config: AttackConfig, reporter: Reporter) -> tuple[list[AttackReport], list[Path]]:
    """See `run`. No other process writes into the run folder meanwhile."""
    started = time.perf_counter()
    run_report = _read_forget_run(config.run)
    chosen = chosen_attacks(config)
    if config.skip_original and any(attack.own_rows for attack in chosen):
        raise UnlearnError("the attack ask needs the answers of the original model", "leave --skip-original out")
    data, row_notes = read_attack_data(config, run_report)
    models = AttackedModels(config, run_report, data, reporter)
    _note_models(models, row_notes)
    attacks = [configured(attack, config, run_report) for attack in chosen]
    _check_attacker_rows(attacks, data)
    with keeping("finished curves"):
        curves, left_out = compute_curves(models, attacks)
    cached = add_cached_baseline(curves, models, attacks)
    _note_baseline(config, cached, attacks, reporter)
    for note in replacement_notes(models, attacks, cached):
        reporter.note(note)
    reports = []
    for one in attacks:
        if one.name not in left_out:
            used = config.model_copy(update={"baseline": cached.models}) if one.name in cached.attacks else config
            reports.append(_attack_report(one, attacks, curves, models, used, started))
    _judge(config.fail_if, reports)
    paths = [_write_and_show(report, config.run, reporter) for report in reports]
    _add_to_run_report(config.run, run_report, reports)
    if config.plot:
        from unlearn_cli.rendering.plots import plot_attacks  # noqa: PLC0415 - matplotlib is an extra

        plot_attacks(reports, config.plot)
        reporter.say(f"curves drawn: {config.plot}")
    came_back = any(report.came_back for report in reports)
    reporter.show(next_block(commands_after_attack(run_report, config.run, came_back=came_back)), folded=False)
    return reports, paths


def _read_forget_run(folder: Path) -> RunReport:
    report = read_report(folder)
    if report.command != "forget":
        raise UnlearnError(
            f"{folder} is not a run of `unlearn forget`",
            "give the folder that `unlearn forget` wrote: an attack needs its forget rows",
        )
    return report


def _note_models(models: AttackedModels, row_notes: list[str]) -> None:
    """Print notes on the rows and the run.

    Raises:
        UnlearnError: the control forgot other rows, or the baseline is the unlearned or the original model itself.
    """
    for note in [*row_notes, *models.cut_notes()]:
        models.reporter.note(note)
    if models.config.control:
        _check_control(models.config.control, models.run)
    for role in models.baselines:
        models.identity(role)  # refuses the run itself before any time is spent
    artifact = models.run.artifact
    if artifact is not None and artifact.kind in COMPOSED:
        models.reporter.note(
            "this run is a base and an assistant. The attack changes the base only. Whoever has the weights can leave the "
            "assistant out, and then nothing is forgotten"
        )


def _check_control(folder: str, run: RunReport) -> None:
    """Check that the control is a run that forgot the same rows, and was made from the same model.

    Raises:
        UnlearnError: it is not. Another model may never have known the rows, or may relearn more easily.
    """
    control = _read_forget_run(Path(folder))
    hint = f"a short run on the same rows can be one: {weak_run(run)}"
    if "forget" not in control.data or control.data["forget"].sha256 != run.data["forget"].sha256:
        raise UnlearnError(f"--control {folder} did not forget the rows of this run", hint)
    theirs, ours = control.model, run.model
    if theirs is not None and ours is not None and not same_model(theirs, ours):
        raise UnlearnError(f"--control {folder} was made from another model than this run: {theirs.model}", hint)


def _check_attacker_rows(attacks: list[ConfiguredAttack], data: AttackData) -> None:
    for one in attacks:
        for setting in one.settings:
            if setting.get("data") != "same-data":
                check_no_answers(data.eval_forget, attacker_rows(one.attack, setting, data))


def _note_baseline(
    config: AttackConfig, cached: CachedBaseline, attacks: list[ConfiguredAttack], reporter: Reporter
) -> None:
    without = [] if config.baseline else [one.name for one in attacks if one.name not in cached.attacks]
    if cached.attacks:
        reporter.note(
            f"no --baseline: earlier curves of {', '.join(cached.models)} are used for {', '.join(cached.attacks)}"
        )
    if without:
        names = f" for {', '.join(without)}" if cached.attacks else ""
        reporter.note(
            f"no --baseline{names}: the score of a model that never saw the rows is not known; recovery is an upper bound"
        )


def _attack_report(
    one: ConfiguredAttack,
    attacks: list[ConfiguredAttack],
    curves: Curves,
    models: AttackedModels,
    config: AttackConfig,
    started: float,
) -> AttackReport:
    """The report of one of `attacks`. `config` names the baseline against which its recovery is measured."""
    eval_forget = models.data.user_rows if one.attack.own_rows else models.data.eval_forget
    recovery = recovery_by_metric(curves, one, config, [row.id for row in eval_forget])
    attacker = attacker_rows(one.attack, one.settings[0], models.data)
    return AttackReport(
        attack=one.name,
        shown_metric=one.attack.shows,
        along=one.attack.along,
        run=str(config.run),
        verdict=verdict(one.attack, recovery[one.attack.shows], upper_bound=not config.baseline),
        upper_bound=not config.baseline,
        config=config.model_dump(mode="json"),
        environment=environment(models.placement),
        forget_sha256=models.run.data["forget"].sha256,
        judged_rows=len(eval_forget),
        attacker_rows=len(attacker),
        overlap=overlap(eval_forget, attacker),
        curves=curves.reports(one.attack, one.settings),
        recovery=recovery,
        budget=claims.budget(one, len(attacker)),
        not_tried=claims.not_tried(one, attacks),
        control=claims.positive_control(curves, one, config),
        seconds=round(time.perf_counter() - started, 1),
        notes=models.reporter.notes,
    )


def _judge(conditions: Sequence[Condition], reports: list[AttackReport]) -> None:
    """Judge each gate, and add it to the report of the first attack that it names."""
    by_name = {report.attack.replace("-", "_"): report for report in reports}

    def lookup(attack: str, metric: str, place: str) -> float | None:
        return gates.recovery_of(by_name[attack], metric, place) if attack in by_name else None

    def why(attack: str, metric: str, place: str) -> str | None:
        if attack not in by_name:
            return f"'{attack}' was not among the attacks: {', '.join(by_name)}"
        return gates.why_no_recovery(by_name[attack], place)

    for condition in conditions:
        attacks = [attack for attack, _, _ in condition.names()]
        report = next((by_name[attack] for attack in attacks if attack in by_name), reports[0])
        report.gates.append(gates.judge(condition, lookup, why))


def _write_and_show(report: AttackReport, run: Path, reporter: Reporter) -> Path:
    path = write_attack(report, run / "attacks" / report.attack)
    reporter.show(attack_table(report))
    reporter.say(report.verdict)
    reporter.say(claims.control_note(report.control, report.attack))
    if report.overlap and report.attacker_rows:
        reporter.say(
            f"{report.overlap} of {report.judged_rows} judged answers share eight words in a row with the attacker's rows"
        )
    gates.show(report.gates, reporter)
    return path


def _add_to_run_report(folder: Path, run_report: RunReport, reports: list[AttackReport]) -> None:
    """Add a line for each attack to the run's own report."""
    lines = {
        report.attack: AttackLine(verdict=report.verdict, recovery=report.shown.max, upper_bound=report.upper_bound)
        for report in reports
    }
    write_report(run_report.model_copy(update={"attacks": {**run_report.attacks, **lines}}), folder)
