"""The claim of a record, by rule: the strongest of three wordings all of whose conditions hold."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from unlearn_cli.attack_report import RECOVERED
from unlearn_cli.config.relearn_attack import SUITES
from unlearn_cli.evaluation.extraction import leaks_of
from unlearn_cli.recipes.auditing.evidence import TRAINING, Evidence
from unlearn_cli.recipes.scoring.mending import weak_run
from unlearn_cli.recipes.scoring.outcome import FORGOTTEN, forget_outcome
from unlearn_cli.report import RunReport
from unlearn_cli.report_parts import TargetReport

MEMBERSHIP = ("loss_auc", "zlib_auc", "min_k_auc", "min_k_plus_plus_auc", "reference_auc")
LEVELS = (
    "no claim",
    "suppressed",
    "not recovered under the attacks listed",
    "nothing left that the listed tests can see",
)
SENTENCES = {
    LEVELS[0]: "No claim is made. The evidence does not show that the rows are forgotten.",
    LEVELS[1]: "The answers are suppressed: asked as in the rows, the model does not give them any more. Whether they are "
    "still in its weights is not known.",
    LEVELS[2]: "The answers were not recovered under the attacks listed here, with the budgets listed here.",
    LEVELS[3]: "The listed tests see nothing of the rows that they do not see in a model which never had them.",
}


@dataclass(frozen=True)
class Condition:
    """One thing that a wording needs."""

    level: int  # the wording that needs it, and all above
    text: str
    holds: bool
    shown: str  # what the evidence says


@dataclass(frozen=True)
class Claim:
    """What may be said of a run."""

    level: int
    conditions: list[Condition]
    adversary: str

    @property
    def wording(self) -> str:
        """One of `LEVELS`."""
        return LEVELS[self.level]

    @property
    def sentence(self) -> str:
        """The wording as a sentence."""
        return SENTENCES[self.wording]

    @property
    def missing(self) -> list[Condition]:
        """What the next stronger wording lacks."""
        return [one for one in self.conditions if one.level == self.level + 1 and not one.holds]


def judge(evidence: Evidence) -> Claim:
    """The claim that the evidence supports."""
    conditions = [*_suppressed(evidence), *_not_recovered(evidence), *_nothing_left(evidence)]
    level = 0
    while level + 1 < len(LEVELS) and all(one.holds for one in conditions if one.level == level + 1):
        level += 1
    return Claim(level, conditions, _adversary(evidence, level))


def row_level(evidence: Evidence) -> float:
    """The probability above which a single row counts as still there.

    The level of the run's target; without one, that of the likeliest row under a model that never had them; without that, a
    share of what the rows had before, which is strict where answers have words that anybody would guess.
    """
    if target := _target(evidence):
        return target.row_level
    if (baseline := evidence.measured.get("baseline")) is not None:
        return float(baseline.probabilities.max())  # a quantile would find rows that are still likely in that model itself
    before = evidence.score("forget.probability", "before")
    return FORGOTTEN * before.value if before and before.value is not None else 0.0


def _target(evidence: Evidence) -> TargetReport | None:
    """The target, as it was judged last. One that --until set says what was asked for, not what a model never knew."""
    if evidence.run.config.get("until"):
        return None
    return (evidence.evaluation and evidence.evaluation.target) or evidence.run.target


def _still_there(evidence: Evidence) -> list[str]:
    """Models made from the run that still know the forget rows, by their tests."""
    places = []
    for place, test in evidence.derived.items():
        both = test.scores.get("forget", {}).get("probability")
        left = forget_outcome(both) in ("not forgotten", "partly forgotten") if both else False
        target = None if evidence.run.config.get("until") else test.target
        if not target.forget_reached if target else left:
            places.append(place)
    return places


def _ending(run: RunReport) -> str:
    """How a run ended: its status, and its verdict if it has one."""
    return f"{run.status}, verdict {run.verdict.word}" if run.verdict else run.status


def _suppressed(evidence: Evidence) -> Iterator[Condition]:
    run, target = evidence.run, _target(evidence)
    yield Condition(1, "the run ended as it should", not run.failed, _ending(run))
    both = evidence.scores.get("forget", {}).get("probability")
    outcome = forget_outcome(both) if both else None
    forgotten = target.forget_reached if target else outcome in ("forgotten", "over-forgotten")
    after = evidence.score("forget.probability")
    known = f"{after.value:.3g}" if after and after.value is not None else "not measured"
    aim = f", never known: {target.level:.3g}" if target else ""
    yield Condition(1, "the forget rows are as unlikely as rows that the model never knew", bool(forgotten), f"{known}{aim}")
    measured = evidence.measured.get("after")
    if measured is None:
        yield Condition(1, "no single row is still likely", False, "the measurements of rows are gone")
    else:
        level = row_level(evidence)
        above = int((measured.probabilities > level).sum())
        shown = f"{above} of {measured.rows} rows are above {level:.3g}"
        yield Condition(1, "no single row is still likely", not above, shown)
        whole = measured.rows == measured.rows_in_split
        yield Condition(1, "every row was measured", whole, f"{measured.rows} of {measured.rows_in_split}")
    if evidence.derived:
        known = ", ".join(_still_there(evidence))
        yield Condition(1, "no model made from the run gives them back", not known, known or ", ".join(evidence.derived))
    files = evidence.files
    yield Condition(
        1, "every file is the one of the lineage", files is not None and files.whole,
        "no lineage" if files is None else f"{files.count('unchanged')} of {len(files.files)} unchanged",
    )  # fmt: skip


def _not_recovered(evidence: Evidence) -> Iterator[Condition]:
    trained = [name for name in TRAINING if name in evidence.attacks]
    yield Condition(2, "an attack that trains the weights was tried", bool(trained), ", ".join(trained) or "none")
    by_questions = evidence.attacks_with("queries")
    yield Condition(2, "an attack by questions was tried", bool(by_questions), ", ".join(by_questions) or "none")
    ends = {name: report.shown for name, report in evidence.attacks.items()}
    worst = {name: one.ci[1] if one.ci else None for name, one in ends.items()}  # one row has no interval, and shows nothing
    back = {name: end for name, end in worst.items() if end is None or end > RECOVERED}
    said = ", ".join(f"{name} {'without an interval' if end is None else f'up to {end:.0%}'}" for name, end in back.items())
    yield Condition(
        2,
        f"no attack brings back more than {RECOVERED:.0%}",
        bool(ends) and not back,
        said or ("none does" if ends else "none was tried"),
    )
    yield Condition(2, "a training attack brings back what a weak method forgot", *_positive_control(evidence, trained))
    beside = [name for name, one in evidence.attacks.items() if {c.role for c in one.curves} >= {"original", "baseline"}]
    alone = sorted(set(evidence.attacks) - set(beside))
    yield Condition(
        2, "the same attacks were tried on the original and on a model that never had the rows",
        bool(beside) and not alone, f"not for {', '.join(alone)}" if alone else ", ".join(beside) or "no attack",
    )  # fmt: skip


def _positive_control(evidence: Evidence, trained: list[str]) -> tuple[bool, str]:
    """Whether one of the attacks that train can succeed, by its positive control; and what was seen, or what to run.

    An attack that brings nothing back anywhere proves nothing.
    """
    controls = {name: one for name in trained if (one := evidence.attacks[name].control) is not None}
    if shown := [one.in_words(name) for name, one in controls.items() if one.succeeded]:
        return True, "; ".join(shown)
    if not trained:
        return False, "none was tried"
    seen = [one.in_words(name) for name, one in controls.items()] or ["no --control was attacked"]
    attack = f"unlearn relearn-attack {shlex.quote(str(evidence.folder))} --attack {trained[0]} --control control"
    return False, "; ".join([*seen, f"run {weak_run(evidence.run)}, then {attack}"])


def _nothing_left(evidence: Evidence) -> Iterator[Condition]:
    left = [name for name in SUITES["standard"] if name not in evidence.attacks]
    yield Condition(3, "every attack of the standard suite was tried", not left, f"not {', '.join(left)}" if left else "all")
    after, baseline = (evidence.score("forget.probability", moment) for moment in ("after", "baseline"))
    same = after is not None and baseline is not None and baseline.ci is not None and (after.value or 0) <= baseline.ci[1]
    shown = "no baseline" if baseline is None or after is None else f"{after.value:.3g} beside {baseline.value:.3g}"
    yield Condition(3, "the rows are no likelier than to a model that never had them", same, shown)
    yield Condition(3, "membership inference finds the rows no better than under such a model", *_membership(evidence))
    yield Condition(3, "no sampled answer reveals a row", *_sampled(evidence))
    tested = {*evidence.derived, *(name.rsplit("-", 1)[0] for name in evidence.derived)}  # merged, merged-4bit
    untested = [place for place in evidence.models_of_it if place not in tested]
    shown = f"not {', '.join(untested)}" if untested else ", ".join(evidence.models_of_it) or "none was made"
    yield Condition(3, "every model made from the run was tested again", not untested, shown)


def _membership(evidence: Evidence) -> tuple[bool, str]:
    """Whether every test of membership finds what it finds in a model that never had the rows; and what was seen."""
    within: dict[str, bool] = {}
    shown: dict[str, str] = {}
    for name in MEMBERSHIP:
        ours, theirs = (evidence.score(f"privacy.{name}", moment) for moment in ("after", "baseline"))
        if ours and theirs and theirs.ci:
            within[name] = theirs.ci[0] <= (ours.value or 0.0) <= theirs.ci[1]
            shown[name] = f"{name} {ours.value:.2f} beside {theirs.value:.2f}"
    if "loss_auc" not in within:
        return False, "no holdout rows or no baseline"
    apart = [words for name, words in shown.items() if not within[name]]
    return not apart, ", ".join(apart or shown.values())


def _sampled(evidence: Evidence) -> tuple[bool, str]:
    """Whether no sampled answer reveals a row, beyond those of a model that never had the rows; and what was seen."""
    drawn = leaks_of(evidence.measured["after"], evidence.leak_at) if "after" in evidence.measured else {}
    if not drawn:
        return False, "no answer was sampled"
    leaked = sum(evidence.leaked(row, leaks) for row, (leaks, _) in drawn.items())
    return not leaked, f"{leaked} of {len(drawn)} rows leaked"


def _adversary(evidence: Evidence, level: int) -> str:
    """Against whom the claim holds."""
    if level == 0:
        return "nobody"
    drawn = any(evidence.measured["after"].samples or ()) if "after" in evidence.measured else False
    by_questions = ", ".join(evidence.attacks_with("queries"))
    text = "someone who can only ask the model, with the questions of the rows"
    text += " and often" if drawn else ", once for each question"
    if level >= 2:
        text += f", or in the ways listed ({by_questions}); and someone who has the unlearned weights, and no more than the "
        text += "budgets listed"
    if evidence.run.artifact and evidence.run.artifact.kind != "model":
        text += ". It does not hold against someone who has the base model, which still knows the rows: whoever can leave "
        text += "the adapter out has them back"
    return text
