"""The gates: what an expression finds in a report, why it finds nothing, and what dashboards are given."""

from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.parser import parse
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.report import Compared, Score
from unlearn_cli.report_parts import GateReport

SCORES = {
    "forget": {
        "probability": Compared(after=Score(value=0.25, n=2, smallest=0.125, largest=0.375)),
        "nll": Compared(after=Score(value=None, n=0, reason="no row has a value")),
    },
    "utility": {"model_utility": Compared(after=Score(value=0.5, n=3))},
}


def judged(text: str) -> GateReport:
    (gate,) = gates.judge_all([parse(text, metrics=["probability", "nll", "model_utility", "rouge_l"])], SCORES)
    return gate


@pytest.mark.parametrize("text", [
    "forget.probability == 0.25", "forget.probability.min == 0.125", "forget.probability.max == 0.375",
])  # fmt: skip
def test_the_mean_and_the_outermost_rows(text: str) -> None:
    assert judged(text).failed and judged(text).reason is None


@pytest.mark.parametrize(("name", "why"), [
    ("forget.nll", "forget.nll.after has no value: no row has a value"),
    ("forget.nll.max", "forget.nll.max has no value: no row has a value"),
    ("forget.rouge_l", "forget.rouge_l.after has no value: it was not scored"),
    ("holdout.nll", "holdout.nll.after has no value: the report has no 'holdout', only forget, utility"),
    ("utility.model_utility.min", "utility.model_utility.min has no value: it has a value for the split, not for rows"),
    ("forget.probability.before", "forget.probability.before has no value: nothing was measured before"),
    ("forget.probability.baseline", "forget.probability.baseline has no value: no --baseline was given"),
])  # fmt: skip
def test_a_gate_without_a_value_fails_and_says_why(name: str, why: str) -> None:
    gate = judged(f"{name} < 1")
    assert gate.failed and gate.reason == why and gates.line(gate) == f"FAILED: {name} < 1 ({why})"


def test_a_condition_of_a_run_needs_its_values() -> None:
    metrics = ["probability", "nll"]
    assert gates.holds(parse("forget.probability > 0.2", metrics=metrics), SCORES, "--keep")
    assert not gates.holds(parse("forget.probability > 0.3", metrics=metrics), SCORES, "--keep")
    with pytest.raises(UnlearnError, match=r"--keep 'forget.nll > 0': forget.nll.after has no value"):
        gates.holds(parse("forget.nll > 0", metrics=metrics), SCORES, "--keep")


def test_a_recovery_by_metric_and_place() -> None:
    recovery = {
        "probability": SimpleNamespace(max=0.75, start=0.25, area=0.5, gain=None, worst={"b": 0.875, "a": 0.8}),
        "rouge_l": SimpleNamespace(max=0.625, start=0.125, area=0.375, gain=0.0625, worst={}),
    }
    attack = SimpleNamespace(recovery=recovery, shown=recovery["probability"], upper_bound=True)
    recoveries = [gates.recovery_of(attack, *name) for name in (
        ("recovery", "after"), ("recovery", "start"), ("rouge_l", "after"), ("rouge_l", "gain"), ("nll", "max"),
        ("recovery", "worst"), ("rouge_l", "worst"), ("nll", "worst"),
    )]  # fmt: skip
    assert recoveries == [0.75, 0.25, 0.625, 0.0625, None, 0.875, None, None]
    assert "no row was known before" in (gates.why_no_recovery(attack, "worst") or "")
    assert gates.why_no_recovery(attack, "gain") == "no baseline was attacked in the same way"
    assert gates.why_no_recovery(attack, "max") is None
    assert gates.why_no_recovery(SimpleNamespace(upper_bound=False), "gain") is None


@pytest.mark.parametrize(("value", "text", "rounded"), [
    (0.39651, "forget.nll > 0.1", "0.397"),
    (0.10004, "forget.nll > 0.1", "0.10004"),  # 0.1 would lie on the limit
    (0.09996, "forget.nll > 0.1", "0.09996"),
    (0.1, "forget.nll > 0.1", "0.1"),
    (0.1000000000001, "forget.nll > 0.1", "0.1000000000001"),
    (-0.50004, "forget.nll < -0.5", "-0.50004"),
    (0.50004, "1 - 0.5 < forget.nll", "0.50004"),
    (1.2346e-5, "forget.nll < 1.2345e-5", "1.2346e-05"),
])  # fmt: skip
def test_a_value_is_rounded_to_its_side_of_the_limit(value: float, text: str, rounded: str) -> None:
    assert gates._rounded(value, text) == rounded


def test_gates_as_test_cases(tmp_path) -> None:
    path = tmp_path / "ci" / "gates" / "junit.xml"
    verdicts = [judged(text) for text in ("forget.probability > 0.2", "forget.probability > 0.3", "forget.nll > 0")]
    gates.write_junit(verdicts, SCORES, path)
    suite = ElementTree.parse(path).getroot()
    assert suite.attrib == {"name": "unlearn evaluate", "tests": "3", "failures": "2"}
    assert [(one.get("name"), one.get("value")) for one in suite.iter("property")] == [
        ("forget.probability", "0.25"), ("utility.model_utility", "0.5"),
    ]  # fmt: skip
    failures = [
        None if (failure := case.find("failure")) is None else failure.get("message") for case in suite.iter("testcase")
    ]
    assert failures == [
        "forget.probability is 0.25 > 0.2",
        None,
        "forget.nll > 0 (forget.nll.after has no value: no row has a value)",
    ]
    gates.write_junit([], {}, path)  # again, in the folder that is there
    suite = ElementTree.parse(path).getroot()
    (case,) = suite.iter("testcase")
    assert suite.get("tests") == "1" and suite.get("failures") == "0" and case.find("skipped") is not None


def test_failed_gates_are_said_even_if_quiet() -> None:
    said = []
    reporter = SimpleNamespace(say=lambda text, even_if_quiet: said.append((text, even_if_quiet)))
    gates.show([judged("forget.probability > 0.2"), judged("forget.probability > 0.3")], reporter)
    assert said == [("FAILED: forget.probability is 0.25 > 0.2", True), ("ok: forget.probability is 0.25, not > 0.3", False)]


def test_fields_of_a_report_that_are_not_ours_are_no_recovery() -> None:
    """A stranger's report may have any field: a text in `before` would be compared with a number."""
    attack = SimpleNamespace(shown=SimpleNamespace(max=0.3, before="a text", at=5), upper_bound=True)
    assert gates.recovery_of(attack, "recovery", "before") is None
    assert gates.judge(parse("relearn.recovery.before > 0.1", metrics=["recovery"]),
                       lambda split, *name: gates.recovery_of(attack, *name)).failed  # fmt: skip
