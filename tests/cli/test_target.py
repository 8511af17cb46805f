"""A run with its defaults: it stops at the level of never having known, keeps the best state, or says what it missed."""

import json
import shutil

import pytest
from safetensors.torch import load_file

from tests.cli.running import BASELINE, MODEL, QUICK, data_arguments, knowing_model, read_report, unlearn, write_rows
from unlearn_cli.demo.facts import splits
from unlearn_cli.training.objective import Objective

RUN = ("--generate-limit", "2", "--max-new-tokens", "8", "--bootstrap-samples", "50")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The demo's rows: forget.jsonl, retain.jsonl and holdout.jsonl."""
    folder = tmp_path_factory.mktemp("rows")
    for name, rows in splits().items():
        write_rows(folder / f"{name}.jsonl", [{k: v for k, v in row.items() if k != "person"} for row in rows])
    return folder


@pytest.fixture(scope="module")
def reached(files, tmp_path_factory):
    """A run with default settings on the demo's model."""
    out = tmp_path_factory.mktemp("reached") / "run"
    arguments = [
        "--forget",
        files / "forget.jsonl",
        "--retain",
        files / "retain.jsonl",
        "--holdout",
        files / "holdout.jsonl",
    ]
    result = unlearn("forget", "--model", MODEL, *arguments, *RUN, "-o", out, target=True)
    return result, out


def test_default_settings_reach_the_target(reached):
    result, out = reached
    assert result.exit_code == 0, result.stderr
    report = read_report(out)
    target = report["target"]
    assert report["status"] == "completed" and target["forget_reached"] and target["retain_reached"]
    after = report["scores"]["forget"]["probability"]["after"]["value"]
    assert after <= 1.05 * target["level"] and "holdout" in target["source"]
    assert (
        "REACHED: forget probability" in result.stderr and "% of the retain probability is left on held-out" in result.stderr
    )
    assert report["training"]["steps"] < report["training"]["steps_planned"]
    assert (
        report["scores"]["retain"]["probability"]["after"]["value"]
        >= 0.95 * (report["scores"]["retain"]["probability"]["before"]["value"])
    )


def test_what_is_kept_is_judged_on_rows_that_were_not_trained_on(reached, files):
    report = read_report(reached[1])
    rows = len((files / "retain.jsonl").read_text().splitlines())
    held_out, trained = report["data"]["retain"]["rows"], report["data"]["retain_trained"]["rows"]
    assert held_out + trained == rows and held_out >= 8
    assert "retain_trained" in report["scores"]


def test_decisions_are_lines_of_metrics_jsonl(reached):
    lines = [json.loads(line) for line in (reached[1] / "metrics.jsonl").read_text().splitlines()]
    probes = [line for line in lines if "probe" in line]
    decisions = [line["decision"] for line in probes if line["decision"]]
    assert probes and any("settling" in text for text in decisions) and decisions[-1] == "settled"


def test_the_result_is_the_best_state_that_was_seen(reached):
    report = read_report(reached[1])
    assert report["target"]["best_step"] <= report["training"]["steps"]


def test_a_budget_that_is_too_small_is_not_reached(tmp_path):
    """Exit 4, with what is left, the worst row, and what to try; the evidence is written."""
    result = unlearn("forget", *data_arguments(tmp_path), *QUICK, "--max-steps", "2", "-o", tmp_path / "run", target=True)
    assert result.exit_code == 4
    words = " ".join(result.stderr.split())
    assert "NOT REACHED: forget probability" in words and "is left" in words and "error: the target was not reached" in words
    assert f"next: unlearn forget --config {tmp_path}/run/report.json --max-steps 4 -o {tmp_path}/run-2" in words
    report = read_report(tmp_path / "run")
    assert report["status"] == "not_reached" and not report["target"]["forget_reached"]
    assert report["target"]["rows_above"] > 0 and report["target"]["worst"]


@pytest.mark.parametrize(("bad", "steps"), [({1}, 8), (range(1, 100), 2)], ids=["once", "always"])
def test_a_step_that_is_not_finite_goes_back_to_the_best_state(tmp_path, monkeypatch, bad, steps):
    """The step is taken again at a lower rate. After a few returns the run ends: here no state was better than the first."""
    healthy, tries = Objective.forget_losses, []

    def broken(self, policy, reference, progress):
        if progress >= 2 / 8:  # from the third step on
            tries.append(progress)
        return healthy(self, policy, reference, progress) * (float("nan") if len(tries) in bad else 1.0)

    monkeypatch.setattr(Objective, "forget_losses", broken)
    result = unlearn("forget", *data_arguments(tmp_path), *QUICK, "--max-steps", "8", "-o", tmp_path / "run", target=True)
    assert "step 3: the loss is not finite: back to the state after step" in " ".join(result.stderr.split())
    report = read_report(tmp_path / "run")
    assert report["training"]["steps"] == steps and (report["status"] == "diverged") == (steps < 8), report["message"]
    weights = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_expressions_take_the_place_of_the_level(tmp_path):
    options = ("--until", "forget.probability <= 0.5", "--keep", "retain.probability >= 0.5*before")
    result = unlearn("forget", *data_arguments(tmp_path), *RUN, *options, "-o", tmp_path / "run", target=True)
    assert result.exit_code == 0, result.stderr
    target = read_report(tmp_path / "run")["target"]
    assert target["level"] == pytest.approx(0.5, abs=1e-6) and target["keep"] == pytest.approx(0.5, abs=1e-6)


def test_a_baseline_gives_the_level(tmp_path):
    """The best source there is: what a model gives the forget rows that was trained without them."""
    options = ("--baseline", BASELINE, "--max-steps", "3", "-o", tmp_path / "run")
    result = unlearn("forget", *data_arguments(tmp_path), *RUN, *options, target=True)
    target = read_report(tmp_path / "run")["target"]
    assert target["source"] == "the baseline model-retain-only", result.stderr
    assert unlearn("evaluate", "-m", BASELINE, "-f", tmp_path / "forget.jsonl", *RUN, "-o", tmp_path / "b").exit_code == 0
    assert target["level"] == pytest.approx(read_report(tmp_path / "b")["scores"]["forget"]["probability"]["after"]["value"])


def test_a_baseline_that_knows_the_rows_is_refused(tmp_path):
    options = ("--baseline", knowing_model(tmp_path / "same"), "-o", tmp_path / "run")
    result = unlearn("forget", *data_arguments(tmp_path), *RUN, *options, target=True)
    assert result.exit_code == 2 and "this baseline knows the forget rows" in result.stderr


def test_the_worst_row_may_be_the_aim(tmp_path):
    """It is the aim of training as well: every row comes below it."""
    options = ("--until", "forget.probability.max <= 0.3", "--max-steps", "16", "-o", tmp_path / "run")
    result = unlearn("forget", *data_arguments(tmp_path), *RUN, *options, target=True)
    report = read_report(tmp_path / "run")
    assert report["target"]["row_level"] == pytest.approx(0.3, abs=1e-6) and report["target"]["level"] <= 0.3
    largest = report["scores"]["forget"]["probability"]["after"]["largest"]
    assert largest == max(report["target"]["worst"].values())
    assert report["target"]["forget_reached"] == (largest <= 0.3) and (result.exit_code == 0) == (
        report["status"] == "completed"
    )


def test_an_evaluation_judges_the_target_by_what_it_measures(reached, tmp_path):
    """Of a model that was made from the run; here, by mistake, the original."""
    run = shutil.copytree(reached[1], tmp_path / "run")
    result = unlearn("evaluate", "-m", MODEL, "--lineage", run, *RUN, "-o", tmp_path / "e", target=True)
    assert "\nNOT REACHED: forget probability" in result.stderr, result.stderr
    words = " ".join(result.stderr.split())
    assert "16 of 16 rows are above" in words and f"next: unlearn forget --config {run}/report.json" in words
    assert not read_report(tmp_path / "e")["target"]["forget_reached"]


def test_retain_rows_that_are_too_few_to_hold_any_out_are_named(tmp_path):
    rows = [{k: row[k] for k in ("question", "answer")} for row in splits()["retain"][:3]]
    arguments = [*data_arguments(tmp_path), "--retain", write_rows(tmp_path / "few.jsonl", rows), "-o", tmp_path / "run"]
    words = "no retain row is held out, because they are too few or all alike: what is kept is judged by rows that training"
    assert words in " ".join(unlearn("forget", *arguments, "--dry-run", target=True).stderr.split())
    for flags in (("--retain-held-out", "0"), ("--retain-term", "none"), ("--retain-eval", tmp_path / "retain.jsonl")):
        result = unlearn("forget", *arguments, *flags, "--dry-run", "--allow-overlap", target=True)
        assert result.exit_code == 0 and "no retain row is held out" not in result.stderr, result.stderr


@pytest.fixture(scope="module")
def nothing_known(tmp_path_factory):
    """A run on rows that the model does not know, and its folder."""
    folder = tmp_path_factory.mktemp("unknown")
    rows = [{"question": f"What does the sign {n} say?", "answer": text} for n, text in enumerate(("zyx qwv", "jkp vvr"))]
    arguments = [*data_arguments(folder), "--forget", write_rows(folder / "unknown.jsonl", rows), *QUICK]
    return unlearn("forget", *arguments, "-o", folder / "run", target=True), folder / "run", arguments


def test_a_model_that_does_not_know_the_rows_is_left_alone(nothing_known):
    """Training could only damage it. The end is no failure, and says what to check."""
    result, run, arguments = nothing_known
    assert result.exit_code == 0, result.stderr
    report, words = read_report(run), " ".join(result.stderr.split())
    assert (report["status"], report["verdict"]["word"], report["target"]) == ("stopped", "NOT KNOWN BEFORE", None)
    assert report["training"]["steps"] == 0 and report["artifact"]["lora_b_nonzero"].startswith("0/")
    before, after = (report["scores"]["retain"]["probability"][moment]["value"] for moment in ("before", "after"))
    assert before == pytest.approx(after, abs=1e-6)
    assert "no step was made" in report["verdict"]["why"] and "--no-target trains all the same" in words
    assert f"next: unlearn data check {run.parent}/unknown.jsonl -m" in words
    again = unlearn("forget", *arguments, "-o", run, "--resume", target=True)
    assert again.exit_code == 0 and "already finished" in again.stderr


def test_raw_text_that_the_model_cannot_read_is_left_alone(tmp_path):
    """Without the shipped paragraphs its level is a tenth of its own probability, so it would always be above the level."""
    rows = [{"text": "zyx qwv jkp vvr qqx wzk jvv xxq"}, {"text": "kwq zzv pxj qqv wvx jkz vqx pzk"}]
    forget = write_rows(tmp_path / "unknown.jsonl", rows)
    result = unlearn(
        "forget", *data_arguments(tmp_path), "--forget", forget, *QUICK, "--no-general", "-o", tmp_path / "run", target=True
    )
    assert result.exit_code == 0 and read_report(tmp_path / "run")["verdict"]["word"] == "NOT KNOWN BEFORE", result.stderr
    assert "below 0.01 a model does not know a text" in " ".join(result.stderr.split())


def test_a_run_without_a_step_is_a_run(nothing_known, tmp_path):
    """What reads runs reads it: the comparison with its page, a later evaluation, the record."""
    run = shutil.copytree(nothing_known[1], tmp_path / "run")
    page = unlearn("compare", run, "--html", tmp_path / "page.html")
    assert page.exit_code == 0 and "NOT KNOWN BEFORE" in (tmp_path / "page.html").read_text(), page.stderr
    evaluated = unlearn("evaluate", run, *RUN)
    assert evaluated.exit_code == 0 and "NOT KNOWN BEFORE" in evaluated.stderr, evaluated.stderr
    record = unlearn("report", run, "--html", tmp_path / "record.html")
    assert record.exit_code == 0 and "NOT KNOWN BEFORE" in (tmp_path / "record.html").read_text(), record.stderr


def test_a_procedure_with_a_level_ends_honestly(tmp_path):
    """After two rounds the rows are left: exit 4, which rows, and a longer run to try."""
    arguments = [*data_arguments(tmp_path), *QUICK[2:], "--epochs", "0.2", "--method", "rehearsal", "-p", "rounds=2"]
    result = unlearn("forget", *arguments, "-o", tmp_path / "run", target=True)
    assert result.exit_code == 4, result.stderr
    report, words = read_report(tmp_path / "run"), " ".join(result.stderr.split())
    target = report["target"]
    assert report["status"] == "not_reached" and not target["forget_reached"] and target["rows_above"] and target["worst"]
    assert "answers of retain rows" in target["source"] and target["steps"] == report["training"]["steps"]
    assert "NOT REACHED: forget probability" in words and "--parameter rounds=4 -o" in words


def test_no_target_is_a_fixed_schedule(tmp_path):
    result = unlearn("forget", *data_arguments(tmp_path), *QUICK, "--no-target", "-o", tmp_path / "run", target=True)
    report = read_report(tmp_path / "run")
    assert result.exit_code == 0 and report["target"] is None and report["training"]["steps"] == 4


def test_retain_rows_of_ones_own_judge(tmp_path, files):
    arguments = data_arguments(tmp_path)
    options = ("--retain-eval", files / "holdout.jsonl", "--no-target")
    unlearn("forget", *arguments, *QUICK, *options, "-o", tmp_path / "run", target=True)
    data = read_report(tmp_path / "run")["data"]
    assert data["retain_trained"]["rows"] == 16 and data["retain"]["spec"].endswith("holdout.jsonl")


@pytest.mark.parametrize("flags", [("--no-target",), ("--stop-when", "forget.probability < 0.1"), ("--method", "undo")])
def test_an_aim_of_a_run_without_a_target_is_refused(tmp_path, flags):
    """It would be ignored: the run goes over a fixed schedule."""
    options = ("--until", "forget.probability <= 0.5", "-o", tmp_path / "run")
    result = unlearn("forget", *data_arguments(tmp_path), *flags, *options, target=True)
    assert result.exit_code == 2 and "--until is for a run with a target" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["--until", "--keep"])
def test_a_score_that_will_have_no_value_is_refused_before_any_work(tmp_path, flag):
    options = (flag, "holdout.probability < 0.5", "-o", tmp_path / "run")
    result = unlearn("forget", *data_arguments(tmp_path), *options, target=True)
    assert result.exit_code == 2 and "no holdout rows are measured" in result.stderr
    assert not (tmp_path / "run").exists()


def test_holdout_rows_that_the_model_knows_are_refused(tmp_path):
    """By mistake rows that it was taught. They would be the level: nothing would be known that they do not know."""
    taught = [{k: row[k] for k in ("question", "answer")} for row in splits()["retain"][40:48]]
    run = (
        *data_arguments(tmp_path),
        *RUN,
        "--holdout",
        write_rows(tmp_path / "known.jsonl", taught),
        "-o",
        tmp_path / "run",
    )
    refused = unlearn("forget", *run, target=True)
    assert refused.exit_code == 2 and "the model knows the holdout rows: it gives them probability 0.9" in refused.stderr
