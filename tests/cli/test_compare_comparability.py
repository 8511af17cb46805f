"""`unlearn compare` sets nothing side by side that was measured differently."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.comparing import around, both, compared, names, refused, values, verdicts, write_run
from tests.cli.running import BASELINE, QUICK, data_arguments, unlearn
from tests.laws.test_hints import pasted
from unlearn_cli.recipes.comparison.runs import read_entries
from unlearn_cli.recipes.comparison.settings import settings
from unlearn_cli.report import Score

FEW = ["--generate-limit", 2, "--max-new-tokens", 8, "--bootstrap-samples", 20, "--skip-original"]


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """Two runs of the demo's model, the first attacked."""
    folder = tmp_path_factory.mktemp("alike")
    data = data_arguments(folder)
    for name, seed in {"a": 0, "b": 1}.items():
        assert unlearn("forget", *data, *QUICK, "--seed", seed, "-o", folder / name).exit_code in (0, 4)
        assert unlearn("relearn-attack", folder / name, *FEW, "-p", "steps=0+1").exit_code == 0
    return folder


def copied(real: Path, folder: Path) -> list[Path]:
    return [Path(shutil.copytree(real / name, folder / name)) for name in ("a", "b")]


def own_score(path: Path, metric: str = "probability") -> float:
    return json.loads((path / "report.json").read_text())["scores"]["forget"][metric]["after"]["value"]


def test_a_later_evaluation_of_fewer_rows_is_not_mixed_in(real, tmp_path):
    a, b = copied(real, tmp_path)
    assert unlearn("evaluate", a, "--limit", 3).exit_code == 0
    summary = compared(a, b, "--html", tmp_path / "page.html")
    assert values(summary, "forget.probability") == {"a": own_score(a), "b": own_score(b)}
    assert any("`unlearn evaluate` measured forget, retain differently" in note for note in summary["notes"])
    differences = values(summary, "forget.probability", "difference")
    other = next(name for name, difference in differences.items() if difference)
    best = {"a": "b", "b": "a"}[other]
    assert differences[other]["rows"] == 8
    assert differences[other]["to_best"] == pytest.approx(own_score(tmp_path / other) - own_score(tmp_path / best), abs=1e-6)
    # The measurements on disk are those of the later evaluation: only b's curve is drawn.
    figure = (tmp_path / "page.html").read_text().partition("Truth ratio of single rows")[2].partition("</figure>")[0]
    assert "<title>b</title>" in figure and "<title>a</title>" not in figure


def test_other_rows_of_a_later_evaluation_are_not_mixed_in(real, tmp_path):
    a, b = copied(real, tmp_path)
    rows = (real / "forget.jsonl").read_text().splitlines()[4:]
    (tmp_path / "other.jsonl").write_text("\n".join(rows) + "\n")
    assert unlearn("evaluate", a, "--forget", tmp_path / "other.jsonl").exit_code == 0
    summary = compared(a, b)
    assert values(summary, "forget.probability")["a"] == own_score(a)


def test_a_later_evaluation_alike_adds_its_metrics(real, tmp_path):
    a, b = copied(real, tmp_path)
    assert unlearn("evaluate", a, "--baseline", BASELINE).exit_code == 0
    summary = compared(a, b)
    assert values(summary, "forget.forget_quality")["a"] is not None and not any(
        "otherwise" in note for note in summary["notes"]
    )
    assert summary["metrics"]["forget.probability"]["baseline"] is not None


def test_a_later_evaluation_in_another_precision_is_not_mixed_in(tmp_path):
    a, b = write_run(tmp_path / "a", both(0.2, 0.9)), write_run(tmp_path / "b", both(0.3, 0.9, 1), seed=1)
    later = write_run(a / "evaluation", both(0.9, 0.1) | {"holdout.probability": around(0.4)}, command="evaluate", samples=8)
    report = json.loads((later / "report.json").read_text())
    report["model"]["quantization"] = "nf4"
    (later / "report.json").write_text(json.dumps(report))
    summary = compared(a, b, "--metrics", "forget.probability,holdout.probability")
    assert values(summary, "forget.probability")["a"] == pytest.approx(0.2)
    assert values(summary, "holdout.probability")["a"] == pytest.approx(0.4)  # a split that the run has not


def test_attacks_of_other_strength_are_left_out(real, tmp_path):
    a, b = copied(real, tmp_path)
    assert unlearn("relearn-attack", b, *FEW, "-p", "steps=0+2").exit_code == 0
    summary = compared(a, b, "--html", tmp_path / "page.html")
    assert "relearn.recovery" not in summary["metrics"] and any("steps differ" in note for note in summary["notes"])
    assert "Does it come back?" not in (tmp_path / "page.html").read_text()
    assert "steps differ" in refused(a, b, "--metrics", "relearn.recovery")
    shown = compared(a, b, "--allow-different")
    assert shown["metrics"]["relearn.recovery"]["best"] == [] and any("not judged" in note for note in shown["notes"])


@pytest.mark.parametrize("what", ["upper_bound", "share", "judged_rows", "seed"])
def test_what_makes_an_attack_another(real, tmp_path, what):
    a, b = copied(real, tmp_path)
    path = b / "attacks" / "relearn" / "report.json"
    report = json.loads(path.read_text())
    if what == "upper_bound":
        report["upper_bound"], report["config"]["baseline"] = False, "never"
    elif what == "share":
        report["config"]["share"] = 0.25
    elif what == "seed":
        report["curves"][0]["parameters"]["seed"] = 7
    else:
        report["judged_rows"] += 1
    path.write_text(json.dumps(report))
    assert "relearn.recovery" not in compared(a, b)["metrics"]
    assert "relearn.recovery" in compared(a)["metrics"]


def test_a_baseline_of_other_rows_is_refused(tmp_path):
    a, b = write_run(tmp_path / "a", both(0.2, 0.9)), write_run(tmp_path / "b", both(0.3, 0.9), seed=1)
    fits = write_run(tmp_path / "fits", both(0.1, 0.9), command="evaluate", max_length=4096)
    assert compared(a, b, "--baseline", fits)["metrics"]["forget.probability"]["baseline"] == pytest.approx(0.1)
    other = write_run(tmp_path / "other", both(0.1, 0.8), command="evaluate", sha={"forget": "x"})
    assert "the baseline other were measured differently: of forget the rows differ" in refused(a, b, "--baseline", other)
    summary = compared(a, b, "--baseline", other, "--allow-different")
    assert summary["metrics"]["forget.probability"]["baseline"] is None
    assert summary["metrics"]["retain.probability"]["baseline"] == pytest.approx(0.8)
    assert summary["metrics"]["forget.probability"]["best"] == ["a"]  # the runs themselves were measured alike
    assert any("baseline was measured differently" in note for note in summary["notes"])


def test_the_command_that_measures_a_run_like_the_other(tmp_path):
    """Where only settings differ; other rows cannot be mended by a flag."""
    a, b = write_run(tmp_path / "a", both(0.2, 0.9), max_new_tokens=32), write_run(tmp_path / "b", both(0.3, 0.9))
    said = refused(a, b)
    assert "of forget the max_new_tokens (32 and 200) differ" in said
    line = said.partition("measure b like a, or --allow-different, which marks them: ")[2]
    assert line == f"unlearn evaluate {b} --max-new-tokens 32 -o {b}-again" and pasted(line.split()[1:], {}) is None
    c = write_run(tmp_path / "c", both(0.3, 0.9), max_new_tokens=32, sha={"forget": "x"})
    assert "evaluate both with the same data and limits, or" in refused(b, c)


def test_every_pair_is_checked(tmp_path):
    """The first run has no holdout rows, and must not hide that those of the others differ."""
    a = write_run(tmp_path / "a", both(0.2, 0.9))
    b = write_run(tmp_path / "b", both(0.2, 0.9) | {"holdout.probability": around(0.1)}, seed=1)
    c = write_run(tmp_path / "c", both(0.2, 0.9) | {"holdout.probability": around(0.1)}, seed=2, sha={"holdout": "x"})
    assert "b and c were measured differently: of holdout the rows" in refused(a, b, c)
    assert compared(a, b)["runs"][0]["measured"] is None  # one split more is no difference


@pytest.mark.parametrize(
    ("one", "other", "word"),
    [
        ({}, {"metric_parameters": {"rouge_l.stem": False}}, "metric_parameters"),
        ({}, {"stride": 16}, "stride"),
        ({"samples": 8}, {"samples": 32}, "samples"),
        ({}, {"generate_limit": 5}, "generate_limit"),
    ],
)
def test_settings_of_measuring(tmp_path, one, other, word):
    a, b = write_run(tmp_path / "a", both(0.2, 0.9), **one), write_run(tmp_path / "b", both(0.3, 0.9), **other)
    assert word in refused(a, b)


def test_limits_that_do_the_same_are_the_same(tmp_path):
    a = write_run(tmp_path / "a", both(0.2, 0.9), eval_limit=0, generate_limit=0, max_length=512)
    assert compared(a, write_run(tmp_path / "b", both(0.3, 0.9)))
    assert compared(a, write_run(tmp_path / "c", both(0.3, 0.9), samples=8))  # only one has sampled answers


def test_nothing_is_called_best_across_measurements(tmp_path):
    a, b = write_run(tmp_path / "a", both(0.2, 0.9)), write_run(tmp_path / "b", both(0.3, 0.9, rows=20), seed=1)
    summary = compared(a, b, "--allow-different")
    assert verdicts(summary, "forget.probability") == {"a": None, "b": None} and summary["front"]["runs"] == []
    assert len({run["measured"] for run in summary["runs"]}) == 2


def test_runs_measured_otherwise_are_never_averaged(tmp_path):
    runs = [write_run(tmp_path / f"{i}", both(0.2, 0.9), seed=i) for i in range(2)]
    runs.append(write_run(tmp_path / "2", both(0.9, 0.9), seed=2, sha={"forget": "x"}))
    summary = compared(*runs, "--group-by", "seed", "--allow-different")
    assert [run["members"] for run in summary["runs"]] == [["0", "1"], ["2"]]


def test_group_by_names_a_setting(tmp_path):
    runs = [write_run(tmp_path / f"{i}", both(0.2, 0.9), learning_rate=rate) for i, rate in enumerate((1e-4, 2e-4))]
    assert "did you mean 'seed'" in refused(*runs, "--group-by", "sede")
    for spelling in ("learning-rate", "learning_rate"):
        assert names(compared(*runs, "--group-by", spelling)) == ["0 + 1"]


def test_another_path_to_the_same_is_no_difference(tmp_path):
    """`model` and `/work/model`: one hash of weights, and the same rows; a copy with other weights is a difference."""
    paths = {"model": "model", "forget": "f.jsonl"}, {"model": "/work/model", "forget": "./f.jsonl"}
    a, b = (write_run(tmp_path / str(i), both(0.2, 0.9, i), seed=i, **given) for i, given in enumerate(paths))
    for path in (a, b):
        changed(path, "w")
    assert list(compared(a, b)["runs"][0]["settings"]) == ["seed"]
    c = write_run(tmp_path / "c", both(0.2, 0.9, 2), seed=2, model="other", forget="f.jsonl")
    changed(c, "v")
    summary = compared(a, b, c, "--group-by", "seed")
    assert [run["members"] for run in summary["runs"]] == [["0", "1"], ["c"]]
    assert [run["settings"]["model"] for run in summary["runs"]] == ["model", "other"]


def changed(path: Path, weights: str) -> None:
    report = json.loads((path / "report.json").read_text())
    report["model"]["weights_sha256"] = weights
    (path / "report.json").write_text(json.dumps(report))


def test_parameters_that_are_called_like_settings(tmp_path):
    a = write_run(
        tmp_path / "a", both(0.2, 0.9), seed=1, parameters={"seed": 5, "beta": 0.1}, retain_parameters={"weight": 3}
    )
    (entry,) = read_entries([a])
    flat = settings(entry)
    assert (flat["seed"], flat["parameters.seed"], flat["beta"]) == (1, 5, 0.1)
    assert flat["retain_parameters.weight"] == 3 and flat["retain_weight"] is None


def test_different_baselines_of_the_runs_are_not_shown_as_one(tmp_path):
    runs = []
    for name, value in {"a": 0.1, "b": 0.2}.items():
        path = write_run(tmp_path / name, both(0.3, 0.9), seed=ord(name))
        report = json.loads((path / "report.json").read_text())
        report["scores"]["forget"]["probability"]["baseline"] = Score(value=value, n=50).model_dump(mode="json")
        (path / "report.json").write_text(json.dumps(report))
        runs.append(path)
    summary = compared(*runs)
    assert summary["metrics"]["forget.probability"]["baseline"] is None
    assert any("different baselines" in note for note in summary["notes"])
