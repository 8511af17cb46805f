"""`--fail-if` of `unlearn compare`: gates over several runs."""

from __future__ import annotations

from collections.abc import Sequence

from unlearn_cli.config.expressions import RECOVERY, metric_names
from unlearn_cli.contract import ATTACKS
from unlearn_cli.expressions.parser import Condition, Lookup
from unlearn_cli.recipes.comparison.runs import Entry
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.report import FILE
from unlearn_cli.report_parts import GateReport


def judge_gates(conditions: Sequence[Condition], entries: Sequence[Entry]) -> list[GateReport]:
    """Judge gates by all runs. A gate fails if it holds for any run, or if a run has no value of a name in it."""
    reports = [report for entry in entries for report in entry.reports]
    known = {name for report in reports for metrics in report.scores.values() for name in metrics} | {RECOVERY}
    gate_reports = []
    for gate in conditions:
        gate.check_metrics([*metric_names(), *sorted(known)])
        by_run = {entry.name: gates.judge(gate, _lookup(entry), _reason(entry)) for entry in entries}
        failed = {name: verdict.in_words for name, verdict in by_run.items() if verdict.failed}
        message = "; ".join(f"{name}: {words}" for name, words in failed.items()) or f"{gate.text} holds for no run"
        gate_reports.append(
            GateReport(expression=gate.text, failed=bool(failed), reason=", ".join(failed) or None, in_words=message)
        )
    return gate_reports


def _lookup(entry: Entry) -> Lookup:
    """A lookup over one run: its scores, and the recovery under each attack."""

    def value(split: str, metric: str, moment: str) -> float | None:
        attack = entry.attacked(split) if ATTACKS.has(split) else None
        if attack is not None:
            return gates.recovery_of(attack, metric, moment)
        line = entry.report.attacks.get(split.replace("_", "-"))
        if line is not None and metric == RECOVERY:  # the attack's report was deleted
            return line.recovery if moment in ("after", "max") else None
        return entry.value(f"{split}.{metric}", moment)

    return value


def _reason(entry: Entry) -> gates.Why:
    """A function that says why one run has no value of a name."""
    scores = {name: metrics for report in entry.reports for name, metrics in report.scores.items()}

    def reason(split: str, metric: str, moment: str) -> str | None:
        if not ATTACKS.has(split):
            return gates.why_in(scores)(split, metric, moment)
        attack = entry.attacked(split)
        if attack is None:
            return f"not attacked: attacks/{split.replace('_', '-')}/{FILE} does not exist"
        return gates.why_no_recovery(attack, moment)

    return reason
