"""`unlearn sweep` on the demo's model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import QUICK, data_arguments, unlearn
from unlearn_cli.models import kept as kept_module


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    return data_arguments(tmp_path_factory.mktemp("sweep-data"))


def swept(data: list[str], folder: Path, *flags: object) -> dict:
    result = unlearn("sweep", *data, *QUICK, "-o", folder, *flags, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def probability(folder: Path, split: str = "forget") -> float:
    return json.loads((folder / "report.json").read_text())["scores"][split]["probability"]["after"]["value"]


def test_a_grid_on_one_model(data, tmp_path):
    """Two methods, two rates and a parameter of one of them: six runs, one load, each as if it ran alone."""
    flags = ["--methods", "npo,grad-diff", "--grid", "learning_rate=1e-3,4e-3", "-p", "npo.beta=0.05,0.5"]
    told = swept(data, tmp_path / "s", *flags)
    names = {run["name"] for run in told["runs"]}
    assert len(names) == 6 and "npo-learning_rate=1e-3-beta=0.5" in names and "grad-diff-learning_rate=4e-3" in names
    assert told["sweep"]["loads"] == 1 and told["sweep"]["runs"] == 6 and told["sweep"]["beside"] > 0
    scores = [run["score"] for run in told["runs"]]
    assert scores == sorted(scores, reverse=True)
    alone = ["--method", "npo", "--learning-rate", "4e-3", "-p", "beta=0.5", "-o", tmp_path / "alone"]
    assert unlearn("forget", *data, *QUICK, *alone).exit_code in (0, 4)
    for split in ("forget", "retain"):
        ours = probability(tmp_path / "s" / "npo-learning_rate=4e-3-beta=0.5", split)
        assert ours == pytest.approx(probability(tmp_path / "alone", split), abs=1e-6)


def test_finished_runs_are_skipped_and_changed_ones_made_anew(data, tmp_path):
    folder = tmp_path / "s"
    swept(data, folder, "--methods", "npo", "--seeds", "0,1")
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*/report.json")}
    assert len(written) == 2
    again = unlearn("sweep", *data, *QUICK, "-o", folder, "--methods", "npo", "--seeds", "0,1")
    assert again.stderr.count("finished before") == 2
    assert {path: path.stat().st_mtime_ns for path in written} == written
    swept(data, folder, "--methods", "npo", "--seeds", "0,1", "--retain-weight", 3)
    assert all(path.stat().st_mtime_ns > before for path, before in written.items())


def test_a_run_that_changes_the_base_is_not_left_in_it(data, tmp_path):
    """Full fine-tuning between two adapter runs: the model is loaded again, and equal settings give equal runs."""
    told = swept(data, tmp_path / "s", "--methods", "npo", "--grid", "full=true,false")
    assert told["sweep"]["loads"] == 2
    assert unlearn("forget", *data, *QUICK, "--method", "npo", "-o", tmp_path / "alone").exit_code in (0, 4)
    assert probability(tmp_path / "s" / "npo-full=False") == pytest.approx(probability(tmp_path / "alone"), abs=1e-6)


def test_a_planted_base_that_was_not_restored_is_seen(data, tmp_path, monkeypatch):
    """With the check of the weights taken out the second run starts from the first one's result."""
    monkeypatch.setattr(kept_module, "_sums", lambda model: [])
    swept(data, tmp_path / "s", "--methods", "npo", "--grid", "full=true,false")
    assert unlearn("forget", *data, *QUICK, "--method", "npo", "-o", tmp_path / "alone").exit_code in (0, 4)
    assert probability(tmp_path / "s" / "npo-full=False") != pytest.approx(probability(tmp_path / "alone"), abs=1e-6)


def test_halving_keeps_the_better_half(data, tmp_path):
    flags = ["--methods", "npo", "--grid", "learning_rate=1e-5,1e-4,1e-3,5e-3", "--halving", "--epochs", 8]
    given = ["--batch-size", "4", *QUICK[QUICK.index("--generate-limit") :]]
    result = unlearn("sweep", *data, *given, "-o", tmp_path / "s", *flags, "--json")
    assert result.exit_code == 0, result.stderr
    folders = sorted(path.parent.name for path in (tmp_path / "s").glob("*/report.json"))
    assert sum(name.endswith("-at-0.25") for name in folders) == 4
    assert sum(name.endswith("-at-0.5") for name in folders) == 2
    assert len(json.loads(result.stdout)["runs"]) == 1


def test_a_budget_starts_no_more_runs(data, tmp_path):
    result = unlearn("sweep", *data, *QUICK, "-o", tmp_path / "s", "--seeds", "0,1,2", "--budget-minutes", "0.0001")
    assert "runs left out" in result.stderr
    assert len(list((tmp_path / "s").glob("*/report.json"))) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--grid", "learning_rat=1"], "did you mean 'learning_rate'"),
        (["--grid", "output_dir=1"], "unknown option of --grid"),
        (["-p", "npo.betta=1"], "did you mean 'beta'"),
        (["-p", "dpo.beta=1"], "unknown method in -p"),
        (["-p", "gammma=1"], "unknown parameter"),
        (["--score", "retain.probabilty"], "unknown metric"),
    ],
)
def test_what_cannot_be_asked(data, tmp_path, flags, said):
    result = unlearn("sweep", *data, *QUICK, "-o", tmp_path / "s", "--methods", "npo", *flags)
    assert result.exit_code == 2 and said in result.stderr, result.stderr
