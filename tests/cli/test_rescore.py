"""`unlearn evaluate --measured`: scores without a model, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.cli.running import BASELINE, QUICK, data_arguments, unlearn
from tests.evaluation.test_logs import GOLDEN, needs_golden, write


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rescore")
    data = data_arguments(folder)
    assert unlearn("forget", *data, *QUICK, "-o", folder / "run").exit_code in (0, 4)
    assert unlearn("evaluate", folder / "run", "--baseline", BASELINE, "--json").exit_code == 0
    return folder / "run"


def test_a_run_has_the_scores_it_was_given(run, tmp_path):
    result = unlearn("evaluate", "--measured", run, "--bootstrap-samples", 50, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    ours = json.loads(result.stdout)["scores"]
    theirs = json.loads((run / "report.json").read_text())["scores"]
    for split in ("forget", "retain"):
        for metric, moments in theirs[split].items():
            if metric in ("forget_quality", "nearer"):  # the run itself had no baseline
                continue
            for moment in ("before", "after"):
                assert ours[split][metric][moment] == moments[moment], (split, metric, moment)
    assert ours["forget"]["probability"]["baseline"]["value"] is not None


def test_no_torch_is_imported(run, tmp_path):
    code = (
        "import sys\nfrom unlearn_cli.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)\nassert not heavy, heavy"
    )
    flags = ["evaluate", "--measured", str(run), "-o", str(tmp_path / "out"), "--quiet"]
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_log_and_its_gates(tmp_path):
    log = write(tmp_path / "log.json")
    flags = ["--measured", log, "--baseline", log, "-o", tmp_path / "out", "--json"]
    result = unlearn("evaluate", *flags, "--fail-if", "forget.forget_quality < 0.05")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["scores"]["forget"]["forget_quality"]["after"]["value"] == 1.0
    assert report["model"] is None
    failed = unlearn("evaluate", *flags, "--fail-if", "utility.model_utility > 0.1")
    assert failed.exit_code == 3


def test_json_needs_no_folder(tmp_path, monkeypatch):
    """The report on stdout is all that is wanted; the one from a folder is the same, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    flags = ["--measured", write(tmp_path / "log.json"), "--json"]
    result, kept = unlearn("evaluate", *flags), unlearn("evaluate", *flags, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    report, same = json.loads(result.stdout), json.loads(kept.stdout)
    assert report["scores"] == same["scores"] and report["config"]["output_dir"] is None
    assert report["config"]["full_table"] is False and sorted(p.name for p in tmp_path.iterdir()) == ["log.json", "out"]
    assert " more: " not in result.stderr
    without = unlearn("evaluate", *flags[:2])
    assert without.exit_code == 2 and "--json" in without.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--metrics", "extraction_strength"], "does not allow"), (["--metrics", "truth_ratoi"], "did you mean")],
)
def test_what_a_log_does_not_hold(flags, message, tmp_path):
    result = unlearn("evaluate", "--measured", write(tmp_path / "log.json"), "-o", tmp_path / "out", *flags)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_folder_without_measurements(tmp_path):
    result = unlearn("evaluate", "--measured", tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 2 and "holds no measurements" in result.stderr


@needs_golden
def test_a_model_that_was_not_unlearned_is_seen_through(tmp_path):
    logs = ["--measured", GOLDEN / "tofu-llama2-7b-full.json", "--baseline", GOLDEN / "tofu-llama2-7b-retain90.json"]
    result = unlearn("evaluate", *logs, "-o", tmp_path / "out", "--fail-if", "forget.forget_quality < 0.05")
    assert result.exit_code == 3, result.stderr


def test_gates_for_a_dashboard_and_answers_to_look_at(run, tmp_path):
    """JUnit XML with a failure where a gate failed, and the scores as properties; answers before and after."""
    flags = ["--measured", run, "-o", tmp_path / "out", "--junit", tmp_path / "ci" / "gates.xml", "--show", 1]
    gates = ["--fail-if", "forget.probability >= 0", "--fail-if", "forget.probability < 0"]
    result = unlearn("evaluate", *flags, *gates)
    assert result.exit_code == 3
    assert "forget answers" in result.stderr and "truth" in result.stderr
    suite = ElementTree.parse(tmp_path / "ci" / "gates.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == ["forget.probability >= 0"]
    assert "forget.probability" in {item.get("name") for item in suite.iter("property")}


def test_no_gates_are_one_skipped_case(run, tmp_path):
    unlearn("evaluate", "--measured", run, "-o", tmp_path / "out", "--junit", tmp_path / "gates.xml")
    (case,) = ElementTree.parse(tmp_path / "gates.xml").getroot().iter("testcase")
    assert case.find("skipped") is not None
