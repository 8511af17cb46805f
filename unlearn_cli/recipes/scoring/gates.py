"""The gates of `--fail-if`: judge them by scores or recoveries, show them, write them for CI. Loads no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from unlearn_cli.atomic import write_atomically
from unlearn_cli.attack_report import AttackReport
from unlearn_cli.config.expressions import RECOVERY
from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.parser import PLACES, ROWS, Condition, Lookup, Missing
from unlearn_cli.report import Score, Scores
from unlearn_cli.report_parts import GateReport

Why = Callable[[str, str, str], str | None]  # split, metric, moment -> the reason why there is no value


def lookup_in(scores: Scores) -> Lookup:
    """A lookup over a report's scores."""

    def find(split: str, metric: str, moment: str) -> float | None:
        return value_at(getattr(scores.get(split, {}).get(metric), measured_at(moment), None), moment)

    return find


def measured_at(moment: str) -> str:
    """The moment whose score an expression names; `min` and `max` belong to `after`."""
    return "after" if moment in ROWS else moment


def value_at(score: Score | None, moment: str) -> float | None:
    """The number of a score that an expression names: its value, or the smallest or largest value of a row."""
    return getattr(score, {"min": "smallest", "max": "largest"}.get(moment, "value"), None)


def holds(condition: Condition, scores: Scores, flag: str) -> bool:
    """Whether a condition holds of a report's scores.

    Raises:
        UnlearnError: a name in it has no value. `flag` is the option of the condition.
    """
    try:
        return condition.holds(lookup_in(scores))
    except Missing as error:
        raise UnlearnError(
            f"{flag} '{condition.text}': {error}", "`unlearn report show RUN` names what was measured"
        ) from None


def why_in(scores: Scores) -> Why:
    """A function that says why a report's scores have no value of a name."""

    def why(split: str, metric: str, moment: str) -> str | None:
        if split not in scores:
            return f"the report has no '{split}', only {', '.join(scores)}"
        if metric not in scores[split]:
            return "it was not scored"
        score = getattr(scores[split][metric], measured_at(moment), None)
        if score is not None:
            return score.reason or ("it has a value for the split, not for rows" if moment in ROWS else None)
        return {"baseline": "no --baseline was given", "before": "nothing was measured before"}.get(moment)

    return why


def recovery_of(attack: AttackReport, metric: str, place: str) -> float | None:
    """The value of ATTACK.METRIC.PLACE. `recovery` is by the metric that the attack shows; without a place, the largest."""
    recovery = attack.shown if metric == RECOVERY else attack.recovery.get(metric)
    place = "max" if place == "after" else place
    if place == "worst":  # of the single rows
        return max(recovery.worst.values(), default=None) if recovery else None
    return getattr(recovery, place, None) if place in PLACES else None  # a report may hold fields that are not ours


def why_no_recovery(attack: AttackReport, place: str) -> str | None:
    """The reason why an attack's recovery has no value at a place; None if it is not known."""
    if place == "worst":
        return "the report has no single rows: no row was known before, or an earlier version wrote it"
    return "no baseline was attacked in the same way" if place == "gain" and attack.upper_bound else None


def judge_all(gates: Sequence[Condition], scores: Scores) -> list[GateReport]:
    """The verdict of each gate by a report's scores."""
    return [judge(gate, lookup_in(scores), why_in(scores)) for gate in gates]


def judge(gate: Condition, lookup: Lookup, why: Why = lambda *_name: None) -> GateReport:
    """The verdict on a gate, with its values in words. A gate fails if it holds, or if a name has no value.

    Args:
        gate: the condition.
        lookup: (split, metric, moment) -> value.
        why: (split, metric, moment) -> the reason why there is no value, if it is known.
    """
    try:
        failed = gate.holds(lookup)
    except Missing as error:
        because = why(*error.name) if error.name else None
        reason = f"{error}: {because}" if because else str(error)
        return GateReport(expression=gate.text, failed=True, reason=reason, in_words=f"{gate} ({reason})")
    return GateReport(expression=gate.text, failed=failed, in_words=_in_words(gate, lookup, holds=failed))


def _in_words(gate: Condition, lookup: Lookup, *, holds: bool) -> str:
    """`forget.probability is 0.397 > 0.1`; for a longer expression, the expression with the value of each name."""
    values = {name: _rounded(value, gate.text) for name, value in gate.values(lookup).items() if value is not None}
    single = gate.single()
    if single is not None:
        name, limit = single
        return f"{name} is {values[name]} {limit}" if holds else f"{name} is {values[name]}, not {limit}"
    listed = ", ".join(f"{name} {value}" for name, value in values.items())
    return gate.text + ("" if holds else " does not hold") + (f" ({listed})" if listed else "")


def _rounded(value: float, text: str) -> str:
    """A value with three digits, or with more if rounding would move it across a number in the expression."""
    numbers = re.findall(r"(?<![\w.])\d*\.?\d+(?:e[+-]?\d+)?", text)
    limits = [sign * float(number) for number in numbers for sign in (1, -1)]  # a minus may be a sign or an operator
    for digits in (3, 6, 17):
        rounded = f"{value:.{digits}g}"
        if all((float(rounded) > x) == (value > x) and (float(rounded) < x) == (value < x) for x in limits):
            break
    return rounded


def line(gate: GateReport) -> str:
    """A verdict in a line. With `FAILED`, the exit code is 3."""
    return f"{'FAILED' if gate.failed else 'ok'}: {gate.in_words or gate.expression}"


def show(gates: Sequence[GateReport], reporter: Reporter) -> None:
    """Print a line for each gate. Failed gates are printed even if quiet, because they explain the exit code."""
    for gate in gates:
        reporter.say(line(gate), even_if_quiet=gate.failed)


def write_junit(gates: Sequence[GateReport], scores: Scores, path: Path) -> None:
    """Write the gates as test cases. Without gates, one skipped case: some dashboards refuse an empty file."""
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
            SubElement(case, "failure", message=gate.in_words or gate.expression)
    if not gates:
        SubElement(SubElement(suite, "testcase", classname="unlearn.gate", name="no --fail-if was given"), "skipped")
    write_atomically(path, tostring(suite, encoding="unicode", xml_declaration=True) + "\n")
