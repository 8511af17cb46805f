"""`unlearn sweep --launcher submitit`: with submitit's processes on this machine, and its queue played by a list."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace

import pytest

from tests.cli.running import QUICK, data_arguments, losses, unlearn
from tests.cli.test_sweep import interrupt_and_continue
from unlearn_cli.config import ForgetConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.forgetting.interrupt import Interrupted
from unlearn_cli.recipes.sweeping import cluster
from unlearn_cli.recipes.sweeping.workers import Outcome, Task

submitit = pytest.importorskip("submitit", reason="submitit is not installed: pip install 'unlearn-cli[cluster]'")

LOCAL = ("--launcher", "submitit", "--launcher-option", "cluster=local", "--jobs", "0")
FEW = ("--max-steps", "2", *QUICK[2:], "--generate-limit", "0")
GRID = ("--grid", "calibrate=retain.probability > 2,retain.probability > 0")  # the first can never hold


def said(result) -> str:
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    return data_arguments(tmp_path_factory.mktemp("data"))


def test_jobs_make_the_runs_that_a_sweep_makes_here(data, tmp_path):
    """One of two fails: it is noted with its reason, and the other is compared."""
    result = unlearn("sweep", *data, *FEW, *GRID, *LOCAL, "-o", tmp_path / "s", "--json")
    assert result.exit_code == 0, result.stderr
    (run,) = json.loads(result.stdout)["runs"]
    assert "does not hold for the untouched model either" in said(result)
    assert set(json.loads((tmp_path / "s" / "sweep.json").read_text())) > {run["name"]}
    here = unlearn("sweep", *data, *FEW, *GRID, "-o", tmp_path / "here", "--json")
    assert here.exit_code == 0, here.stderr
    (same,) = json.loads(here.stdout)["runs"]
    expected = losses(tmp_path / "here" / same["name"])
    assert losses(tmp_path / "s" / run["name"]) == [pytest.approx(line, rel=1e-5) for line in expected]
    assert len(list((tmp_path / "s" / cluster.FOLDER).glob("*_log.err"))) == 2


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs_and_the_same_command_continues(data, tmp_path):
    command = ["sweep", *data, *FEW[2:], "--max-steps", "400", "-o", tmp_path / "s"]
    interrupt_and_continue(command, LOCAL, tmp_path / "s")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--launcher-option", "timeout_min=5"), "--launcher-option is for a sweep in a cluster's queue"),
        ((*LOCAL, "--launcher-option", "slurm_color=red"), "Unknown argument 'color' for executor 'slurm'"),
        ((*LOCAL, "--launcher-option", "timeout_min=soon"), 'Parameter "timeout_min" expected type'),
        ((*LOCAL[:2], "--launcher-option", "cluster=mainframe"), "doesn't know any executor named mainframe"),
        ((*LOCAL, "--search", "3", "--grid", "learning_rate=1e-4:1e-2:log"), "--jobs 0 submits all runs"),
    ],
)
def test_what_a_queue_cannot_do_is_refused(data, tmp_path, arguments, words):
    result = unlearn("sweep", *data, *FEW, *arguments, "-o", tmp_path / "s")
    assert result.exit_code == 2
    assert words in said(result)


def test_a_dry_run_writes_nothing(data, tmp_path):
    result = unlearn("sweep", *data, *FEW, *LOCAL, "-o", tmp_path / "s", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert not (tmp_path / "s").exists()


class Queue(list):
    """Jobs in the order of their submission. A job ends when it is asked `ends` times whether it has."""

    def __init__(self, outcome, ends=2):
        self.outcome, self.ends, self.most, self.canceled = outcome, ends, 0, []

    def submit(self, job):
        times = []

        def done(force_check=False):
            times.append(0)
            return len(times) >= self.ends or job.task.name in self.canceled

        def ended():
            open_jobs.remove(job.task.name)
            return self.outcome(job.task.name)

        open_jobs = self
        self.append(job.task.name)
        self.most = max(self.most, len(self))
        error = cluster_error if self.outcome is None else None
        return SimpleNamespace(
            done=done, result=ended, exception=lambda: error, job_id=7, paths=SimpleNamespace(stderr="7_log.err"),
            cancel=lambda check: self.canceled.append(job.task.name),
        )  # fmt: skip


cluster_error = submitit.core.utils.UncompletedJobError("killed")


def tasks(count):
    return iter([Task(f"run {n}", ForgetConfig(), {}, [], None) for n in range(count)])


@pytest.mark.parametrize(("at_once", "most"), [(2, 2), (0, 5)])
def test_so_many_jobs_wait_at_a_time(at_once, most, monkeypatch):
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0)
    queue = Queue(lambda name: Outcome(name, "completed"))
    names = [outcome.name for outcome in cluster.outcomes(tasks(5), queue, "cpu", at_once)]
    assert sorted(names) == [f"run {n}" for n in range(5)]
    assert queue.most == most and not queue.canceled


def test_a_job_that_was_killed_or_stopped_is_an_error_of_its_run():
    (killed,) = cluster.outcomes(tasks(1), Queue(None, ends=1), "cpu", 1)
    assert killed.error == "its job 7 left no result (UncompletedJobError); its log is 7_log.err"
    (stopped,) = cluster.outcomes(tasks(1), Queue(lambda name: Outcome(name, interrupted=143), ends=1), "cpu", 1)
    assert stopped.error == "its job 7 was stopped: the same command continues" and stopped.interrupted is None


def test_a_signal_or_an_error_cancels_all_jobs(monkeypatch):
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0)
    queue = Queue(lambda name: Outcome(name, "completed"), ends=10**9)
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match="interrupted in run 0, run 1: the same command continues"):
        list(cluster.outcomes(tasks(2), queue, "cpu", 0))
    assert queue.canceled == ["run 0", "run 1"]
    queue = Queue(None)
    monkeypatch.setattr(queue, "submit", lambda job: 1 / 0, raising=False)
    with pytest.raises(UnlearnError, match="run 0 cannot be submitted: division by zero"):
        list(cluster.outcomes(tasks(1), queue, "cpu", 1))


def test_a_job_that_is_queued_again_goes_on():
    job = cluster.Job(Task("run", ForgetConfig(), {}, [], None), "cpu")
    again = job.checkpoint().function
    assert again.task.config.resume and again.task.name == "run" and not job.task.config.resume
