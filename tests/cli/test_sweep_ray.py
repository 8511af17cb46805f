"""`unlearn sweep --launcher ray`: with Ray's processes on this machine."""

from __future__ import annotations

import json
import os

import pytest

from tests.cli.running import QUICK, data_arguments, losses, unlearn
from tests.cli.test_sweep import interrupt_and_continue
from unlearn_cli.config import ForgetConfig, SweepConfig, consent
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.sweeping import cluster, ray_queue
from unlearn_cli.recipes.sweeping.workers import Task

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'unlearn-cli[ray]'")

RAY = ("--launcher", "ray", "--jobs", "0")
FEW = ("--max-steps", "2", *QUICK[2:], "--generate-limit", "0", "--device", "cpu")  # on a GPU a task asks Ray for one


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    return data_arguments(tmp_path_factory.mktemp("data"))


def test_tasks_of_ray_make_the_runs_that_a_sweep_makes_here(data, tmp_path):
    """Paths are those of the sweep's working directory; one of two runs fails, and is noted with its reason."""
    grid = ("--grid", "calibrate=retain.probability > 2,retain.probability > 0")  # the first can never hold
    result = unlearn("sweep", *data, *FEW, *grid, *RAY, "-o", tmp_path / "s", "--json")
    assert result.exit_code == 0, result.stderr
    (run,) = json.loads(result.stdout)["runs"]
    assert "does not hold for the untouched model either" in " ".join(result.stderr.split())
    here = unlearn("sweep", *data, *FEW, *grid, "-o", tmp_path / "here", "--json")
    (same,) = json.loads(here.stdout)["runs"]
    expected = losses(tmp_path / "here" / same["name"])
    assert losses(tmp_path / "s" / run["name"]) == [pytest.approx(line, rel=1e-5) for line in expected]
    assert not ray.is_initialized()


@pytest.mark.slow
def test_ctrl_c_cancels_the_tasks_and_the_same_command_continues(data, tmp_path):
    command = ["sweep", *data, *FEW[2:], "--max-steps", "400", "-o", tmp_path / "s"]
    interrupt_and_continue(command, RAY, tmp_path / "s")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_cpus": "many"}, "The type of keyword 'num_cpus' must be"),
        ({"color": "red"}, "Invalid option keyword color"),
    ],
)
def test_an_option_that_ray_does_not_know_is_refused(options, words):
    with pytest.raises(UnlearnError, match=words):
        ray_queue.RayQueue(options, gpu=False)


def test_a_cluster_that_is_not_there_is_refused_at_once():
    queue = ray_queue.RayQueue({"address": "127.0.0.1:1"}, gpu=False)
    with pytest.raises(UnlearnError, match="no Ray cluster at 127.0.0.1:1"):
        next(ray_queue.outcomes(iter([]), queue, "cpu", 1))


def test_only_the_command_line_says_where_the_cluster_is():
    """A config file or a report from somebody else may not send rows to an address."""
    assert consent(SweepConfig, "launcher_options", {"address": "elsewhere"})
    assert not consent(SweepConfig, "launcher_options", {"num_cpus": 4})


def test_a_node_without_the_folder_says_so(tmp_path):
    task = Task("run", ForgetConfig(), {}, [], None)
    outcome = ray_queue.executed(task, "cpu", tmp_path / "elsewhere")
    assert outcome.error and "its node of the cluster cannot open" in outcome.error and not outcome.finished


def test_a_worker_that_was_killed_is_an_error_of_its_run():
    """Its job has no result; the log is that of a command of Ray's."""

    class Cluster:
        """What `RayJob` calls of Ray."""

        def wait(self, references, timeout):
            return references, []

        def get(self, reference):
            raise ray.exceptions.WorkerCrashedError

    class Reference:
        def task_id(self):
            return bytes(3)

    class Queue:
        def submit(self, job):
            return ray_queue.RayJob(Cluster(), Reference())

    (outcome,) = cluster.outcomes(iter([Task("run", ForgetConfig(), {}, [], None)]), Queue(), "cpu", 1)
    assert outcome.error == "its job 000000 left no result (WorkerCrashedError); its log is `ray logs task --id 000000`"


def test_ray_reports_no_use_to_its_makers(monkeypatch):
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    ray_queue.RayQueue({}, gpu=False)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
