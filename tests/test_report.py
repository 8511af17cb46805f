"""The reports as others write them: a later version may have added fields."""

from __future__ import annotations

import json
import math
import re

import pytest

from tests.cli.comparing import attack_report, write_run
from unlearn_cli.attack_report import AttackReport, read_attack
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.scoring.gates import recovery_of
from unlearn_cli.report import RunReport, Score, read_report, write_report
from unlearn_cli.report_parts import GateReport, Part

FULL = RunReport(
    command="forget", status="completed", command_line=[], started="", config={"model": "m", "method": "npo"},
    config_sources={}, environment={}, scores={"forget": {"probability": {"after": Score(value=0.5, n=3)}}}, gates=[],
    attacks={"relearn": {"verdict": "", "recovery": 0.1, "upper_bound": True}},
    training={
        "steps": 1, "steps_planned": 1, "epochs": 1, "effective_batch": 1, "retain_rows_per_step": 0, "tokens": 1,
        "tokens_per_second": 1, "real_token_share": 1, "seconds_per_step": 1, "forget_loss": None, "retain_loss": None,
        "grad_norm_max": None, "reference_seconds": 0, "activation_checkpointing": False,
        "trajectory": [{"step": 1, "scores": {}}],
    },
)  # fmt: skip


def with_more(value):
    """As JSON, with a field nobody knows in every part."""
    if isinstance(value, Part):
        return {name: with_more(one) for name, one in value} | {"of_a_later_version": 1}
    if isinstance(value, dict):
        return {key: with_more(one) for key, one in value.items()}
    return [with_more(one) for one in value] if isinstance(value, (list, tuple)) else value


def test_fields_of_a_later_version_are_passed_over_and_kept(tmp_path):
    later = with_more(FULL)
    assert "of_a_later_version" in later["scores"]["forget"]["probability"]["after"]
    (tmp_path / "report.json").write_text(json.dumps(later))
    report = read_report(tmp_path)
    assert report.scores["forget"]["probability"].after.value == 0.5 and report.training.trajectory[0].step == 1
    write_report(report, tmp_path / "again")
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    assert again["of_a_later_version"] == again["training"]["of_a_later_version"] == 1, "an attack writes the report again"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"generate_limit": [[1]]}, "config: generate_limit: must be a valid integer"),
        ({"retain_ratio": "2"}, "config: retain_ratio: "),
        ({"columns": ["a", 1]}, "config: columns.1: "),
        ({"epochs": True}, "config: epochs: "),
        ({"method": ["npo"]}, "config: method: "),
        ({"parameters": [1]}, "config: parameters: "),
        ({"model": None}, "its config names no model"),
    ],
)
def test_settings_of_another_kind_than_a_command_writes_are_refused(tmp_path, settings, problem):
    """`compare` and the next commands of a verdict calculate with them."""
    write_report(FULL.model_copy(update={"config": FULL.config | settings}), tmp_path)
    with pytest.raises(UnlearnError, match=re.escape(problem)):
        read_report(tmp_path)


def test_so_are_those_of_an_attack(tmp_path):
    data = {
        "attack": "relearn", "along": "steps", "run": "r", "verdict": "", "upper_bound": True, "config": {},
        "environment": {}, "forget_sha256": "", "judged_rows": 1, "attacker_rows": 1, "overlap": 0, "seconds": 1,
        "curves": [{"role": "original", "parameters": {}, "points": [{"at": 0, "forget": {}, "later": 1}], "later": 1}],
        "recovery": {"probability": RECOVERY}, "later": 1,
    }  # fmt: skip
    (tmp_path / "report.json").write_text(json.dumps(data))
    assert read_attack(tmp_path).curves[0].points[0].at == 0


RECOVERY = {"start": None, "max": math.nan, "ci": None, "at": None, "parameters": {}, "gain": None, "points": [], "later": 1}


@pytest.mark.parametrize(("attack", "missing"), [("relearn", "probability"), ("sample", "rouge_l")])
def test_an_attack_without_what_is_shown_of_it_is_refused(tmp_path, attack, missing):
    """And NaN, which no report of ours holds, is no value."""
    whole = attack_report(attack)
    assert whole.shown_metric == missing
    report = json.loads(whole.model_dump_json())
    del report["recovery"][missing]
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(UnlearnError, match=f"is no report of an attack: recovery: it has none by {missing}"):
        read_attack(tmp_path)
    report["recovery"][missing] = RECOVERY
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert read_attack(tmp_path).recovery[missing].max is None


@pytest.mark.parametrize(
    ("attack", "by", "upper_bound", "came_back"),
    [
        ("relearn", "probability", False, True),
        ("relearn", "rouge_l", False, False),
        ("relearn", "probability", True, True),
        ("sample", "probability", False, False),
        ("sample", "rouge_l", False, True),
        ("sample", "rouge_l", True, False),  # a model that never had the rows scores on it as well
    ],
)
def test_what_came_back_is_judged_by_what_the_attack_shows(attack, by, upper_bound, came_back):
    whole = attack_report(attack, upper_bound=upper_bound)
    low = {name: one.model_copy(update={"max": 0.3 if name == by else 0.05}) for name, one in whole.recovery.items()}
    report = whole.model_copy(update={"recovery": low})
    assert report.came_back == came_back
    assert recovery_of(report, "recovery", "max") == (0.3 if by == report.shown_metric else 0.05)


def test_nan_in_a_report_is_no_value(tmp_path):
    """A gate would pass: NaN is above nothing."""
    report = json.loads((write_run(tmp_path, {"forget.probability": [0.5]}) / "report.json").read_text())
    report["scores"]["forget"]["probability"]["after"]["value"] = math.nan
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert read_report(tmp_path).scores["forget"]["probability"].after.value is None


@pytest.mark.parametrize("model", [RunReport, AttackReport])
def test_the_schema_lets_fields_be_added(model):
    whole = model.model_json_schema()
    for part in (whole, *whole["$defs"].values()):
        assert part.get("additionalProperties") is not False


def test_the_former_name_of_a_field_is_read():
    assert GateReport.model_validate({"expression": "a", "failed": True, "told": "why"}).in_words == "why"
    assert GateReport(expression="a", failed=True, in_words="why").model_dump()["in_words"] == "why"


def test_a_report_prints_as_a_line_and_shows_itself_as_a_table():
    report = FULL.model_copy(deep=True)
    both = report.scores["forget"]["probability"]
    both.before, both.after.ci = Score(value=0.9753, n=3), (0.25, 0.75)
    report.scores["forget"]["<odd>"] = both.model_copy(update={"after": Score(value=None, n=0, reason="no <wrong> answers")})
    assert (
        repr(report) == str(report) == "<RunReport forget npo on measurements: completed; forget.probability 0.975 -> 0.500>"
    )
    first, second = report.table()
    assert (first["split"], first["metric"], first["before"], first["after"]) == ("forget", "probability", 0.9753, 0.5)
    assert (first["low"], first["high"], first["n"], first["baseline"]) == (0.25, 0.75, 3, None)
    assert second["after"] is None and second["reason"] == "no <wrong> answers" and first.keys() == second.keys()
    page = report._repr_html_()
    assert "<th>before</th>" in page and "<td>0.975</td>" in page
    assert "<th>baseline</th>" not in page  # a column without any value
    assert "&lt;wrong&gt;" in page and "<wrong>" not in page


@pytest.mark.parametrize("model", [RunReport, AttackReport])
def test_every_field_is_described(model):
    schema = model.model_json_schema()
    blank = [
        f"{name}.{key}" for name, part in {model.__name__: schema, **schema["$defs"]}.items()
        for key, field in part["properties"].items() if not field.get("description")
    ]  # fmt: skip
    assert blank == []


def test_a_folder_of_runs_or_a_model_is_no_run_and_the_hint_says_what_it_is(tmp_path):
    for name in ("b", "a", "c", "d", "e", "f", "g"):
        write_run(tmp_path / "runs" / name, {"forget.probability": [0.5]})
    with pytest.raises(UnlearnError, match="is not a run folder") as raised:
        read_report(tmp_path / "runs")
    listed = (raised.value.hint or "").removeprefix("runs in it: ").split(", ")
    assert listed[:2] == [str(tmp_path / "runs" / name) for name in "ab"] and listed[-1] == "..."
    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "config.json").write_text("{}")
    with pytest.raises(UnlearnError) as raised:
        read_report(tmp_path / "my model")
    assert f"unlearn evaluate --model '{tmp_path / 'my model'}' -f FILE --json" in (raised.value.hint or "")


@pytest.mark.parametrize(("steps", "state"), [((), "no step is kept"), ((4, 17), "step 17")])
def test_an_unfinished_run_of_a_sweep_goes_on_with_the_sweep(tmp_path, steps, state):
    run = tmp_path / "sweep" / "npo"
    (run / "checkpoints").mkdir(parents=True)
    (run / "plan.json").write_text('{"steps": 25}')
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    for step in steps:
        (run / "checkpoints" / f"step-{step:07d}.pt").touch()
    with pytest.raises(UnlearnError, match=re.escape(f"has not finished ({state})")) as raised:
        read_report(run)
    assert raised.value.hint == "the same `unlearn sweep` command goes on"
