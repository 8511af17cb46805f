"""What `unlearn compare` calls best, noise and not known, and how it orders runs."""

from __future__ import annotations

import html
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.comparing import around, both, compared, names, refused, values, verdicts, write_run
from tests.cli.running import MODEL, unlearn, write_rows
from tests.laws.test_hints import pasted
from unlearn_cli.report import Compared, Score, read_report, write_report


def runs(folder: Path, metric: str, by_run: dict[str, object], targets: dict | None = None) -> list[Path]:
    """A run for each name, with this metric and the usual two, which are the same in all."""
    return [
        write_run(folder / name, both(0.2, 0.9, i) | ({} if v is None else {metric: v}), targets=targets, seed=i)
        for i, (name, v) in enumerate(by_run.items())
    ]


def scored(value: float, ci: tuple[float, float] | None, target: str = "max") -> Score:
    return Score(value=value, ci=ci, n=50, target=target)


def test_all_of_a_tie_are_best(tmp_path):
    by_run = {"a": around(0.3, seed=1), "b": around(0.3, seed=2), "c": around(0.5)}
    summary = compared(*runs(tmp_path, "forget.rouge_l", by_run))
    assert summary["metrics"]["forget.rouge_l"]["best"] == ["a", "b"]
    assert verdicts(summary, "forget.rouge_l") == {"a": "best", "b": "best", "c": "larger"}


def test_either_spelling_of_a_metric(tmp_path):
    """As --fail-if takes it."""
    two = runs(tmp_path, "forget.rouge_l", {"a": around(0.5), "b": around(0.3)})
    flags = ["--metrics", "forget.rouge-l,forget.probability", "--sort", "forget.rouge-l"]
    summary = compared(*two, *flags, "--front", "forget.rouge-l,retain.probability")
    assert list(summary["metrics"]) == ["forget.rouge_l", "forget.probability"] and names(summary) == ["b", "a"]
    assert summary["front"]["x"] == "forget.rouge_l"


def test_a_single_value_is_not_best(tmp_path):
    summary = compared(*runs(tmp_path, "forget.rouge_l", {"a": around(0.3), "b": None}))
    assert summary["metrics"]["forget.rouge_l"]["best"] == []


def test_metrics_without_values_of_rows_are_judged_by_their_intervals(tmp_path):
    by_run = {
        "best": scored(0.8, (0.7, 0.9)), "near": scored(0.7, (0.6, 0.75)), "far": scored(0.3, (0.2, 0.4)),
        "bare": scored(0.79, None),
    }  # fmt: skip
    summary = compared(*runs(tmp_path, "utility.model_utility", by_run))
    assert verdicts(summary, "utility.model_utility") == {
        "best": "best", "near": "within noise (intervals overlap)", "far": "smaller", "bare": "not known",
    }  # fmt: skip
    table = unlearn("compare", *(tmp_path / name for name in by_run)).stdout
    assert "0.700~" in table and "0.790?" in table and "0.300 " in table and "is not known" in table


TRUTH = {"forget.truth_ratio": "baseline"}


@pytest.fixture
def around_the_baseline(tmp_path) -> list[Path]:
    by_run = {"below": around(0.2), "near": around(0.55, seed=1), "above": around(0.9, seed=2)}
    return runs(tmp_path, "forget.truth_ratio", by_run, TRUTH)


def never(folder: Path) -> Path:
    values_of_rows = both(0.1, 0.9) | {"forget.truth_ratio": around(0.6)}
    return write_run(folder / "never", values_of_rows, targets=TRUTH, command="evaluate")


def test_nearest_to_the_baseline_is_best(around_the_baseline, tmp_path):
    flags = ["--metrics", "forget.truth_ratio"]
    assert compared(*around_the_baseline, *flags)["metrics"]["forget.truth_ratio"]["best"] == []
    summary = compared(*around_the_baseline, *flags, "--baseline", never(tmp_path), "--sort", "forget.truth_ratio")
    assert summary["metrics"]["forget.truth_ratio"]["best"] == ["near"] and names(summary) == ["near", "above", "below"]
    front = ["--front", "forget.truth_ratio,retain.probability"]
    assert compared(*around_the_baseline, *front, "--baseline", tmp_path / "never")["front"]["runs"] == ["near"]


def around_a_half(folder: Path, apart: float) -> dict:
    """Two runs on both sides of a baseline of 0.5, the second by so much farther."""
    by_run = {"x": around(0.55, seed=1), "y": around(0.45 - apart, seed=2)}
    base = write_run(
        folder / "half", both(0.1, 0.9) | {"forget.truth_ratio": around(0.5)}, targets=TRUTH, command="evaluate"
    )
    two = runs(folder, "forget.truth_ratio", by_run, TRUTH)
    return compared(*two, "--baseline", base, "--metrics", "forget.truth_ratio")


def test_distances_are_judged_where_distances_are_ranked(tmp_path):
    """0.0500 and 0.0501 from the baseline on either side: 0.1 apart, and no difference."""
    summary = around_a_half(tmp_path, apart=0.0001)
    assert verdicts(summary, "forget.truth_ratio") == {"x": "best", "y": "no difference"}
    difference = values(summary, "forget.truth_ratio", "difference")["y"]
    assert difference["of"] == "distances to the baseline" and difference["to_best"] == pytest.approx(0.0001)
    assert difference["ci"][0] < 0 < difference["ci"][1]


def test_farther_from_the_baseline_is_farther_on_either_side(tmp_path):
    summary = around_a_half(tmp_path, apart=0.02)
    assert verdicts(summary, "forget.truth_ratio") == {"x": "best", "y": "farther"}
    assert values(summary, "forget.truth_ratio", "difference")["y"]["to_best"] == pytest.approx(0.02)


def test_distances_by_intervals(tmp_path):
    """A baseline between two runs that have no values of rows: their intervals are folded over it."""
    name = "forget.forget_quality"
    by_run = {
        "x": scored(0.55, (0.52, 0.58), "baseline"), "near": scored(0.44, (0.41, 0.47), "baseline"),
        "far": scored(0.2, (0.1, 0.3), "baseline"),
    }  # fmt: skip
    base = write_run(tmp_path / "half", both(0.1, 0.9) | {name: scored(0.5, None, "baseline")}, command="evaluate")
    summary = compared(*runs(tmp_path, name, by_run), "--baseline", base)
    assert verdicts(summary, name) == {"x": "best", "near": "within noise (intervals overlap)", "far": "farther"}


def test_a_value_of_one_seed_of_two_is_not_best(tmp_path):
    """Forget quality of 0.9 in one run of npo, and none in the other: shown with its count, and never ranked."""
    by_run = [("npo", 1e-4, 0.9), ("npo-1", 1e-4, None), ("rmu", 2e-4, 0.2), ("rmu-1", 2e-4, 0.3)]
    four = [
        write_run(tmp_path / name, both(0.2, 0.9, i) | ({} if v is None else {"forget.forget_quality": scored(v, (v, v))}),
             learning_rate=rate, seed=i % 2)
        for i, (name, rate, v) in enumerate(by_run)
    ]  # fmt: skip
    flags = ["--group-by", "seed", "--metrics", "forget.forget_quality"]
    summary = compared(
        *four, *flags, "--sort", "forget.forget_quality", "--front", "forget.forget_quality,retain.probability"
    )
    assert summary["metrics"]["forget.forget_quality"]["best"] == [] and summary["front"]["runs"] == ["rmu + 1"]
    assert values(summary, "forget.forget_quality", "runs") == {"npo + 1": 1, "rmu + 1": 2}
    assert names(summary) == ["rmu + 1", "npo + 1"]
    single = write_run(
        tmp_path / "one", both(0.2, 0.9, 5) | {"forget.forget_quality": scored(0.1, (0.1, 0.1))}, learning_rate=3.0
    )
    assert verdicts(compared(*four, single, *flags), "forget.forget_quality")["npo + 1"] == "not known"
    table = unlearn("compare", *four, single, *flags, "--csv", tmp_path / "t.csv").stdout
    assert "0.900 (1 of 2)?" in table and "0.250 ± 0.071*" in table and "not all runs of the row have it" in table
    assert "forget.forget_quality.runs" in (tmp_path / "t.csv").read_text().splitlines()[0]
    whole = unlearn("compare", *four[2:], *flags).stdout
    assert " of 2" not in whole


def test_one_row_is_no_verdict(tmp_path):
    by_run = {"a": around(0.2, rows=1), "b": around(0.3, rows=1)}
    two = [
        write_run(tmp_path / name, {"forget.probability": v, "retain.probability": around(0.9)})
        for name, v in by_run.items()
    ]
    summary = compared(*two)
    assert verdicts(summary, "forget.probability") == {"a": "best", "b": "not known"}
    difference = values(summary, "forget.probability", "difference")["b"]
    assert difference["ci"] is None and difference["rows"] == 1
    assert "0.300?" in unlearn("compare", *two).stdout


def test_five_rows_need_a_clear_difference(tmp_path):
    """Differences of 0.01 to 0.19: plain percentiles leave 0 out, and five rows do not say that much."""
    one, apart = np.full(5, 0.5), np.array([-0.03, 0.01, 0.10, 0.12, 0.19])
    by_run = {"a": one, "b": one + apart}
    two = [
        write_run(tmp_path / name, {"forget.probability": v, "retain.probability": around(0.9)})
        for name, v in by_run.items()
    ]
    assert verdicts(compared(*two), "forget.probability") == {"a": "best", "b": "no difference"}


def test_a_model_is_no_evaluation_of_it(around_the_baseline, tmp_path):
    """The line that makes one has the data of the runs."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    message = refused(*around_the_baseline, "--baseline", tmp_path / "model")
    assert "this option takes the folder of an evaluation, but this is a model" in message
    rows = write_rows(tmp_path / "rows.jsonl", [{"question": "Who?", "answer": "Ann."}])
    line = f"unlearn evaluate --model {tmp_path}/model --forget forget --retain retain -o baseline"
    there = {f"{tmp_path}/model": MODEL, "forget": str(rows), "retain": str(rows)}
    assert line in message and not pasted(line.split()[1:], there)
    assert "there is no report.json" in refused(*around_the_baseline, "--baseline", tmp_path / "nothing")


@pytest.mark.parametrize("flags", [["--sort", "forget.truth_ratio"], ["--front", "forget.truth_ratio,retain.probability"]])
def test_no_order_towards_a_baseline_that_is_not_known(around_the_baseline, flags):
    assert "--baseline DIR" in refused(*around_the_baseline, *flags)


def test_no_order_where_neither_way_is_better(tmp_path):
    two = runs(tmp_path, "holdout.probability", {"a": around(0.1), "b": around(0.2)})
    for flags in (["--sort", "holdout.probability"], ["--front", "holdout.probability,retain.probability"]):
        assert "neither more nor less of it is better" in refused(*two, *flags)


def test_no_order_by_what_no_run_has(tmp_path):
    two = runs(tmp_path, "forget.forget_quality", {n: Score(value=None, n=0, reason="no baseline") for n in "ab"})
    assert "no run has a value of forget.forget_quality" in refused(*two, "--sort", "forget.forget_quality")


def test_runs_without_retain_rows_compare(tmp_path):
    two = [write_run(tmp_path / n, {"forget.probability": around(v)}) for n, v in {"a": 0.1, "b": 0.2}.items()]
    summary = compared(*two, "--html", tmp_path / "page.html")
    assert summary["front"]["runs"] == [] and summary["metrics"]["forget.probability"]["best"] == ["a"]
    assert "unknown metric 'retain.probability'" in refused(*two, "--front", "forget.probability,retain.probability")


def test_seeds_that_differ_by_chance_are_no_difference(tmp_path):
    """Two configurations of two seeds each: by rows alone they would differ, and by seeds they do not."""
    means = {"x0": (0.20, 0.1), "x1": (0.40, 0.1), "y0": (0.30, 0.2), "y1": (0.55, 0.2)}
    four = [
        write_run(tmp_path / name, both(mean, 0.9, i, 200), seed=i % 2, learning_rate=rate)
        for i, (name, (mean, rate)) in enumerate(means.items())
    ]
    summary = compared(*four, "--group-by", "seed")
    assert verdicts(summary, "forget.probability") == {"x0 + 1": "best", "y0 + 1": "no difference"}
    difference = values(summary, "forget.probability", "difference")["y0 + 1"]
    assert difference["seeds"] == [2, 2] and difference["rows"] == 200
    alone = compared(four[0], four[2])
    assert verdicts(alone, "forget.probability")["y0"] == "larger"  # which is what one run of each says


def test_a_run_without_the_value_is_not_over_forgotten(tmp_path):
    a = write_run(tmp_path / "a", both(0.05, 0.9))
    b = write_run(tmp_path / "b", {"retain.probability": around(0.9, seed=1)})
    base = baseline_with_interval(tmp_path / "never")
    assert compared(a, b, "--baseline", base)["over_forgotten"] == ["a"]
    for not_known in ([a, b], [a, b, "--baseline", base, "--metrics", "retain.probability"]):
        assert compared(*not_known)["over_forgotten"] is None


def baseline_with_interval(folder: Path) -> Path:
    """An evaluation of a baseline: 0.1, from 0.08 to 0.12."""
    score = Score(value=0.1, ci=(0.08, 0.12), n=50, target="min")
    base = write_run(folder, both(0.1, 0.9), command="evaluate")
    write_report(read_report(base).model_copy(update={"scores": {"forget": {"probability": Compared(after=score)}}}), base)
    return base


def test_over_forgotten_is_below_the_interval_of_the_baseline(tmp_path):
    """Wherever it is marked as best: in the terminal, in Markdown, on the page and in JSON."""
    runs = [write_run(tmp_path / name, both(value, 0.9)) for name, value in (("a", 0.05), ("b", 0.09))]
    base = baseline_with_interval(tmp_path / "never")
    flags = ["--baseline", base, "--html", tmp_path / "page.html", "--markdown", tmp_path / "t.md"]
    result = unlearn("compare", *runs, *flags)
    assert result.exit_code == 0, result.stderr
    message = "Over-forgotten, forget.probability below the baseline's interval (from 0.080): a."
    for text in (result.stdout, (tmp_path / "t.md").read_text(), html.unescape((tmp_path / "page.html").read_text())):
        assert " ".join(text.split()).count(message) == 1
    assert compared(*runs, *flags[:2])["over_forgotten"] == ["a"]


def test_twenty_runs_of_400_rows_need_neither_torch_nor_scipy(tmp_path):
    twenty = [str(write_run(tmp_path / f"r{i}", both(i / 40, 0.9, i, 400), seed=i)) for i in range(20)]
    code = (
        "import sys\nfrom unlearn_cli.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'matplotlib', 'scipy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, "compare", *twenty], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("r")]) >= 20


def test_rows_are_paired_by_name(tmp_path):
    summary = compared(write_run(tmp_path / "a", both(0.2, 0.9, 0)), write_run(tmp_path / "b", both(0.21, 0.9, 1), seed=1))
    assert values(summary, "forget.probability", "difference")["b"]["to_best"] == pytest.approx(0.01)
    assert np.isclose(values(summary, "forget.probability")["a"], 0.2)
