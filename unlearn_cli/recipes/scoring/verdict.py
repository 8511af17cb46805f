"""The verdict on a run: one word, a line that says why, and the next command. Every view of a run shows it."""

from __future__ import annotations

from pathlib import Path

from unlearn_cli.data.held_out import RETAIN_TRAINED
from unlearn_cli.evaluation.baseline import below_baseline
from unlearn_cli.recipes.scoring.ability import ability_in_words, ability_outcome, language_damaged, language_in_words
from unlearn_cli.recipes.scoring.mending import commands, going_on
from unlearn_cli.recipes.scoring.outcome import forget_outcome, in_short, over_forgotten, retain_outcome
from unlearn_cli.report import UNUSABLE, RunReport, Scores, Verdict, VerdictWord, before_and_after
from unlearn_cli.report_parts import TargetReport

GAP = 0.05  # a larger gap between the shares left of trained and of held-out retain rows is named
DAMAGED = ("damaged", "wrecked")
NEVER_KNOWN: VerdictWord = "NOT KNOWN BEFORE"


def judge_run(
    report: RunReport,
    folder: Path,
    run: RunReport | None = None,
    *,
    known: bool = True,
) -> Verdict | None:
    """The verdict on a run, or on a later evaluation of it; None if nothing was measured before and after.

    Args:
        report: the report with the scores.
        folder: the run folder, for the commands.
        run: the report of the run, if `report` is that of a later evaluation.
        known: whether the forget rows were more likely before than answers that the model never knew.
    """
    run = run or report
    target = report.target
    known = known and not (run.verdict and run.verdict.word == NEVER_KNOWN)
    word = _word(report.scores, run, target, known=known)
    if word is None:
        return None
    return Verdict(word=word, why=_why(word, report.scores, run, target), next=commands(word, report, run, folder))


def verdict_of(report: RunReport, folder: Path) -> Verdict | None:
    """The verdict in a report, with the commands that follow now. An older report without a verdict is judged now."""
    if report.verdict is None:
        return judge_run(report, folder) if report.command == "forget" else None
    return report.verdict.model_copy(update={"next": going_on(report.verdict.next, report, folder)})


def _word(scores: Scores, run: RunReport, target: TargetReport | None, *, known: bool) -> VerdictWord | None:
    forget, retain = (scores.get(split, {}).get("probability") for split in ("forget", "retain"))
    outcome = forget_outcome(forget) if forget else None
    if run.status == "diverged":
        return "DIVERGED"
    unknown = outcome == "never known" and run.target is None  # a target was set for a row or a level that is lower still
    if (unknown or (outcome and not known)) and not _came_back(run):
        return NEVER_KNOWN
    if run.status == "no_effect":
        return "NO EFFECT"
    share = share_left(scores, "retain")
    keeps_share = target is not None and share is not None and share >= target.keep  # --keep may allow more loss than usual
    lost = retain and not keeps_share and retain_outcome(retain) in DAMAGED
    if run.status == "collapsed" or lost or ability_outcome(scores) in DAMAGED or language_damaged(scores):
        return "DAMAGED"
    if _marked(scores):
        return "OVER-FORGOTTEN"
    if outcome is None:
        return None
    if run.status == "not_reached" and (target is None or _came_back(run)):
        return "NOT REACHED"
    if target:
        return "REACHED" if target.forget_reached and target.retain_reached else "NOT REACHED"
    return "STOPPED" if run.status in ("stopped", "interrupted") else "COMPLETED"


def _came_back(run: RunReport) -> bool:
    """Whether rows that an earlier run forgot are the reason why a run ended as not reached."""
    target = run.target
    return run.status == "not_reached" and (target is None or (target.forget_reached and target.retain_reached))


def _marked(scores: Scores) -> list[str]:
    """Notes on over-forgetting that a baseline confirms.

    Without a baseline, a low AUC may only show that the two sets of rows differ. On few rows, one AUC of several may be low
    by chance; so at least half of them must be low.
    """
    aucs = {name: both for name, both in scores.get("privacy", {}).items() if name.endswith("_auc") and both.baseline}
    low = [name for name, both in aucs.items() if below_baseline(both.after, both.baseline)]
    privacy = {"privacy": aucs} if low and 2 * len(low) >= len(aucs) else {}
    return over_forgotten({"forget": scores.get("forget", {}), **privacy})


def _why(word: VerdictWord, scores: Scores, run: RunReport, target: TargetReport | None) -> str:
    if run.message and run.status in UNUSABLE and word != NEVER_KNOWN:
        return run.message
    if word == "OVER-FORGOTTEN":
        other_outcomes = in_short({split: metrics for split, metrics in scores.items() if split != "forget"})
        return "; ".join(
            [_marked(scores)[0].removeprefix("over-forgotten: "), *([other_outcomes] if other_outcomes else [])]
        )
    if target is None:
        words = in_short(scores) or run.status
        if word == NEVER_KNOWN and run.status == "stopped" and run.message:
            return run.message
        if word == NEVER_KNOWN:
            return f"before, the forget answers were as unlikely as answers that the model does not know; {words}"
        return f"{words}; {run.message}" if word in ("STOPPED", "NOT REACHED") and run.message else words
    ability = ability_in_words(scores)
    earlier = [run.message] if word == "NOT REACHED" and run.message and _came_back(run) else []
    parts = [
        *earlier,
        *_halves(target, scores, judged_on_training_rows(run)),
        *([ability] if ability else []),
        *language_in_words(scores),
        *_level(target),
    ]
    return "; ".join(parts)


def judged_on_training_rows(run: RunReport) -> bool:
    """Whether the retain rows that judge were trained on. Their probability then stays, whatever else the model loses."""
    config = run.config
    if "retain" not in run.data or config.get("retain_eval") or config.get("retain_term") in (None, "none"):
        return False
    return RETAIN_TRAINED not in run.data or not config.get("retain_held_out")


def _halves(target: TargetReport, scores: Scores, trained_on: bool) -> list[str]:
    """A sentence on each half of the target; the second names a gap between trained and held-out retain rows.

    `trained_on`: the retain rows that judge are among those that were trained on.
    """
    before, after = before_and_after(scores["forget"]["probability"]) or (0.0, target.forget)
    parts = [f"forget probability {before:.3g} -> {after:.3g} (level {target.level:.3g})"]
    held_out = share_left(scores, "retain")
    if held_out is None:
        parts.append("no rows to keep were measured")
    else:
        text = f"{held_out:.1%} of the retain probability is left"
        trained = share_left(scores, RETAIN_TRAINED)
        if trained_on:
            text += " on rows that were trained on"
        elif trained is not None:
            text += f" on held-out rows, {trained:.1%} on trained ones"
            if trained - held_out > GAP:
                text += ": training protects the retain rows themselves, but not similar rows"
        parts.append(text)
    return parts


def _level(target: TargetReport) -> list[str]:
    """The source of the level, and the rows above that of a single row."""
    likeliest = ", ".join(f"row {row} ({p:.3g})" for row, p in list(target.worst.items())[: target.rows_above])
    above = f"{target.rows_above} of {target.rows} rows are above {target.row_level:.3g}{likeliest and f': {likeliest}'}"
    return [f"the level comes from {target.source}", above]


def share_left(scores: Scores, split: str) -> float | None:
    """The share that is left of a split's probability; None if it was not measured."""
    values = before_and_after(scores.get(split, {}).get("probability"))
    return values[1] / values[0] if values and values[0] else None
