"""The target of a run: find the level that the forget rows should come down to, and judge whether the run reached it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unlearn_cli.config import ForgetConfig
from unlearn_cli.data.written import AUTO
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.baseline import CLEARLY_BELOW, UNKNOWN, UNKNOWN_TEXT
from unlearn_cli.measured import Measured
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.level import never_known, threshold
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.recipes.scoring.halves import judge_halves
from unlearn_cli.recipes.scoring.outcome import KEPT
from unlearn_cli.recipes.scoring.scores import compared
from unlearn_cli.report import Scores, Status
from unlearn_cli.report_parts import Aims, TargetReport
from unlearn_cli.training.target import Target

# Share of the probability that must be left of rows that the model wrote itself. It is lower than for other rows: these are
# the model's likeliest answers, so any change lowers their probability.
KEPT_WRITTEN = 0.9
KNOWN_ROW = 0.5  # from this probability on, a single row is known, however unlikely the others are


@dataclass(frozen=True)
class RunTarget:
    """The target of a run, and the source of its level."""

    aims: Target
    source: str
    every_row: bool = False  # `--until` bounds the likeliest row, so no row may be above it


@dataclass(frozen=True)
class NotKnown:
    """There is nothing to forget, because the model does not know the forget rows."""

    why: str


def find_target(
    run: ResolvedRun, loaded: LoadedModel, before: Mapping[str, Measured], baseline: Measured | None = None
) -> RunTarget | NotKnown | None:
    """The target of a run, or why there is nothing to forget; None if the run has a fixed schedule.

    A procedure that needs the level of never having known has a target as well. It is not steered by it, only judged.

    Args:
        run: its settings and rows.
        loaded: the model before training.
        before: split -> measurements of this model.
        baseline: measurements of the forget rows under a model that was trained without them, if there is one.

    Raises:
        UnlearnError: the baseline knows the forget rows, the model knows the holdout rows, what `--until` asks for holds
            already, or what `--keep` asks for does not hold.
    """
    if not (run.settings.has_target or _is_judged(run)):
        if run.settings.procedure or run.objective.method.applied != "adapter":
            run.reporter.note(f"{run.config.method} has no target: it has its own schedule")
        return None
    config, forget = run.config, float(before["forget"].probabilities.mean())
    if baseline is not None:
        _check_baseline(float(baseline.probabilities.mean()), forget, questions=_are_questions(run))
    _check_aims(config, before)
    keep = _share_to_keep(run, before)
    unknown = never_known(run, loaded, before, baseline)
    likeliest, is_down = float(before["forget"].probabilities.max()), forget <= unknown.level
    floor, kind = (UNKNOWN, "an answer") if _are_questions(run) else (UNKNOWN_TEXT, "a text")
    if is_down and not unknown.chosen and likeliest <= max(KNOWN_ROW, unknown.row_level):
        why = (
            f"the forget rows have a probability of {forget:.3g}, no more than answers that the model never knew "
            f"({unknown.level:.3g}, by {unknown.source})"
        )
    elif unknown.estimated and likeliest < floor:
        why = f"no forget row has a probability above {likeliest:.3g}, and below {floor:g} a model does not know {kind}"
    else:
        why = None
    if why:
        run.reporter.note(
            f"{why}: there is nothing to forget, and no step is made (--no-target trains all the same; `unlearn data check "
            "FILE -m MODEL` names the rows)"
        )
        return NotKnown(why)
    for name in ("lr_scheduler_type", "warmup_ratio") if run.settings.has_target else ():
        if getattr(run.config, name) != ForgetConfig.model_fields[name].default:
            run.reporter.note(f"--{name.replace('_', '-')} is for a fixed schedule: a run with a target sets its own rate")
    kept = f"with {keep:.0%} of the retain probability left" if "retain" in before else "with no rows to keep"
    rows = f", each of them to {unknown.row_level:.3g} (one has {likeliest:.3g})" if is_down else ""
    run.reporter.say(
        f"target: forget probability from {forget:.3g} down to {unknown.level:.3g} (by {unknown.source}){rows}, {kept}"
    )
    return RunTarget(Target(unknown.level, unknown.row_level, keep), unknown.source, every_row=unknown.every_row)


def find_level(
    run: ResolvedRun, loaded: LoadedModel, before: Mapping[str, Measured], baseline: Measured | None = None
) -> float | None:
    """The level for a procedure that needs it, if the run has no target and was given no `level`; None for others.

    The arguments are those of `find_target`.
    """
    procedure = run.settings.procedure
    if procedure is None or not procedure.needs_level or run.config.parameters["level"] is not None:
        return None
    unknown = never_known(run, loaded, before, baseline)
    run.reporter.say(f"rows that the model never knew have a probability of {unknown.level:.3g}: by {unknown.source}")
    return unknown.level


def _is_judged(run: ResolvedRun) -> bool:
    """Whether the run is a procedure that has a level, so that its end can be judged by that."""
    procedure = run.settings.procedure
    return procedure is not None and procedure.needs_level and not run.config.no_target


def _share_to_keep(run: ResolvedRun, before: Mapping[str, Measured]) -> float:
    """The share of the held-out retain rows' probability that must be left: by `--keep` if it gives one, else the usual."""
    usual = KEPT_WRITTEN if "retain" in before and run.inputs["retain"].split.origin.spec == AUTO else KEPT
    if not run.config.keep or "retain" not in before:
        return usual
    mean = float(before["retain"].probabilities.mean())
    limit = threshold(run.config.keep, "retain", mean, largest=False)
    return limit / mean if limit else usual


def _are_questions(run: ResolvedRun) -> bool:
    """Whether the forget rows are questions with answers. Tokens of a text are less likely, also where a model knows it."""
    return all(example.turns for example in run.inputs["forget"].split.examples)


def _check_baseline(baseline: float, forget: float, *, questions: bool) -> None:
    """Refuse a baseline that knows the forget rows. Both values are mean probabilities; `questions`: the rows are no texts.

    Raises:
        UnlearnError: it gives them about what the model itself gives them, and the model knows them.
    """
    if baseline >= CLEARLY_BELOW * forget and (forget >= UNKNOWN or not questions):
        raise UnlearnError(
            f"this baseline knows the forget rows: it gives them probability {baseline:.3f}, the model itself {forget:.3f}",
            "--baseline takes a model that was trained without them; if this one was, the model does not know them either",
        )


def _check_aims(config: ForgetConfig, before: Mapping[str, Measured]) -> None:
    """Refuse a forget half that holds already, and a retain half that does not hold of the untouched model.

    Raises:
        UnlearnError: names the values; or an expression names a score that has no value.
    """
    quick = config.model_copy(update={"bootstrap_samples": 1})
    lower, higher = "ask for a lower value, or leave --until out", "training keeps at most what is there: ask for less"
    for flag, aim, wanted, wrong, hint in (
        ("--until", config.until, False, "holds before training", lower),
        ("--keep", config.keep, True, "does not hold before training", higher),
    ):
        if aim is None:
            continue
        scores = compared({"before": before, "after": before}, quick, tuple({metric for _, metric, _ in aim.names()}))
        if gates.holds(aim, scores, flag) is not wanted:
            values = aim.values(gates.lookup_in(scores))
            now = ", ".join(f"{name} is {value:.4g}" for name, value in values.items() if value is not None)
            raise UnlearnError(f"{flag} '{aim}' {wrong}: {now}", hint)


def judge_target(
    target: RunTarget, config: ForgetConfig, moments: Mapping[str, Mapping[str, Measured]], scores: Scores
) -> tuple[TargetReport, Status, str | None]:
    """Judge both halves of the target by all measured rows. Returns the report, the status, and a message if it was missed.

    Args:
        target: the target.
        config: the run's settings; `--until` and `--keep` decide if they are given.
        moments: "before" and "after" -> measurements by split.
        scores: the run's scores.

    Raises:
        UnlearnError: `--until` or `--keep` names a score that has no value.
    """
    aims = Aims(level=target.aims.level, row_level=target.aims.row_level, source=target.source, keep=target.aims.keep)
    report = judge_halves(aims, moments, scores, config.until, config.keep)
    if report.forget_reached and report.retain_reached:
        return report, "completed", None
    return report, "not_reached", _missed(report, float(moments["before"]["forget"].probabilities.mean()))


def _missed(report: TargetReport, before: float) -> str:
    """The missed half of the target, and by how much. `before`: mean probability of the forget rows."""
    parts = []
    assert report.forget is not None  # `judge_target` has measured it
    if not report.forget_reached:
        way = before - report.level
        share_left = max(0.0, (report.forget - report.level) / way) if way > 0 else 0.0
        parts.append(
            f"{share_left:.0%} of the way down is left: forget probability {before:.3g} -> {report.forget:.3g}, "
            f"target {report.level:.3g}; {report.rows_above} of {report.rows} rows are above {report.row_level:.3g}, the "
            f"worst is row {next(iter(report.worst))} with {next(iter(report.worst.values())):.3g}"
        )
    if not report.retain_reached:
        parts.append(
            f"{report.retain_share or 0:.0%} of the retain rows' probability is left, the target was {report.keep:.0%}"
        )
    return f"target not reached: {'; '.join(parts)}"
