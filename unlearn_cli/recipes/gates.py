"""`--fail-if` and its verdicts, without a model."""

from __future__ import annotations

from typing import Any

from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.evaluation.gates import Expression, Missing, lookup_in, parse
from unlearn_cli.report import GateReport, Scores


def parsed(expressions: tuple[str, ...]) -> list[Expression]:
    """The expressions of `--fail-if`.

    Raises:
        UnlearnError: one that is none.
    """
    return [parse(text, metrics=[name.replace("-", "_") for name in METRICS.names()]) for text in expressions]


def judged(gates: list[Expression], scores: Scores) -> list[GateReport]:
    """What became of each; a metric that is missing fails it."""
    return [_judge(gate, scores) for gate in gates]


def tell(gates: list[GateReport], reporter: Reporter) -> None:
    """One line for each."""
    for gate in gates:
        verdict = "FAILED" if gate.failed else "passed"
        reporter.say(f"gate {verdict}: {gate.expression}" + (f" ({gate.reason})" if gate.reason else ""))


def _judge(gate: Expression, scores: Any) -> GateReport:
    try:
        return GateReport(expression=gate.text, failed=gate.holds(lookup_in(scores)))
    except Missing as error:
        return GateReport(expression=gate.text, failed=True, reason=str(error))
