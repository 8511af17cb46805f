"""`unlearn relearn-attack` on the demo's model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.running import (
    BASELINE,
    MODEL,
    QUICK,
    changed_a_little,
    data_arguments,
    knowing_model,
    read_report,
    unlearn,
    write_rows,
)
from tests.laws.test_hints import pasted
from unlearn_cli.attack_report import read_attack
from unlearn_cli.recipes.attacking import execution

FEW = ("--generate-limit", 2, "--max-new-tokens", 8, "--bootstrap-samples", 50)
STEPS = ("-p", "steps=0+2+4")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attack")
    assert unlearn("forget", *data_arguments(folder), *QUICK, "-o", folder / "run").exit_code in (0, 4)
    return folder / "run"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Curves of models that are no run, kept for this module alone."""
    monkeypatch.setenv("UNLEARN_CACHE", str(tmp_path_factory.getbasetemp() / "curves"))


def attacked(run: Path, *flags: object) -> dict:
    result = unlearn("relearn-attack", run, *FEW, *flags, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["attacks"]


def test_relearning_with_its_controls(run: Path) -> None:
    report = attacked(run, "--baseline", BASELINE, *STEPS)["relearn"]
    roles = {curve["role"] for curve in report["curves"]}
    assert roles == {"unlearned", "original", "baseline"}
    assert [p["at"] for p in report["curves"][0]["points"]] == [0, 2, 4]
    assert report["judged_rows"] == 4 and report["attacker_rows"] == 4 and not report["upper_bound"]
    back = report["recovery"]["probability"]
    assert back["max"] is not None and back["at"] in (2, 4) and back["ci"][0] <= back["max"] <= back["ci"][1]
    assert back["start"] is not None and back["gain"] is not None and back["area"] is not None
    row, worst = next(iter(back["worst"].items()))
    assert worst >= back["max"] and f". The worst row is {row}: {worst:.0%} of it comes back" in report["verdict"]
    assert read_attack(run / "attacks" / "relearn" / "report.json").verdict == report["verdict"]
    assert read_report(run)["attacks"]["relearn"]["recovery"] == back["max"]


def test_finished_curves_are_kept_and_equal(run: Path, tmp_path: Path) -> None:
    """A copy without one of its curves makes that one anew, and the report is the same to the last digit."""
    one = attacked(run, "--baseline", BASELINE, *STEPS)["relearn"]
    again = unlearn("relearn-attack", run, "--baseline", BASELINE, *FEW, *STEPS)
    assert "stored by an earlier call: 6 of 6 curves" in again.stderr
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (kept,) = (copy / "attacks" / "relearn" / "curves").glob("*.json")
    kept.unlink()
    two = attacked(copy, "--baseline", BASELINE, *STEPS)["relearn"]
    assert two["curves"] == one["curves"] and two["recovery"] == one["recovery"]


def test_a_positive_control_and_what_was_not_tried(run: Path, tmp_path: Path) -> None:
    """A run that is its own control regains what the run regains; one that forgot other rows is none."""
    result = unlearn("relearn-attack", run, *FEW, "--baseline", BASELINE, *STEPS, "--control", run)
    assert result.exit_code == 0, result.stderr
    report = read_attack(run / "attacks" / "relearn" / "report.json")
    recovered, control = report.recovery["probability"], report.control
    assert control is not None and (control.start, control.max, control.at) == (recovered.start, recovered.max, recovered.at)
    assert control.succeeded == (recovered.max - recovered.start >= 0.1)
    assert ("the positive control " + ("shows" if control.succeeded else "fails")) in " ".join(result.stderr.split())
    assert report.budget.steps == 4 and report.budget.rows == 4 and report.budget.curves == 1
    assert {"--attack quantize", "-p full=true", "-p data=paraphrased", "other languages"} <= set(report.not_tried)
    assert "--attack relearn" not in report.not_tried and "-p data=forget-subset" not in report.not_tried
    other = tmp_path / "other"
    shutil.copytree(run, other)
    changed = json.loads((other / "report.json").read_text())
    changed["data"]["forget"]["sha256"] = "0" * 64
    (other / "report.json").write_text(json.dumps(changed))
    refused = unlearn("relearn-attack", run, *FEW, *STEPS, "--control", other)
    assert refused.exit_code == 2 and "did not forget the rows of this run" in refused.stderr
    line = refused.stderr.split("can be one: ")[1].split()
    assert line[:5] == ["unlearn", "forget", "-m", MODEL, "-f"] and not pasted(line[1:], {})
    changed = json.loads((run / "report.json").read_text())
    changed["model"]["weights_sha256"] = "0" * 64
    (other / "report.json").write_text(json.dumps(changed))
    refused = unlearn("relearn-attack", run, *FEW, *STEPS, "--control", other)
    assert refused.exit_code == 2 and "was made from another model than this run" in refused.stderr
    assert f"\nnext: unlearn report {run} --html record.html" in result.stderr or "--recipe durable" in result.stderr


def test_sampling_is_reported_by_the_answers_it_draws(run: Path) -> None:
    """Their probability does not change. The line, the gate and the verdict are by ROUGE-L, in `compare` too."""
    flags = ("--attack", "sample", "-p", "draws=2", "--baseline", BASELINE)
    result = unlearn("relearn-attack", run, *FEW, *flags, "--fail-if", "sample.recovery.max > 99")
    assert result.exit_code == 0, result.stderr
    report = read_attack(run / "attacks" / "sample" / "report.json")
    line, shown = read_report(run)["attacks"]["sample"], report.recovery["rouge_l"]
    assert report.shown_metric == "rouge_l" and report.shown == shown and line["recovery"] == shown.max
    assert shown.max != report.recovery["probability"].max and f"sample.recovery.max is {shown.max:.3g}" in result.stderr
    assert "of the original knowledge, by rouge_l, is there in the best of 2 draws" in report.verdict
    assert ("--recipe durable" in result.stderr) == ((shown.max or 0) > 0.1)


def test_several_baselines(run: Path, tmp_path: Path) -> None:
    """Recovery is from their mean and from each; kept curves of both serve again; the same one twice is refused."""
    other = changed_a_little(BASELINE, tmp_path / "other")
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("attacks"))
    both = ("--baseline", BASELINE, "--baseline", other)
    report = attacked(copy, *both, "-p", "steps=0+2")["relearn"]
    assert [curve["role"] for curve in report["curves"]] == ["unlearned", "original", "baseline", "baseline"]
    back = report["recovery"]["probability"]
    low, high = sorted(back["against"])
    assert low - 1e-6 <= back["max"] <= high + 1e-6 and report["config"]["baseline"] == [BASELINE, str(other)]
    again = unlearn("relearn-attack", copy, *FEW, "-p", "steps=0+2")
    assert again.exit_code == 0 and "are used for relearn" in " ".join(again.stderr.split()), again.stderr
    assert read_attack(copy / "attacks" / "relearn").recovery["probability"].max == pytest.approx(back["max"])
    twice = unlearn("relearn-attack", copy, *FEW, "--baseline", BASELINE, "--baseline", BASELINE)
    assert twice.exit_code == 2 and "baseline 2 is the model of baseline 1 again" in twice.stderr, twice.stderr


def test_questions_of_ones_own(run: Path, tmp_path: Path) -> None:
    """Rows other than the forget rows, one of them a conversation: recovery is among the three models on these rows."""
    (question, other, *_) = [json.loads(line) for line in (run.parent / "forget.jsonl").read_text().splitlines()]
    turns = (("user", other), ("assistant", other), ("user", question), ("assistant", question))
    talk = [{"role": role, "content": row["question" if role == "user" else "answer"]} for role, row in turns]
    questions = write_rows(
        tmp_path / "questions.jsonl", [{"messages": talk}, {"messages": talk[2:]}, {"messages": talk[:2]}]
    )
    report = attacked(run, "--attack", "ask", "--attack-data", questions, "--baseline", BASELINE)["ask"]
    assert report["judged_rows"] == 3 and report["attacker_rows"] == 0
    assert not {"other languages", "--attack ask"} & set(report["not_tried"])
    own, original, baseline = (curve["points"][0]["forget"]["probability"] for curve in report["curves"])
    (point,) = report["recovery"]["probability"]["points"]
    assert point["at"] == 3 and point["value"] == pytest.approx((own - baseline) / (original - baseline))
    assert "under 3 other questions" in report["verdict"]
    for flags, said in (
        ((), "there are no questions"),
        (("--attack-data", questions, "--skip-original"), "needs the answers of the original"),
    ):
        refused = unlearn("relearn-attack", run, "--attack", "ask", *FEW, *flags)
        assert refused.exit_code == 2 and said in refused.stderr and "hint:" in refused.stderr, refused.stderr


def test_the_way_back_without_any_training(run: Path) -> None:
    """By name only: the distance is that of the whole run, and at the end of the way is the original."""
    flags = ("--attack", "path,patch", "-p", "percent=50+100", "-p", "depth=50", "--baseline", BASELINE)
    reports = attacked(run, *flags)
    own = next(curve for curve in reports["path"]["curves"] if curve["role"] == "unlearned")
    original = next(curve for curve in reports["path"]["curves"] if curve["role"] == "original")
    assert own["points"][1]["forget"]["probability"] == pytest.approx(
        original["points"][0]["forget"]["probability"], abs=1e-4
    )
    assert 0 < own["points"][0]["details"]["distance"] < 1 and original["points"][0]["details"]["distance"] == 0
    assert {curve["role"] for curve in reports["patch"]["curves"]} == {"unlearned", "original", "baseline"}


def test_kept_curves_of_a_baseline_are_used_again(run: Path, tmp_path: Path) -> None:
    """Without --baseline the report does not become a weaker one, where those curves are what is asked for."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    one = attacked(copy, "--baseline", BASELINE, *STEPS)["relearn"]
    again = unlearn("relearn-attack", copy, *FEW, *STEPS)
    assert again.exit_code == 0 and "earlier curves of" in again.stderr and "upper bound" not in again.stderr
    two = json.loads((copy / "attacks" / "relearn" / "report.json").read_text())
    assert (two["recovery"], two["curves"], two["upper_bound"]) == (one["recovery"], one["curves"], False)
    assert two["config"]["baseline"] == [BASELINE]
    both = unlearn("relearn-attack", copy, *FEW, *STEPS, "--attack", "relearn,scale", "-p", "percent=50")
    assert both.exit_code == 0 and "no --baseline for scale: " in " ".join(both.stderr.split())
    bound = {name: read_attack(copy / "attacks" / name / "report.json").upper_bound for name in ("relearn", "scale")}
    assert bound == {"relearn": False, "scale": True}


def test_what_was_never_forgotten_counts_without_a_baseline(run: Path, tmp_path: Path) -> None:
    """The run has hardly forgotten: the bound is a share of what the original knows, never less than recovery."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    flags = ("--attack", "quantize", "-p", "bits=8+4", "-p", "formats=int8")
    gate = unlearn("relearn-attack", copy, *FEW, *flags, "--fail-if", "quantize.recovery.max > 0.3")
    assert gate.exit_code == 3 and "FAILED" in gate.stderr, gate.stderr
    bound = read_attack(copy / "attacks" / "quantize" / "report.json")
    assert bound.upper_bound and "upper bound" in bound.verdict
    back = bound.recovery["probability"]
    assert back.gain is None and back.start == pytest.approx(back.max, abs=0.05)  # rounding brings nothing back here
    full = attacked(copy, "--baseline", BASELINE, *flags)["quantize"]["recovery"]["probability"]
    exact = {p["at"]: p["value"] for p in full["points"]}
    assert full["start"] <= back.start and all(p.value >= exact[p.at] for p in back.points)


def test_a_weaker_report_says_what_it_replaces(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    attacked(copy, "--baseline", BASELINE, *STEPS)
    weaker = unlearn("relearn-attack", copy, *FEW, "-p", "steps=0+3", "--eval-limit", 2)
    assert weaker.exit_code == 0, weaker.stderr
    message = "relearn: replaces a report of 4 judged rows with a baseline"
    assert message in " ".join(weaker.stderr.split())
    kept = read_attack(copy / "attacks" / "relearn" / "report.json")
    assert kept.upper_bound and message in kept.notes


def test_seeds_and_rates_are_curves(run: Path) -> None:
    flags = ["--seeds", "0,1", "--learning-rates", "1e-3,1e-2", *STEPS, "--skip-original"]
    report = attacked(run, *flags)["relearn"]
    settings = [(c["parameters"]["learning_rate"], c["parameters"]["seed"]) for c in report["curves"]]
    assert settings == [(1e-3, 0), (1e-3, 1), (1e-2, 0), (1e-2, 1)]
    values = [c["points"][-1]["forget"]["probability"] for c in report["curves"]]
    assert len(set(values)) == 4
    assert report["upper_bound"] and "upper bound" in report["verdict"]
    assert {p["parameters"]["learning_rate"] for p in report["recovery"]["probability"]["points"]} == {1e-3, 1e-2}
    assert len(report["recovery"]["probability"]["points"]) == 6  # seeds are averaged


def test_a_suite(run: Path) -> None:
    flags = ["--skip-original", "-p", "steps=0+2", "-p", "bits=4", "-p", "formats=int8", "-p", "shots=1", "-p", "percent=50"]
    result = unlearn("relearn-attack", run, "--suite", "standard", *FEW, *flags)
    assert result.exit_code == 0, result.stderr
    assert {p.name for p in (run / "attacks").iterdir()} >= {"relearn", "quantize", "prompts", "few-shot", "scale"}
    rounded = read_attack(run / "attacks" / "quantize" / "report.json")
    assert 0 < rounded.curves[0].points[0].details["equal_codes"] <= 1


def test_what_the_data_does_not_allow(tmp_path: Path) -> None:
    """Left out of a suite with a note, and refused by name."""
    data = data_arguments(tmp_path)
    for name in ("forget.jsonl", "retain.jsonl"):
        rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        write_rows(tmp_path / name, [{k: r[k] for k in ("question", "answer")} for r in rows])
    assert unlearn("forget", *data, *QUICK, "--max-steps", 1, "-o", tmp_path / "run").exit_code in (0, 4)
    flags = ["--skip-original", "-p", "steps=0", "-p", "bits=4", "-p", "formats=int8", "-p", "shots=1", "-p", "percent=50"]
    result = unlearn("relearn-attack", tmp_path / "run", "--suite", "standard", *FEW, *flags)
    assert result.exit_code == 0 and "paraphrase left out" in result.stderr, result.stderr
    assert not (tmp_path / "run" / "attacks" / "paraphrase" / "report.json").exists()
    refused = unlearn("relearn-attack", tmp_path / "run", "--attack", "paraphrase", *FEW)
    assert refused.exit_code == 2 and "paraphrased_question" in refused.stderr


def test_the_path_that_is_printed_can_be_shown(run: Path) -> None:
    result = unlearn("relearn-attack", run, *FEW, *STEPS, "--skip-original")
    path = Path(result.stdout.strip())
    for given in (path, path.parent):
        shown = unlearn("report", "show", given)
        assert shown.exit_code == 0 and "relearn: forget probability, 4 rows" in shown.stdout, shown.stderr
        assert "of the original knowledge is there" in shown.stderr
    message = json.loads(unlearn("report", "show", path, "--json").stdout)
    assert message["attacks"]["relearn"]["verdict"] == read_attack(path).verdict
    other = unlearn("evaluate", path)
    assert other.exit_code == 2 and "is about an attack on a run, not a run" in " ".join(other.stderr.split())


def test_progress_says_which_model_is_attacked_and_how_far(run: Path, monkeypatch) -> None:
    monkeypatch.setattr("unlearn_cli.console.LINE_EVERY_SECONDS", 0)
    result = unlearn("relearn-attack", run, *FEW, "-p", "steps=0+1", "-p", "learning_rate=1e-5", "--skip-original")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"attack curves \d/\d \d+s: relearn on the unlearned model, step 1\n", result.stderr), result.stderr


def test_gates(run: Path) -> None:
    gated = unlearn("relearn-attack", run, *FEW, *STEPS, "--skip-original", "--fail-if", "relearn.recovery.max >= 0")
    assert gated.exit_code == 3 and "FAILED: relearn.recovery.max is" in gated.stderr
    passed = unlearn("relearn-attack", run, *FEW, *STEPS, "--skip-original", "--fail-if", "relearn.recovery.max > 9")
    assert passed.exit_code == 0 and "ok: relearn.recovery.max is" in passed.stderr and ", not > 9" in passed.stderr
    unknown = unlearn("relearn-attack", run, *FEW, *STEPS, "--skip-original", "--fail-if", "quantize.recovery.max > 9")
    assert unknown.exit_code == 2 and "quantize is not among the attacks of this command (relearn)" in unknown.stderr


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ("few-shot.recovery >= 0", 3),
        ("few_shot.recovery >= 0", 3),
        ("few-shot.recovery.max > 99", 0),
        ("few-shot.recovery.start >= 0", 3),
        ("few-shot.rouge_l.max >= 0", 3),
        ("few-shot.recovery.gain > 0", 3),  # has no value without a baseline
    ],
)
def test_a_gate_means_the_same_in_compare(run: Path, gate: str, code: int) -> None:
    """And a failed one is told even if quiet: it is the reason of the exit code."""
    flags = ("--attack", "few-shot", "-p", "shots=0+1", "--skip-original")
    one = unlearn("relearn-attack", run, *FEW, *flags, "-q", "--fail-if", gate)
    two = unlearn("compare", run, "-q", "--fail-if", gate)
    assert (one.exit_code, two.exit_code) == (code, code), one.stderr + two.stderr
    said = [line.replace("run: ", "") for result in (one, two) for line in result.stderr.splitlines()]
    assert len(said) == (2 if code else 0) and len(set(said)) == (1 if code else 0)
    if "gain" in gate:
        assert "no baseline was attacked in the same way" in said[0]


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("relern.recovery > 0.3", "unknown attack 'relern' hint: did you mean 'relearn'"),
        ("relearn.recovery.before > 0.3", "'before' is none of start, max, gain, area"),
    ],
)
def test_names_of_gates_are_checked_before_the_attack(run: Path, gate: str, said: str) -> None:
    result = unlearn("relearn-attack", run, *FEW, "--fail-if", gate)
    assert result.exit_code == 2 and said in " ".join(result.stderr.split()), result.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--attack", "relern"], "did you mean 'relearn'"),
        (["-p", "stepz=1"], "did you mean 'steps'"),
        (["--seeds", "a"], "valid integer"),
        (["-p", "data=given"], "--attack-data"),
        (["--fail-if", "relearn.recovery"], "a comparison is expected"),
    ],
)
def test_what_cannot_be_asked(run: Path, flags: list[str], said: str) -> None:
    result = unlearn("relearn-attack", run, *FEW, "--skip-original", *flags)
    assert result.exit_code == 2 and said in result.stderr, result.stderr


def test_the_baseline_may_not_be_the_run_itself(run: Path) -> None:
    result = unlearn("relearn-attack", run, "--baseline", run, *FEW)
    assert result.exit_code == 2 and "has seen the forget rows" in " ".join(result.stderr.split())


def test_a_baseline_that_knows_the_rows_is_refused_before_any_attack(run: Path, tmp_path: Path) -> None:
    """It turned the gate green: recovery above its own probability is next to nothing."""
    knowing = knowing_model(tmp_path / "knowing")
    result = unlearn("relearn-attack", run, "--baseline", knowing, *FEW, *STEPS, "--fail-if", "relearn.recovery.max > 0.3")
    assert result.exit_code == 2 and "this baseline knows the forget rows" in result.stderr, result.stderr


def test_other_rows_than_were_forgotten_are_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    report = json.loads((copy / "report.json").read_text())
    report["data"]["forget"]["sha256"] = "0" * 64
    (copy / "report.json").write_text(json.dumps(report))
    result = unlearn("relearn-attack", copy, *FEW)
    assert result.exit_code == 2 and "not those of the run" in result.stderr


def test_ctrl_c_keeps_what_is_finished(run: Path, monkeypatch) -> None:
    """Stopped at the second curve; the same command then has the first one already."""
    flags = ["relearn-attack", run, *FEW, "-p", "steps=0+3", "--learning-rates", "2e-3"]
    honest, calls = execution.compute_points, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return honest(*arguments)

    monkeypatch.setattr(execution, "compute_points", stopped)
    first = unlearn(*flags, "--generate-limit", 1)
    assert first.exit_code == 130 and "the same command continues" in first.stderr
    monkeypatch.setattr(execution, "compute_points", honest)
    second = unlearn(*flags, "--generate-limit", 1)
    assert second.exit_code == 0 and "stored by an earlier call: 1 of" in second.stderr


def test_the_run_must_be_named() -> None:
    for command in ("relearn-attack", "merge", "chat", "push"):
        missing = unlearn(command)
        assert missing.exit_code == 2 and "RUN" in missing.stderr


def test_curves_as_a_picture(run: Path, tmp_path: Path) -> None:
    result = unlearn("relearn-attack", run, *FEW, *STEPS, "--skip-original", "--plot", tmp_path / "curves.svg")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        assert result.exit_code == 2 and "unlearn-cli[plot]" in result.stderr
        return
    assert result.exit_code == 0, result.stderr
    assert "<svg" in (tmp_path / "curves.svg").read_text()


def test_attacks_are_listed_and_shown() -> None:
    listed = unlearn("list", "attacks")
    assert listed.exit_code == 0 and "relearn" in listed.stdout and "logit-lens" in listed.stdout
    shown = unlearn("show", "quantize")
    assert shown.exit_code == 0 and "-p bits=" in shown.stdout and "2410.16454" in shown.stdout
