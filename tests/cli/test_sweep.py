"""`unlearn sweep` on the demo's model."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.cli.fresh import MAIN
from tests.cli.running import QUICK, SLOWLY, data_arguments, started, unlearn
from unlearn_cli.models import model_cache
from unlearn_cli.recipes.sweeping import workers

# Two processes on the CPU, as forks, which have imported everything; test_side_by_side can start them as users do.
SIDE_BY_SIDE = """import multiprocessing
from unlearn_cli.recipes.sweeping import workers
fork = multiprocessing.get_context("fork")
multiprocessing.get_context = lambda name: fork
workers.devices = lambda choice, jobs: ["cpu"] * jobs
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    return data_arguments(tmp_path_factory.mktemp("sweep-data"))


def swept(data: list[str], folder: Path, *flags: object) -> dict:
    result = unlearn("sweep", *data, *QUICK, "-o", folder, *flags, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def wait_for(path: Path, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not path.is_file() or not path.read_text():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.02)


def interrupt_and_continue(command: list, launcher: tuple, folder: Path) -> None:
    """Ctrl-C while jobs of a cluster train `npo` in `folder`; then the same command without the cluster."""
    process = started(*command, *launcher, code=MAIN)
    wait_for(folder / "npo" / "metrics.jsonl")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and "interrupted in npo: the same command continues" in stderr, stderr
    steps = len((folder / "npo" / "metrics.jsonl").read_text().splitlines())
    assert steps < 400 and list((folder / "npo" / "checkpoints").glob(f"*{steps}*"))
    done = unlearn(*command)
    assert done.exit_code in (0, 4) and "continues" in done.stderr, done.stderr
    report = json.loads((folder / "npo" / "report.json").read_text())
    assert report["training"]["resumed_from_step"] == steps


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert unlearn("forget", *data, *QUICK, "--method", "npo", "-o", folder).exit_code in (0, 4)
    return folder


def probability(folder: Path, split: str = "forget") -> float:
    return json.loads((folder / "report.json").read_text())["scores"][split]["probability"]["after"]["value"]


def test_a_grid_on_one_model(data, tmp_path):
    """Two methods, two rates and a parameter of one of them: six runs, one load, each as if it ran alone."""
    flags = ["--methods", "npo,grad-diff", "--grid", "learning_rate=1e-3,4e-3", "-p", "npo.beta=0.05,0.5"]
    summary = swept(data, tmp_path / "s", *flags)
    names = {run["name"] for run in summary["runs"]}
    assert len(names) == 6 and "npo-learning_rate=1e-3-beta=0.5" in names and "grad-diff-learning_rate=4e-3" in names
    assert summary["sweep"]["loads"] == 1 and summary["sweep"]["runs"] == 6 and summary["sweep"]["other"] > 0
    scores = [run["score"] for run in summary["runs"]]
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
    other = ["--methods", "npo", "--seeds", "0,1", "--retain-weight", 3]
    refused = unlearn("sweep", *data, *QUICK, "-o", folder, *other)
    assert refused.exit_code == 2 and "retain_weight: 20.0 -> 3.0" in refused.stderr and "--overwrite" in refused.stderr
    assert {path: path.stat().st_mtime_ns for path in written} == written
    # So light a retain weight may cost a run of four steps what it keeps.
    assert unlearn("sweep", *data, *QUICK, "-o", folder, *other, "--overwrite").exit_code in (0, 4)
    assert all(path.stat().st_mtime_ns > before for path, before in written.items())


@pytest.mark.parametrize("change", ["forget rows", "an option that is no longer given"])
def test_a_run_of_something_else_is_not_taken_for_finished(tmp_path, change):
    """The same names and flags, but other rows in the file; and fewer flags than the first time."""
    data, flags = data_arguments(tmp_path), list(QUICK)
    assert unlearn("sweep", *data, *flags, "--retain-ratio", 5, "-o", tmp_path / "s").exit_code in (0, 4)
    if change == "forget rows":
        file = Path(data[3])
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:4]))
        flags += ["--retain-ratio", 5]
    again = unlearn("sweep", *data, *flags, "-o", tmp_path / "s")
    assert again.exit_code == 2 and ("forget data" if change == "forget rows" else "retain_ratio") in again.stderr


def test_an_interrupted_run_goes_on(data, tmp_path):
    """Ctrl-C in the second run: the same command resumes it, and a folder with nothing but its beginning is no obstacle."""
    command = ["sweep", *data, *QUICK, "--max-steps", 12, "--save-every", 1, "--seeds", "0,1", "-o", tmp_path / "s"]
    process = started(*command, code=SLOWLY + MAIN)
    wait_for(tmp_path / "s" / "npo-seed=1" / "metrics.jsonl")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command continues" in stderr, stderr
    assert (tmp_path / "s" / "npo-seed=0" / "report.json").is_file()
    again = unlearn(*command)
    assert again.exit_code in (0, 4), again.stderr
    assert "npo-seed=0, finished before" in again.stderr and "npo-seed=1, continues" in again.stderr
    report = json.loads((tmp_path / "s" / "npo-seed=1" / "report.json").read_text())
    assert report["training"]["resumed_from_step"] and report["training"]["steps"] == 12


def test_what_another_process_is_writing_is_not_taken_along(data, tmp_path, monkeypatch):
    """The name of a measurement that is being written is gone when it is to be copied."""
    honest = workers.forget.run

    def writing(config, *arguments, **more):
        report = honest(config, *arguments, **more)
        (config.output_dir / "measured" / "before-forget.jsonl.part").symlink_to(tmp_path / "gone")
        return report

    monkeypatch.setattr(workers.forget, "run", writing)
    assert len(swept(data, tmp_path / "s", "--methods", "npo", "--seeds", "0,1")["runs"]) == 2


# As users start them, each of the two imports torch.
@pytest.mark.parametrize("way", ["forks", pytest.param("spawned", marks=pytest.mark.slow)])
def test_side_by_side(data, tmp_path, monkeypatch, way):
    """Two processes, each with a base of its own, come to the numbers of one after the other."""
    flags = ["--max-steps", 2, "--methods", "npo,grad-diff", "--grid", "learning_rate=1e-3,4e-3"]
    alone = swept(data, tmp_path / "alone", *flags)
    if way == "forks":
        command = ["sweep", *data, *QUICK, "-o", tmp_path / "together", *flags, "--jobs", 2, "--json"]
        stdout, stderr = started(*command, code=SIDE_BY_SIDE + MAIN).communicate()
        assert stdout, stderr
        together = json.loads(stdout)
    else:
        monkeypatch.setattr(workers, "devices", lambda choice, jobs: ["cpu"] * jobs)
        together = swept(data, tmp_path / "together", *flags, "--jobs", 2)
    assert together["sweep"]["loads"] == 2 and together["sweep"]["new_runs"] == 4
    for run in alone["runs"]:
        (same,) = [other for other in together["runs"] if other["name"] == run["name"]]
        assert same["score"] == pytest.approx(run["score"], abs=1e-6)


def test_side_by_side_is_interrupted_once(data, tmp_path):
    """Each process writes its checkpoint, nothing goes on in the background, and the same command ends the runs."""
    flags = [*QUICK, "--max-steps", 30, "--seeds", "0,1", "--device", "cpu", "-o", tmp_path / "s"]
    process = started("sweep", *data, *flags, "--jobs", 2, code=SIDE_BY_SIDE + SLOWLY + MAIN)
    for seed in (0, 1):
        wait_for(tmp_path / "s" / f"npo-seed={seed}" / "metrics.jsonl")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command continues" in stderr, stderr
    lines = [len((tmp_path / "s" / f"npo-seed={seed}" / "metrics.jsonl").read_text().splitlines()) for seed in (0, 1)]
    for seed, steps in enumerate(lines):
        assert steps < 30 and list((tmp_path / "s" / f"npo-seed={seed}" / "checkpoints").glob(f"*{steps}*")), stderr
    done = unlearn("sweep", *data, *flags)  # one after the other: the runs are the same
    assert done.exit_code in (0, 4) and done.stderr.count("continues") == 2, done.stderr
    report = json.loads((tmp_path / "s" / "npo-seed=1" / "report.json").read_text())
    assert report["training"]["resumed_from_step"] == lines[1]


def test_jobs_need_devices(data, tmp_path):
    result = unlearn("sweep", *data, *QUICK, "--seeds", "0,1", "--jobs", 2, "--device", "cpu", "-o", tmp_path / "s")
    assert result.exit_code == 2 and "1 device" in result.stderr and "--jobs 0" in result.stderr


def test_a_run_without_memory_is_left_out(data, tmp_path, monkeypatch):
    honest = workers.forget.run

    def hungry(config, *arguments, **more):
        if config.seed == 0:
            raise MemoryError("not enough memory for 9 GiB")
        return honest(config, *arguments, **more)

    monkeypatch.setattr(workers.forget, "run", hungry)
    summary = swept(data, tmp_path / "s", "--seeds", "0,1")
    assert [run["name"] for run in summary["runs"]] == ["npo-seed=1"]


def test_a_dry_run_lists_and_plans(data, tmp_path):
    result = unlearn("sweep", *data, *QUICK, "--seeds", "0,1", "--dry-run", "-o", tmp_path / "s")
    assert result.exit_code == 0, result.stderr
    assert "npo-seed=1: new" in result.stderr and "memory, estimated" in result.stderr and not (tmp_path / "s").exists()


def test_no_run_that_did_anything_is_no_success(data, tmp_path):
    result = unlearn("sweep", *data, *QUICK, "--grid", "learning_rate=1e-9,2e-9", "-o", tmp_path / "s")
    assert result.exit_code == 4 and "none of 2 runs" in result.stderr, result.stderr


def test_rows_to_forget_alone(data, tmp_path):
    flags = ["--methods", "grad-ascent", "--retain-term", "none", "--seeds", "0,1", "--score", "-forget.probability"]
    result = unlearn("sweep", *data[:4], *QUICK, *flags, "-o", tmp_path / "s", "--json")
    assert len(json.loads(result.stdout)["runs"]) == 2, result.stderr


@pytest.mark.parametrize("planted", [False, True], ids=["", "a planted base that was not restored"])
def test_a_run_that_changes_the_base_is_not_left_in_it(data, alone, tmp_path, monkeypatch, planted):
    """Full fine-tuning before an adapter run: the model is loaded again, and equal settings give equal runs.

    Planted: with the check of the weights taken out the second run starts from the first one's result.
    """
    if planted:
        monkeypatch.setattr(model_cache, "_weight_norms", lambda model: [])
    summary = swept(data, tmp_path / "s", "--methods", "npo", "--grid", "full=true,false")
    assert summary["sweep"]["loads"] == (1 if planted else 2)
    assert (probability(tmp_path / "s" / "npo-full=False") == pytest.approx(probability(alone), abs=1e-6)) != planted


def test_halving_keeps_the_better_half(data, tmp_path):
    flags = ["--methods", "npo", "--grid", "learning_rate=1e-5,1e-4,1e-3,5e-3", "--halving", "--epochs", 8]
    given = ["--batch-size", "4", *QUICK[QUICK.index("--generate-limit") :]]
    result = unlearn("sweep", *data, *given, "-o", tmp_path / "s", *flags, "--json")
    assert result.exit_code == 0, result.stderr
    folders = sorted(path.parent.name for path in (tmp_path / "s").glob("*/report.json"))
    assert sum(name.endswith("-at-0.25") for name in folders) == 4
    assert sum(name.endswith("-at-0.5") for name in folders) == 2
    summary = json.loads(result.stdout)
    assert len(summary["runs"]) == 1 and summary["sweep"]["loads"] == 1  # over all rounds


def test_a_budget_starts_no_more_runs(data, tmp_path):
    result = unlearn("sweep", *data, *QUICK, "-o", tmp_path / "s", "--seeds", "0,1,2", "--budget-minutes", "0.0001")
    assert "runs left out" in result.stderr
    assert len(list((tmp_path / "s").glob("*/report.json"))) == 1


def test_a_budget_that_ends_a_round_leaves_what_was_made(data, tmp_path):
    flags = ["--seeds", "0,1,2", "--halving", "--budget-minutes", "0.0001"]
    result = json.loads(unlearn("sweep", *data, *QUICK, "-o", tmp_path / "s", *flags, "--json").stdout)
    assert [run["name"] for run in result["runs"]] == ["npo-seed=0-at-0.25"]
    report = json.loads((tmp_path / "s" / "npo-seed=0-at-0.25" / "report.json").read_text())
    assert report["training"]["steps"] == 1  # of 4: steps are shortened where steps were asked for


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--grid", "learning_rat=1"], "did you mean 'learning_rate'"),
        (["--grid", "output_dir=1"], "unknown option of --grid"),
        (["-p", "npo.betta=1"], "did you mean 'beta'"),
        (["-p", "dpo.beta=1"], "unknown method in -p"),
        (["-p", "gammma=1"], "unknown parameter"),
        (["--score", "retain.probabilty"], "unknown metric"),
        (["--seeds", "0,x"], "--seeds"),
        (["--seeds", "0,0"], "given twice"),
        (["--grid", "max_new_tokens=4,6"], "the same measurements"),
        (["--grid", "seed=1,2"], "--seeds"),
        (["--grid", "forget=a,b"], "same rows"),
        (["--forget", "nofile.jsonl"], "not found"),
        (["--grid", "full=true", "--calibrate", "retain.probability >= 0.9*before"], "npo-full=True: --calibrate"),
    ],
)
def test_what_cannot_be_asked(data, tmp_path, flags, said):
    result = unlearn("sweep", *data, *QUICK, "-o", tmp_path / "s", "--methods", "npo", *flags)
    assert result.exit_code == 2 and said in result.stderr, result.stderr
