"""`--fail-if` and its verdicts, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.evaluation.gates import Expression, Missing, lookup_in, parse
from unlearn_cli.report import GateReport, Scores, write_text


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


def write_junit(gates: list[GateReport], scores: Scores, path: Path) -> None:
    """The gates as test cases; without gates one case that says so, because some dashboards refuse an empty file."""
    suite = Element("testsuite", name="unlearn evaluate", tests=str(len(gates) or 1))
    suite.set("failures", str(sum(gate.failed for gate in gates)))
    properties = SubElement(suite, "properties")
    for split, metrics in scores.items():
        for metric, both in metrics.items():
            if both.after is not None and both.after.value is not None:
                SubElement(properties, "property", name=f"{split}.{metric}", value=repr(both.after.value))
    for gate in gates:
        case = SubElement(suite, "testcase", classname="unlearn.gate", name=gate.expression)
        if gate.failed:
            SubElement(case, "failure", message=gate.reason or f"holds: {gate.expression}")
    if not gates:
        SubElement(SubElement(suite, "testcase", classname="unlearn.gate", name="no --fail-if was given"), "skipped")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, tostring(suite, encoding="unicode", xml_declaration=True) + "\n")


def _judge(gate: Expression, scores: Any) -> GateReport:
    try:
        return GateReport(expression=gate.text, failed=gate.holds(lookup_in(scores)))
    except Missing as error:
        return GateReport(expression=gate.text, failed=True, reason=str(error))
