"""The contents of a record, section by section, as plain values for the template."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unlearn_cli import __version__
from unlearn_cli.attack_report import METRIC, AttackReport
from unlearn_cli.config import RecordConfig
from unlearn_cli.contract import ATTACKS
from unlearn_cli.evaluation.extraction import in_any_of
from unlearn_cli.lineage import DATA
from unlearn_cli.metrics._bounds import word_for_word
from unlearn_cli.recipes.auditing.chain import now
from unlearn_cli.recipes.auditing.claim import LEVELS, MEMBERSHIP, Claim
from unlearn_cli.recipes.auditing.evidence import Evidence
from unlearn_cli.recipes.auditing.people import EVERYBODY, Person
from unlearn_cli.rendering.tables import digits, interval, number
from unlearn_cli.report import Score
from unlearn_cli.report_parts import DataReport

WORST = 10  # rows that are listed
SHOWN = (  # SPLIT.METRIC, and what it is in plain words
    ("forget.probability", "probability of the answers to forget"),
    ("forget.rouge_l", "overlap of the generated answers with them (ROUGE-L)"),
    ("forget.extraction_strength", "share of an answer that follows by itself (extraction strength)"),
    ("forget.verbatim_extraction", "chance that any of 100 sampled answers begins with the true one"),
    ("retain.probability", "probability of the answers to keep"),
    ("retain_trained.probability", "probability of the answers to keep, on rows that were trained on"),
    ("retain.rouge_l", "overlap of the generated answers to keep (ROUGE-L)"),
    ("general.choice_accuracy", "general ability: share of 80 questions"),
    ("general_text.perplexity", "general ability: perplexity of 20 paragraphs (lower is better)"),
)
UNCONTROLLED = "no positive control, so whether it can succeed on these rows was not shown"
AGAIN = (
    "the model is rounded to fewer bits, merged, or trained further",
    "the base model is replaced, or another adapter is put on it",
    "rows of a person that are not listed here come to light",
    "an attack becomes known that is not listed here",
)


def content(evidence: Evidence, claim: Claim, people: Sequence[Person], config: RecordConfig) -> dict[str, Any]:
    """Everything that the template names. No text of a row is in it."""
    run = evidence.run
    return {
        "claim": claim,
        "levels": LEVELS[1:],
        "request_id": config.request_id,
        "date": now(),
        "version": __version__,
        "run": run,
        "data": {name: split for name, split in run.data.items() if name in ("forget", "retain", "holdout")},
        "model": run.model,
        "scores": list(_scores(evidence)),
        "has_baseline": any(both.baseline for metrics in evidence.scores.values() for both in metrics.values()),
        "people": people,
        "named": [person.name for person in people] != [EVERYBODY],
        "queries": config.queries,
        "confidence": f"{config.confidence:.4g}",
        "sampling": _sampling(evidence),
        "worst": _worst(evidence, config.queries),
        "attacks": [_attack(name, report) for name, report in evidence.attacks.items()],
        "untried": [(n, ATTACKS.summary(n)) for n in ATTACKS.names() if n not in evidence.attacks],
        "membership": list(_membership(evidence)),
        "accuracies": list(_accuracies(evidence)),
        "efficiency": list(_efficiency(evidence)),
        "files": evidence.files,
        "signature": _signature(evidence),
        "leak_at": f"{config.leak_at:g}",
        "derived": evidence.derived,
        "command": shlex.join(["unlearn", *run.command_line]),
        "reproduce": f"unlearn reproduce {shlex.quote(str(evidence.folder))}",
        "environment": _environment(run.environment),
        "rows_hash": _rows_hash(evidence, run.data.get("forget")),
        "seed": run.config.get("seed"),
        "again": AGAIN,
        "digits": digits,
        "chance": chance,
        "texts": run.texts,
    }  # fmt: skip


def chance(value: float | None) -> str:
    """A probability for people: 3.2 %, or below one in a million."""
    if value is None:
        return "not known"
    if value == 0:
        return "0"
    if value < 1e-6:
        return "less than 0.0001 %"
    return f"{100 * value:.2g} %" if value < 0.095 else f"{100 * value:.3g} %"


def _signature(evidence: Evidence) -> str | None:
    return evidence.signature.in_words(len(evidence.files.links)) if evidence.files and evidence.signature else None


def _scores(evidence: Evidence) -> Iterator[dict[str, str]]:
    for name, words in SHOWN:
        split, _, metric = name.partition(".")
        both = evidence.scores.get(split, {}).get(metric)
        if both is None or both.after is None or both.after.value is None:
            continue
        if name.startswith("retain.") and "retain_trained" in evidence.scores:
            words += ", on rows that were not trained on"
        yield {
            "name": name, "words": words, "before": number(both.before), "after": number(both.after),
            "interval": interval(both.after), "baseline": number(both.baseline), "rows": str(both.after.n),
            "better": {"min": "lower", "max": "higher"}.get(both.after.target or "", "as the baseline"),
        }  # fmt: skip


def _sampling(evidence: Evidence) -> str | None:
    """How answers were sampled, in words; None where none were."""
    later = evidence.evaluation or evidence.run
    measured = evidence.measured.get("after")
    if measured is None or not any(measured.samples or ()):
        return None
    mass = later.config.get("sample_top_p", 1.0)
    kept = "all tokens" if mass == 1 else f"the likeliest tokens up to {mass:g} of the probability, and no others"
    return f"temperature {later.config.get('sample_temperature', 1.0):g}, {kept}"


def _worst(evidence: Evidence, queries: int) -> list[dict[str, Any]]:
    """The likeliest rows after, by id."""
    after, before = evidence.measured.get("after"), evidence.measured.get("before")
    if after is None:
        return []
    earlier = dict(zip(before.ids, before.probabilities, strict=True)) if before else {}
    exact = word_for_word(after)
    order = np.argsort(-after.probabilities, kind="stable")[:WORST]
    return [
        {
            "id": after.ids[row],
            "before": digits(float(earlier[after.ids[row]])) if after.ids[row] in earlier else "",
            "after": digits(float(after.probabilities[row])),
            "exact": chance(float(exact[row])),
            "exact_any": chance(in_any_of([float(exact[row])], queries)),
        }
        for row in order
    ]


def _attack(name: str, report: AttackReport) -> dict[str, Any]:
    """One attack in a line: what it needs, its budget, what it brings back, its controls."""
    result = report.shown
    roles = sorted({curve.role for curve in report.curves} - {"unlearned"})
    settings = [curve.parameters for curve in report.curves if curve.role == "unlearned"]
    budget = {key: sorted({str(s[key]) for s in settings if key in s}) for key in (settings[0] if settings else {})}
    return {
        "name": name,
        "access": ATTACKS.get(name).access if ATTACKS.has(name) else "",
        "budget": "; ".join(f"{key} {', '.join(values)}" for key, values in budget.items()),
        "rows": f"{report.judged_rows} judged, {report.attacker_rows} given to the attacker",
        "recovery": "not known" if result.max is None else f"{result.max:.0%}{_by(report)}",
        "worst": ", ".join(f"{row} {value:.0%}" for row, value in result.worst.items()) or "not known",
        "interval": f"{result.ci[0]:.0%} to {result.ci[1]:.0%}" if result.ci else "none",
        "at": "" if result.at is None else f"{report.along} {result.at}",
        "controls": ", ".join(roles) or "none",
        "can_succeed": report.control.in_words(name) if report.control else f"{name}: {UNCONTROLLED}",
        "upper": report.upper_bound,
    }


def _by(report: AttackReport) -> str:
    return "" if report.shown_metric == METRIC else f" by {report.shown_metric}"


def _membership(evidence: Evidence) -> Iterator[dict[str, str]]:
    for metric in MEMBERSHIP:
        score = evidence.score(f"privacy.{metric}")
        if score is not None:
            yield {
                "name": metric, "after": number(score), "interval": interval(score),
                "baseline": number(evidence.score(f"privacy.{metric}", "baseline")),
                "low": _rate(score, "tpr_at_1_percent_fpr"), "lowest": _rate(score, "tpr_at_0.1_percent_fpr"),
            }  # fmt: skip


def _accuracies(evidence: Evidence) -> Iterator[str]:
    """Accuracies in two meanings: on the questions of a benchmark, and on all that it could have asked."""
    for split, metrics in evidence.scores.items():
        for metric, both in metrics.items():
            if both.after and both.after.value is not None and "generalized_low" in (limits := both.after.details):
                ends = [digits(limits[f"{name}_{end}"]) for name in ("benchmark", "generalized") for end in ("low", "high")]
                listed = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
                yield f"{split}.{metric}: {listed} on the questions of the list, {ends[2]} to {ends[3]} on all of the kind"


def _rate(score: Score, name: str) -> str:
    return chance(score.details[name]) if name in score.details else ""


def _efficiency(evidence: Evidence) -> Iterator[tuple[str, str]]:
    run = evidence.run
    if run.seconds:
        yield "seconds", f"{sum(run.seconds.values()):,.1f} in all, {run.seconds.get('train', 0):,.1f} of training"
    if (cost := run.efficiency) is not None:
        known = cost.energy_joules is not None
        yield "energy", f"{cost.energy_joules:,.0f} J, {cost.energy_source}" if known else "not known"
        yield "tokens trained on", f"{cost.tokens:,}"
        if cost.share_of_retraining is not None:
            of = f"of the {cost.retraining_tokens:,} tokens of five epochs over the rows to keep"
            yield "training anew", f"{cost.share_of_retraining:.0%} {of}; to train a whole model anew takes far more"
    for phase, value in run.peak_memory.items():
        yield f"peak memory ({phase})", f"{value / 2**20:,.0f} MiB"


def _environment(environment: dict[str, Any]) -> str:
    packages = ", ".join(f"{n} {v}" for n, v in environment.get("packages", {}).items() if v)
    machine = ", ".join(environment.get("devices") or ["CPU"])
    return f"unlearn {environment.get('unlearn')}, Python {environment.get('python')}, {machine}; {packages}"


def _rows_hash(evidence: Evidence, data: DataReport | None) -> str:
    links = evidence.files.links if evidence.files else []
    return (links[0].read.get(f"{DATA}/forget") if links else None) or (data.sha256 if data else "")
