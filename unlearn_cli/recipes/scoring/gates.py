"""`--fail-if` and its verdicts, without a model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from unlearn_cli.atomic import write_atomically
from unlearn_cli.attack_report import AttackReport
from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.expressions.parser import Expression, Lookup, Missing, lookup_in, parse
from unlearn_cli.report import GateReport, Scores

Why = Callable[[str, str, str], str | None]  # split, metric, moment -> why it has no value


def parsed(expressions: tuple[str, ...], also: tuple[str, ...] = ()) -> list[Expression]:
    """The expressions of `--fail-if`; `also`: names that count as metrics where these expressions stand.

    Raises:
        UnlearnError: one that is none.
    """
    return [parse(text, metrics=[*also, *(name.replace("-", "_") for name in METRICS.names())]) for text in expressions]


def judged(gates: list[Expression], scores: Scores) -> list[GateReport]:
    """What became of each; a metric that is missing fails it."""
    return [judge(gate, lookup_in(scores), why_in(scores)) for gate in gates]


def judge(gate: Expression, lookup: Lookup, why: Why = lambda *_name: None) -> GateReport:
    """One verdict, with its values in words.

    Args:
        gate: the expression; it fails where this holds, or cannot be told.
        lookup: (split, metric, moment) -> value.
        why: the same -> why there is none, where that is known.
    """
    try:
        held = gate.holds(lookup)
    except Missing as error:
        because = why(*error.name) if error.name else None
        reason = f"{error}: {because}" if because else str(error)
        return GateReport(expression=gate.text, failed=True, reason=reason, told=f"{gate.text} ({reason})")
    return GateReport(expression=gate.text, failed=held, told=told(gate, lookup, held=held))


def told(gate: Expression, lookup: Lookup, *, held: bool) -> str:
    """`forget.probability is 0.397 > 0.1`, or a longer expression with the value of each of its names."""
    values = {name: _shown(value, gate.text) for name, value in gate.values(lookup).items() if value is not None}
    single = gate.single()
    if single is not None:
        name, limit = single
        return f"{name} is {values[name]} {limit}" if held else f"{name} is {values[name]}, not {limit}"
    listed = ", ".join(f"{name} {value}" for name, value in values.items())
    return gate.text + ("" if held else " does not hold") + (f" ({listed})" if listed else "")


def recovered(attack: AttackReport, metric: str, place: str) -> float | None:
    """What ATTACK.METRIC.PLACE means in every command: `recovery` is of the probability, and no place means the largest."""
    found = attack.recovery.get("probability" if metric == "recovery" else metric)
    return getattr(found, "max" if place == "after" else place, None)


def why_not_recovered(attack: AttackReport, place: str) -> str | None:
    """Why an attack that was made has no value of its recovery there, where that is known."""
    return "no baseline was attacked in the same way" if place == "gain" and attack.upper_bound else None


def line(gate: GateReport) -> str:
    """A verdict for people; `FAILED` is what makes the exit code 3."""
    return f"{'FAILED' if gate.failed else 'ok'}: {gate.told or gate.expression}"


def tell(gates: list[GateReport], reporter: Reporter) -> None:
    """One line for each; those that failed even if quiet, because they are the reason of the exit code."""
    for gate in gates:
        reporter.say(line(gate), even_if_quiet=gate.failed)


def _shown(value: float, text: str) -> str:
    """Three digits, or as many as it takes to lie on the same side of every number in the expression."""
    found = re.findall(r"(?<![\w.])\d*\.?\d+(?:e[+-]?\d+)?", text)
    limits = [sign * float(number) for number in found for sign in (1, -1)]  # a minus may be a sign, or stand between names
    for digits in (3, 6, 17):
        shown = f"{value:.{digits}g}"
        if all((float(shown) > x) == (value > x) and (float(shown) < x) == (value < x) for x in limits):
            break
    return shown


def why_in(scores: Scores) -> Why:
    """Why a report's scores lack a value."""

    def why(split: str, metric: str, moment: str) -> str | None:
        if split not in scores:
            return f"the report has no '{split}', only {', '.join(scores)}"
        if metric not in scores[split]:
            return "it was not scored"
        score = getattr(scores[split][metric], moment, None)
        if score is not None:
            return score.reason
        return {"baseline": "no --baseline was given", "before": "nothing was measured before"}.get(moment)

    return why


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
            SubElement(case, "failure", message=gate.told or gate.expression)
    if not gates:
        SubElement(SubElement(suite, "testcase", classname="unlearn.gate", name="no --fail-if was given"), "skipped")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, tostring(suite, encoding="unicode", xml_declaration=True) + "\n")
