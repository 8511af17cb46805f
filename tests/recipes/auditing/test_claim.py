"""The claim of a record: the strongest wording whose every condition holds, and never one more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cli.comparing import attack_report
from unlearn_cli.attack_report import AttackReport
from unlearn_cli.config.relearn_attack import SUITES
from unlearn_cli.measured import Measured
from unlearn_cli.recipes.auditing.claim import LEVELS, judge
from unlearn_cli.recipes.auditing.evidence import Evidence
from unlearn_cli.recipes.auditing.people import Queries, verdicts
from unlearn_cli.report import Compared, Score

ROWS = 4


def rows(probability: float, said: str = "no idea") -> Measured:
    """Four rows with one token each, and two sampled answers to each."""
    return Measured(
        split="forget", ids=tuple("abcd"), prompts=("?",) * ROWS, references=("a tall red house",) * ROWS,
        generations=(said,) * ROWS, samples=((said, said),) * ROWS, rows_in_split=ROWS,
        token_logps=np.full(ROWS, np.log(probability), np.float32), is_argmax=np.zeros(ROWS, bool),
        mu=np.zeros(ROWS, np.float32), sigma=np.ones(ROWS, np.float32), offsets=np.arange(ROWS + 1),
        ends=np.zeros(ROWS, np.int64),
    )  # fmt: skip


def score(value: float) -> Score:
    return Score(value=value, ci=(value - 0.02, value + 0.02), n=ROWS)


def attack(recovery: float, name: str = "relearn") -> AttackReport:
    """An attack that brings back so much by what it shows, and nothing by other metrics."""
    report = attack_report(name)
    nothing, shown = (report.shown.model_copy(update={"max": v, "ci": (v - 0.01, v + 0.01)}) for v in (0.0, recovery))
    curves = [report.curves[0].model_copy(update={"role": role}) for role in ("unlearned", "original", "baseline")]
    by_metric = {**dict.fromkeys(report.recovery, nothing), report.shown_metric: shown}
    return report.model_copy(update={"recovery": by_metric, "curves": curves})


def one_row() -> AttackReport:
    """An attack that brings nothing back, judged by one row: it has no interval."""
    report = attack(0.0, "scale")
    return report.model_copy(update={"recovery": {n: r.model_copy(update={"ci": None}) for n, r in report.recovery.items()}})


def best() -> Evidence:
    """Evidence for the strongest wording."""
    run = SimpleNamespace(
        status="completed", failed=False, verdict=None, target=None, artifact=SimpleNamespace(kind="adapter"), config={},
        scores={
            "forget": {"probability": Compared(before=score(0.9), after=score(0.03), baseline=score(0.03))},
            "privacy": {"loss_auc": Compared(after=score(0.5), baseline=score(0.5))},
        },
    )  # fmt: skip
    files = SimpleNamespace(whole=True, files=[1], links=[], count=lambda state: 1)
    measured = {"before": rows(0.9), "after": rows(0.03), "baseline": rows(0.03)}
    attacks = {name: attack(0.02) for name in SUITES["standard"]}
    return Evidence(Path("run"), run, None, attacks, {}, 0.5, measured, files, None)


def with_scores(evidence: Evidence, split: str, metric: str, **moments: Score | None) -> Evidence:
    scores = {name: dict(metrics) for name, metrics in evidence.run.scores.items()}
    scores[split][metric] = scores[split][metric].model_copy(update=moments)
    return replace(evidence, run=SimpleNamespace(**{**vars(evidence.run), "scores": scores}))


def with_score(evidence: Evidence, split: str, metric: str, after: float, baseline: float) -> Evidence:
    scores = {name: dict(metrics) for name, metrics in evidence.run.scores.items()}
    scores[split][metric] = Compared(after=score(after), baseline=score(baseline))
    return replace(evidence, run=SimpleNamespace(**{**vars(evidence.run), "scores": scores}))


def wanted(evidence: Evidence, **config: str) -> Evidence:
    """The same with a target that the run reached; with `until` at 0.9, which the rows at 0.8 lie below."""
    target = SimpleNamespace(level=0.9, row_level=1.8, forget_reached=True)
    run = SimpleNamespace(**{**vars(evidence.run), "target": target, "config": config})
    if not config:
        return replace(evidence, run=run)
    known = with_scores(replace(evidence, run=run), "forget", "probability", after=score(0.8))
    return replace(known, measured={**evidence.measured, "after": rows(0.8)})


def later(after: float = 0.03, reached: bool | None = None) -> SimpleNamespace:
    """A later test of the run, or of a model that was made from it."""
    target = None if reached is None else SimpleNamespace(level=0.9, row_level=1.8, forget_reached=reached)
    scores = {"forget": {"probability": Compared(before=score(0.9), after=score(after))}}
    return SimpleNamespace(target=target, scores=scores if target is None else {}, data={})


def controlled(evidence: Evidence, came_back: dict[str, bool]) -> Evidence:
    """The same with a positive control of these attacks only, and whether it came back."""

    def changed(name: str, report: AttackReport) -> AttackReport:
        control = report.control.model_copy(update={"succeeded": came_back[name]}) if name in came_back else None
        return report.model_copy(update={"control": control})

    run = SimpleNamespace(**{**vars(evidence.run), "data": {"forget": SimpleNamespace(format="question-answer")}})
    return replace(evidence, run=run, attacks={name: changed(name, report) for name, report in evidence.attacks.items()})


def without(evidence: Evidence, *names: str) -> Evidence:
    return replace(evidence, attacks={n: a for n, a in evidence.attacks.items() if n not in names})


CASES = {
    "all holds": (lambda e: e, 3),
    "an attack of the suite is missing": (lambda e: without(e, "scale"), 2),
    "membership stands out": (lambda e: with_scores(e, "privacy", "loss_auc", after=score(0.7)), 2),
    "no baseline": (lambda e: with_scores(e, "forget", "probability", baseline=None), 2),
    "a sampled answer reveals": (lambda e: replace(e, measured={**e.measured, "after": rows(0.03, "a tall red house")}), 2),
    "nothing was sampled": (lambda e: replace(e, measured={"after": replace(rows(0.03), samples=None)}), 2),
    "an attack brings it back": (lambda e: replace(e, attacks={**e.attacks, "relearn": attack(0.3)}), 1),
    "sampling brings it back": (lambda e: replace(e, attacks={**e.attacks, "sample": attack(0.3, "sample")}), 1),
    "a single row judges, whose interval is not known": (lambda e: replace(e, attacks={**e.attacks, "scale": one_row()}), 1),
    "no attack that trains had a positive control": (lambda e: controlled(e, {}), 1),
    "no control came back, so the attack shows nothing": (lambda e: controlled(e, {"relearn": False}), 1),
    "the control of another attack came back": (lambda e: controlled(e, {"prompts": True}), 1),
    "no attack on the weights": (lambda e: without(e, "relearn"), 1),
    "no attack by questions": (lambda e: without(e, "prompts", "paraphrase", "few-shot"), 1),
    "no attack": (lambda e: replace(e, attacks={}), 1),
    "a row is still likely": (lambda e: replace(e, measured={"after": rows(0.95)}), 0),
    "still likely on average": (lambda e: with_scores(e, "forget", "probability", after=score(0.5)), 0),
    "a file was changed": (lambda e: replace(e, files=SimpleNamespace(**{**vars(e.files), "whole": False})), 0),
    "no lineage": (lambda e: replace(e, files=None), 0),
    "the run collapsed": (
        lambda e: replace(e, run=SimpleNamespace(**{**vars(e.run), "status": "collapsed", "failed": True})),
        0,
    ),
    "the user's own aim says nothing of what was never known": (lambda e: wanted(e, until="forget.probability <= 0.9"), 0),
    "a later evaluation misses the target": (lambda e: replace(wanted(e), evaluation=later(reached=False)), 0),
    "a later evaluation reaches the target": (lambda e: replace(wanted(e), evaluation=later(reached=True)), 3),
    "another test of membership stands out": (lambda e: with_score(e, "privacy", "min_k_auc", 0.9, 0.5), 2),
    "a model made from it misses the target": (lambda e: replace(wanted(e), derived={"4bit": later(reached=False)}), 0),
    "a model made from it still knows the rows": (lambda e: replace(e, derived={"4bit": later(0.8)}), 0),
    "a model made from it knows them no more": (lambda e: replace(e, derived={"4bit": later(0.03)}), 3),
    "not every row was measured": (lambda e: replace(e, measured={"after": replace(rows(0.03), rows_in_split=9)}), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_wording_is_as_strong_as_the_evidence(name):
    change, level = CASES[name]
    claim = judge(change(best()))
    assert claim.wording == LEVELS[level], [one for one in claim.conditions if not one.holds]
    assert (claim.level == 3) == (not claim.missing)


@pytest.mark.parametrize(("likeliest", "still"), [(0.1, False), (0.12, True)])
def test_a_row_is_still_likely_if_no_row_of_the_baseline_is_as_likely(likeliest, still):
    """Of rows at 0.01 and one at 0.11, a quantile would call the never-trained model's own row still likely."""
    baseline, after = rows(0.01), rows(0.03)
    baseline.token_logps[0], after.token_logps[1] = np.log(0.11), np.log(likeliest)
    claim = judge(replace(best(), measured={"before": rows(0.9), "after": after, "baseline": baseline}))
    assert any("still likely" in one.text and not one.holds for one in claim.conditions) == still


@pytest.mark.parametrize("came_back", [{}, {"relearn": False}])
def test_a_control_that_is_missing_or_failed_says_what_to_run(came_back):
    (missing,) = judge(controlled(best(), came_back)).missing
    assert missing.text == "a training attack brings back what a weak method forgot"
    assert ("relearn: the positive control fails: on weak" if came_back else "no --control was attacked") in missing.shown
    assert "run unlearn forget --method idk --no-target --max-steps 20 -o control, then " in missing.shown
    assert missing.shown.endswith("unlearn relearn-attack run --attack relearn --control control")


def test_an_adapter_never_holds_against_who_has_the_base():
    assert "base model, which still knows" in judge(best()).adversary


def test_a_person_whose_row_is_still_likely_has_that_verdict_whatever_the_claim():
    evidence = best()
    after = rows(0.03)
    after.token_logps[1] = np.log(0.95)
    evidence = replace(evidence, measured={**evidence.measured, "after": after})
    claim = replace(judge(best()), level=3)  # as if the rule had missed it
    first, second = verdicts(evidence, claim, {"a": "Ada", "b": "Bo", "c": "Ada", "d": "Ada"}, Queries(10, 0.95))
    assert (first.name, first.worst_row) == ("Bo", "b") and first.verdict.startswith("not forgotten: 1 of 1")
    assert second.verdict == LEVELS[3] and second.exact == pytest.approx(1 - (1 - 0.03) ** 30, rel=1e-5)
