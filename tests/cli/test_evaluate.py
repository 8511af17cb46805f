"""`unlearn evaluate`: the same numbers again, honest reuse, gates."""

import json
import re
import shlex

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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    result = unlearn("forget", *data_arguments(folder), *QUICK, "--max-steps", 12, "-o", folder / "run")
    assert result.exit_code in (0, 4), result.stderr
    return folder / "run"


def evaluated(run):
    return json.loads((run / "evaluation" / "report.json").read_text())


def test_equal_weights_data_and_settings_are_not_measured_again(run):
    result = unlearn("evaluate", run)
    assert result.exit_code == 0 and "cached" in result.stderr, result.stderr
    assert evaluated(run)["scores"]["forget"]["nll"]["after"] == read_report(run)["scores"]["forget"]["nll"]["after"]
    assert evaluated(run)["scores"]["forget"]["nll"]["before"]["value"] is not None


def test_a_run_may_be_named_by_its_report(run):
    """Which is the path that commands print."""
    result = unlearn("evaluate", run / "report.json", "--fail-if", "forget.probability < 0")
    assert result.exit_code == 0 and (run / "evaluation" / "report.json").is_file(), result.stderr


def test_measured_anew_the_numbers_are_the_same(run, tmp_path):
    result = unlearn("evaluate", run, "-o", tmp_path / "again")
    assert result.exit_code == 0 and "cached" not in result.stderr
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    for split in ("forget", "retain"):
        for metric, both in read_report(run)["scores"][split].items():
            assert again["scores"][split][metric]["after"]["value"] == pytest.approx(both["after"]["value"], abs=1e-5)


def test_changed_weights_are_measured_again(run, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    from unlearn_cli.hashing import file_sha256

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    path = copy / "adapter_model.safetensors"
    save_file({name: tensor * 0 for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    assert "is not the file that the run wrote" in " ".join(unlearn("evaluate", copy).stderr.split())
    report = json.loads((copy / "report.json").read_text())
    report["artifact"]["files"][path.name] = file_sha256(path)
    (copy / "report.json").write_text(json.dumps(report))
    result = unlearn("evaluate", copy)
    assert result.exit_code == 0 and "cached" not in result.stderr, result.stderr
    scores = evaluated(copy)["scores"]["forget"]["probability"]
    assert scores["after"]["value"] == pytest.approx(scores["before"]["value"], abs=1e-5)


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("forget.probability >= 0", 3),
        ("forget.probability < 0 or retain.nll.after < 0", 0),
        ("forget.probability.after < forget.probability.before", 3),
        ("forget.probability.baseline < 2", 3),
        ("forget.forget_quality < 2", 3),
    ],
)
def test_gates(run, expression, code):
    result = unlearn("evaluate", run, "--fail-if", expression)
    assert result.exit_code == code, result.stderr
    gate = evaluated(run)["gates"][0]
    assert gate["failed"] == (code == 3)
    assert ("has no value" in (gate["reason"] or "")) == ("baseline" in expression or "quality" in expression)


def test_a_gate_says_the_value_that_decided(run, tmp_path):
    from xml.etree import ElementTree

    gates = ("forget.rouge-l >= 0", "retain.probability < 0", "forget.forget_quality > 0.6")
    arguments = [x for gate in gates for x in ("--fail-if", gate)]
    result = unlearn("evaluate", run, *arguments, "--junit", tmp_path / "gates.xml")
    scores = evaluated(run)["scores"]
    pairs = (("forget", "rouge_l"), ("retain", "probability"))
    shown = [f"{scores[split][metric]['after']['value']:.3g}" for split, metric in pairs]
    said = [line for line in result.stderr.splitlines() if line.startswith(("ok:", "FAILED:"))]
    assert said[:2] == [f"FAILED: forget.rouge_l is {shown[0]} >= 0", f"ok: retain.probability is {shown[1]}, not < 0"]
    why = "forget.forget_quality.after has no value: needs --baseline, a model that never saw the forget rows"
    assert said[2] == f"FAILED: {gates[2]} ({why})"
    suite = ElementTree.parse(tmp_path / "gates.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    cases = {case.get("name"): case.find("failure") for case in suite.iter("testcase")}
    assert cases[gates[0]].get("message") == said[0].removeprefix("FAILED: ") and cases[gates[1]] is None


def test_baseline_stands_beside_the_run(run):
    result = unlearn("evaluate", run, "--baseline", BASELINE, "--json")
    assert result.exit_code == 0, result.stderr
    forget = json.loads(result.stdout)["scores"]["forget"]["probability"]
    assert forget["baseline"]["value"] < 0.2 < forget["before"]["value"]


def test_several_baselines_stand_beside_the_run(run, tmp_path):
    """A second training without the rows; measured alike, also without a model; the same one twice is refused."""
    other = changed_a_little(BASELINE, tmp_path / "other")
    both = ["--baseline", BASELINE, "--baseline", other]
    result = unlearn("evaluate", run, *both, "--json")
    assert result.exit_code == 0 and "under 2 baselines" in " ".join(result.stderr.split()), result.stderr
    forget = json.loads(result.stdout)["scores"]["forget"]
    first, (second,) = forget["probability"]["baseline"]["value"], forget["probability"]["baselines"]
    assert first != second == pytest.approx(first, abs=0.2) and len(forget["nearer"]["against"]) == 1
    rows = ["--forget", run.parent / "forget.jsonl", "--retain", run.parent / "retain.jsonl", "--generate-limit", 4]
    for name, model in (("one", BASELINE), ("two", other)):
        alone = unlearn("evaluate", "-m", model, *rows, "--max-new-tokens", 8, "-o", tmp_path / name)
        assert alone.exit_code == 0, alone.stderr
    again = unlearn("evaluate", "--measured", run, "--baseline", tmp_path / "one", "--baseline", tmp_path / "two", "--json")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["scores"]["forget"]["probability"]["baselines"] == pytest.approx([second], rel=1e-4)
    twice = unlearn("evaluate", run, "--baseline", BASELINE, "--baseline", BASELINE)
    assert twice.exit_code == 2 and "again" in twice.stderr and "hint:" in twice.stderr, twice.stderr


def test_the_model_before_is_no_baseline(run):
    result = unlearn("evaluate", run, "--baseline", MODEL)
    assert result.exit_code == 2 and "the run started from" in result.stderr, result.stderr


def test_a_model_that_knows_the_rows_is_no_baseline(run, tmp_path):
    knowing = knowing_model(tmp_path / "knowing")
    result = unlearn("evaluate", run, "--baseline", knowing, "-o", tmp_path / "out")
    assert result.exit_code == 2 and "this baseline knows the forget rows" in result.stderr, result.stderr
    assert not (tmp_path / "out" / "report.json").exists()
    again = ["--forget", run.parent / "forget.jsonl", "--retain", run.parent / "retain.jsonl", "--generate-limit", 4]
    measured = unlearn("evaluate", "-m", knowing, *again, "--max-new-tokens", 8, "-o", tmp_path / "base")
    assert measured.exit_code == 0, measured.stderr
    beside = unlearn("compare", run, "--baseline", tmp_path / "base", "--allow-different")
    assert beside.exit_code == 2 and "this baseline knows the forget rows" in beside.stderr, beside.stderr


def test_the_model_itself_is_no_baseline(run):
    result = unlearn("evaluate", run, "--baseline", run)
    assert result.exit_code == 2 and "has seen the forget rows" in " ".join(result.stderr.split())


def test_any_model_on_any_rows(run, tmp_path):
    data = data_arguments(tmp_path)
    result = unlearn("evaluate", *data, "-o", tmp_path / "out", "--metrics", "probability,rouge-l")
    assert result.exit_code == 0, result.stderr
    scores = json.loads((tmp_path / "out" / "report.json").read_text())["scores"]
    assert set(scores["forget"]) == {"probability", "rouge_l"} and scores["forget"]["probability"]["after"]["value"] > 0.97
    assert result.stdout == f"{tmp_path}/out/report.json\n"


def test_scores_of_an_untouched_model_are_called_scores(run, tmp_path):
    """Nothing happened to it, so there is no `after`; a run has one even where what was before is left out."""
    data = data_arguments(tmp_path)
    quick = ["--metrics", "probability", "--generate-limit", 2, "--max-new-tokens", 4, "--show", 1]
    result = unlearn("evaluate", *data, *quick, "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["scores"]["forget"]["probability"]["after"], result.stderr
    words = result.stderr.split()
    assert "score" in words and "answer" in words and "after" not in words
    assert unlearn("evaluate", *data, *quick, "-o", tmp_path / "out").exit_code == 0
    assert " score " in unlearn("report", "show", tmp_path / "out").stdout
    other = write_rows(tmp_path / "other.jsonl", [{"question": "Who is Ann?", "answer": "A painter."}])
    touched = unlearn("evaluate", run, "--forget", other, *quick, "-o", tmp_path / "run")
    assert "after" in touched.stderr.split() and "score" not in touched.stderr.split(), touched.stderr


def test_the_line_that_shows_the_whole_table_can_be_pasted(run):
    for shown in (unlearn("evaluate", run).stderr, unlearn("report", "show", run).stdout):
        line = shown.partition(" more: `")[2].partition("`")[0]
        words = shlex.split(" ".join(line.split()))
        assert words[:3] == ["unlearn", "report", "show"] and words[-1] == "--full-table"
        whole = unlearn(*words[1:])
        assert whole.exit_code == 0 and "perplexity" in whole.stdout and " more: " not in whole.stdout


def test_wrong_inputs(run, tmp_path):
    cases = {
        ("evaluate", tmp_path): "is not a run folder",
        ("evaluate",): "nothing to evaluate",
        ("evaluate", "--model", MODEL): "missing --output-dir",
        ("evaluate", run, "--metrics", "rouge-x"): "unknown metric 'rouge-x'",
        ("evaluate", run, "--fail-if", "forget.none < 1"): "unknown metric 'none'",
        ("evaluate", run, "--fail-if", "retian.probability < 1"): "unknown split 'retian'",
        ("evaluate", run, "--fail-if", "holdout.nll < 1"): "no holdout rows are measured hint: --holdout",
        ("evaluate", run, "--fail-if", "privacy.loss_auc > 0.6"): "no holdout rows are measured hint: --holdout",
        ("evaluate", run, "--fail-if", "forget_jailbreak.nll < 1"): "rows are measured hint: --probes jailbreak",
        ("evaluate", run, "--fail-if", "world_facts.nll < 1"): "rows are measured hint: --benchmark tofu:",
        ("evaluate", run, "--fail-if", "forget.verbatim_memorization < 1"): "belongs to 'forget_verbmem'",
    }
    for arguments, message in cases.items():
        result = unlearn(*arguments)
        assert result.exit_code == 2 and message in " ".join(result.stderr.split()), result.stderr


def test_what_an_evaluation_replaces_is_said(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("evaluation"))
    assert "replaces" not in unlearn("evaluate", copy, "--baseline", BASELINE).stderr
    assert "replaces" not in unlearn("evaluate", copy, "--baseline", BASELINE).stderr
    fewer = unlearn("evaluate", copy, "--eval-limit", 5, "--metrics", "probability")
    assert fewer.exit_code == 0, fewer.stderr
    message = "replaces an evaluation of 8 forget and 16 retain rows with a baseline and more metrics"
    assert message in " ".join(fewer.stderr.split()) and message in evaluated(copy)["notes"]


def test_the_report_of_a_run_is_not_written_over(run, tmp_path):
    for arguments in (("--model", MODEL, "--forget", tmp_path / "forget.jsonl"), ("--measured", run)):
        data_arguments(tmp_path)
        before = (run / "report.json").read_bytes()
        result = unlearn("evaluate", *arguments, "-o", run)
        assert result.exit_code == 2 and "would be lost" in result.stderr
        assert (run / "report.json").read_bytes() == before


def test_another_spelling_of_the_run_is_the_run(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    result = unlearn("evaluate", run, "-o", run.name)
    assert result.exit_code == 0 and result.stdout.strip().endswith("evaluation/report.json"), result.stderr


def test_ctrl_c_keeps_the_splits_that_were_measured(run, tmp_path, monkeypatch):
    from unlearn_cli.recipes.scoring import measurements

    honest, calls = measurements.measure, []

    def stopped(*arguments, **named):
        calls.append(arguments[1].split)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return honest(*arguments, **named)

    monkeypatch.setattr(measurements, "measure", stopped)
    first = unlearn("evaluate", run, "-o", tmp_path / "again")
    assert first.exit_code == 130 and "the same command continues" in first.stderr
    assert unlearn("evaluate", run, "-o", tmp_path / "again").exit_code == 0
    assert calls == ["forget", "retain", "retain"]


@pytest.mark.parametrize("exported", [True, False])
def test_a_run_and_a_model_are_not_given_together(run, exported, monkeypatch):
    """An exported UNLEARN_MODEL would be measured instead of the run, and kept as the run's."""
    before = {path: path.read_bytes() for path in (run / "measured").glob("*.safetensors")}
    if exported:
        monkeypatch.setenv("UNLEARN_MODEL", BASELINE)
    result = unlearn("evaluate", run, *(() if exported else ("--model", BASELINE)))
    said = " ".join(result.stderr.split())
    assert result.exit_code == 2 and "RUN and --model are given" in said
    assert ("unset UNLEARN_MODEL" in said) == exported
    assert all(path.read_bytes() == content for path, content in before.items())
    monkeypatch.delenv("UNLEARN_MODEL", raising=False)
    again = unlearn("evaluate", "--config", run / "evaluation" / "report.json")
    assert again.exit_code == 0, "the report of an evaluation names the run as its model"


@pytest.mark.parametrize("given", ["RUN", "--model"])
def test_measurements_are_scored_without_a_run_or_a_model(run, given, tmp_path):
    other = (run,) if given == "RUN" else ("--model", MODEL)
    result = unlearn("evaluate", *other, "--measured", run, "-o", tmp_path)
    assert result.exit_code == 2 and f"{given} and --measured are given" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--max-new-tokens", 4], {"generated answers"}),
        (["--chat-template", "FILE", "--max-new-tokens", 4], {"rows", "generated answers"}),
        (["--dtype", "bfloat16"], {"precision"}),
    ],
)
def test_what_was_measured_otherwise_before_is_left_out_and_said(run, tmp_path, flags, parts):
    """It stood in one row with the scores after, and gates judged the difference."""
    (tmp_path / "t.jinja").write_text("{% for m in messages %}{{ m['content'] }} {% endfor %}")
    given = [tmp_path / "t.jinja" if flag == "FILE" else flag for flag in flags]
    gate = ("--fail-if", "retain.probability < 0.5*before")
    result = unlearn("evaluate", run, *given, *gate, "-o", tmp_path / "out")
    assert result.exit_code == 3 and "has no value" in result.stderr, result.stderr
    match = re.search(r"the retain before was measured differently \((.*?) differ\)", " ".join(result.stderr.split()))
    assert match and parts <= set(match[1].split(", ")), result.stderr
    scores = read_report(tmp_path / "out")["scores"]
    assert all(both["before"] is None for metrics in scores.values() for both in metrics.values())


def test_measurements_of_two_moments_that_do_not_compare_are_not_scored_together(run, tmp_path):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert unlearn("evaluate", copy, "--max-new-tokens", 3).exit_code == 0  # its measurements after lie there now
    result = unlearn("evaluate", "--measured", copy, "-o", tmp_path / "out")
    assert result.exit_code == 0 and "before was measured differently" in " ".join(result.stderr.split()), result.stderr
    theirs = unlearn("evaluate", "--measured", run, "--baseline", copy, "-o", tmp_path / "two")
    assert theirs.exit_code == 2 and "baseline was measured differently (generated answers differ)" in theirs.stderr


def test_a_baseline_is_measured_in_the_precision_of_the_model_under_test(run, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    half = tmp_path / "half"
    shutil.copytree(BASELINE, half)
    weights = {name: tensor.bfloat16() for name, tensor in load_file(half / "model.safetensors").items()}
    save_file(weights, half / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    one, two = (
        unlearn("evaluate", run, "--baseline", baseline, "-o", tmp_path / name)
        for name, baseline in (("full", BASELINE), ("rounded", half))
    )
    assert (one.exit_code, two.exit_code) == (0, 0), two.stderr
    values = [read_report(tmp_path / name)["scores"]["forget"]["nll"]["baseline"]["value"] for name in ("full", "rounded")]
    assert values[0] == pytest.approx(values[1], rel=0.05)
    (half / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }} {% endfor %}")
    other = unlearn("evaluate", run, "--baseline", half, "-o", tmp_path / "other")
    assert other.exit_code == 2 and "baseline was measured differently" in " ".join(other.stderr.split()), other.stderr
