"""The table and the model card show what the report says."""

import io
import re

import pytest
import yaml
from rich.console import Console

from tests.cli.running import QUICK, data_arguments, unlearn
from unlearn_cli.rendering.documents import model_card
from unlearn_cli.rendering.tables import improved, interval, number, scores_table
from unlearn_cli.report import Compared, Score, Verdict, read_report


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendering")
    unlearn("forget", *data_arguments(folder), *QUICK, "-o", folder / "run")
    return read_report(folder / "run")


def test_the_card_claims_nothing_that_its_verdict_denies(report):
    card = model_card(report.model_copy(update={"verdict": Verdict(word="NO EFFECT", why="nothing moved")}))
    aim, verdict = card.index(" forgets "), card.index("**NO EFFECT**: nothing moved")
    assert card.index("The aim of this ") < aim < verdict and " makes " not in card


def test_the_card_has_readable_metadata_and_every_score_there_is(report):
    card = model_card(report)
    _, metadata, text = card.split("---\n", 2)
    assert yaml.safe_load(metadata)["tags"] == ["unlearning", "lora"]
    for split, metrics in report.scores.items():
        for metric, both in metrics.items():
            there = both.before.value is not None or both.after.value is not None
            assert (f"| {split} {metric} | {number(both.before)} | {number(both.after)} |" in text) == there
            assert (f"| {split} {metric} |" in text) == there
    assert "| - |" not in text
    assert report.data["forget"].sha256 in text and "no proof of erasure" in text


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_and_breaks_no_number(report, width):
    out = io.StringIO()
    Console(file=out, width=width).print(scores_table(report, everything=True))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for metric, both in report.scores["forget"].items():
        if both.after.value is None:
            continue
        line = next(line for line in lines if line.split()[:1] in ([metric], [f"forget.{metric}"]))
        assert number(both.before) in line and number(both.after) in line and interval(both.after) in line


@pytest.mark.parametrize("width", [40, 60])
def test_a_narrow_table_keeps_every_number_and_its_arrow(report, width):
    out = io.StringIO()
    Console(file=out, width=width).print(scores_table(report))
    text = out.getvalue()
    assert "…" not in text and "interval" not in text and max(map(len, text.splitlines())) <= width
    for metric, both in report.scores["forget"].items():
        numbers = f"{number(both.before)}  {number(both.after)}  ↓"
        assert both.after.value is None or metric not in ("probability", "rouge_l") or numbers in text


@pytest.mark.parametrize("width", [50, 60, 80])
def test_an_attack_on_a_narrow_terminal_keeps_its_numbers_and_roles(width):
    from unlearn_cli.attack_report import AttackReport, CurveReport, PointReport, RecoveryPoint, RecoveryReport
    from unlearn_cli.rendering.attacks import ROLES, attack_table

    places = ("mixed-case-after", "mixed-case-before")
    points = [RecoveryPoint(at=at, parameters={}, value=0.25, ci=(0.125, 0.5), gain=None, retain=0.875) for at in places]
    measured = [PointReport(at=at, forget={"probability": 0.123}, retain={}, details={}) for at in places]
    attack = AttackReport.model_construct(
        attack="prompts", along="wording", judged_rows=8,
        curves=[CurveReport(role=role, parameters={}, points=measured) for role in ROLES],
        recovery={"probability": RecoveryReport.model_construct(parameters={}, points=points)},
    )  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=width).print(attack_table(attack))
    text = out.getvalue()
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    roles = ROLES if width >= 80 else ROLES[:-1]  # the control is named last
    assert all(role in text for role in (*roles, "recovery", "retain")) and ("control" in text) == ("control" in roles)
    numbers = ["0.123"] * len(roles) + ["0.25", *(["0.12 to 0.50"] if width >= 80 else []), "0.875"]
    assert len(re.findall(" +".join(map(re.escape, numbers)), text)) == 2
    rows = text.partition("retain")[2].splitlines()[1:]
    assert "".join(line.split()[0] for line in rows) == "".join(places)  # folded, not cut


def test_fluency_that_did_not_change_is_shown_on_demand(report):
    def shown(**flags):
        out = io.StringIO()
        Console(file=out, width=100).print(scores_table(report.model_copy(update={"scores": scores}), **flags))
        return out.getvalue()

    same, other = Score(value=0.25, n=4, target="min"), Score(value=0.75, n=4, target="min")
    pairs = {"repetition": (same, same), "empty_answers": (same, other), "probability": (same, same)}
    scores = {"forget": {name: Compared(before=a, after=b) for name, (a, b) in pairs.items()}}
    assert "repetition" not in shown() and "empty_answers" in shown() and "probability" in shown()
    assert "repetition" in shown(everything=True)


def test_a_missing_value_is_a_dash_and_no_number():
    missing = Score(value=None, n=0, reason="no answer was generated")
    assert number(missing) == "-" and number(None) == "" and interval(missing) == ""


@pytest.mark.parametrize(
    ("target", "before", "after", "good"),
    [
        ("min", 0.9, 0.1, True),
        ("min", 0.1, 0.9, False),
        ("max", 0.9, 0.1, False),
        ("max", 0.9, 0.9, True),
        (None, 0.9, 0.1, None),
    ],
)
def test_colors_follow_the_target(target, before, after, good):
    both = Compared(before=Score(value=before, n=1, target=target), after=Score(value=after, n=1, target=target))
    assert improved(both) is good
