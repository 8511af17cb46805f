"""`sweep --launcher ray`: each run is a task of a Ray cluster, or of Ray's processes on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.model_cache import ModelCache
from unlearn_cli.recipes.sweeping import cluster
from unlearn_cli.recipes.sweeping.cluster import Job
from unlearn_cli.recipes.sweeping.workers import Outcome, Task, execute

LOCAL = "local"  # the address that starts Ray on this machine
CONNECT_SECONDS = 10


def executed(task: Task, device: str, folder: Path) -> Outcome:
    """Execute one run in a worker of Ray, in the working directory of the sweep. An error becomes its outcome."""
    try:
        os.chdir(folder)
    except OSError as error:
        where = f"its node of the cluster cannot open {folder} ({error.strerror})"
        return Outcome(task.name, error=f"{where}: start the sweep in a folder that all nodes see under one path")
    return execute(task, device, ModelCache(), Reporter(quiet=True))


@dataclass(frozen=True)
class RayJob:
    """A task of Ray, with what `cluster.outcomes` reads of a job of submitit."""

    ray: Any
    reference: Any

    @property
    def job_id(self) -> str:
        return str(self.reference.task_id().hex())

    @property
    def paths(self) -> Any:
        """Where its log is: a command of Ray's prints it."""
        return SimpleNamespace(stderr=f"`ray logs task --id {self.job_id}`")

    def done(self, force_check: bool = False) -> bool:
        """Whether the task has ended."""
        return bool(self.ray.wait([self.reference], timeout=0)[0])

    def exception(self) -> Exception | None:
        """The error of a task that has ended; None if it has a result."""
        try:
            self.ray.get(self.reference)
        except Exception as error:  # a worker that was killed, lacked memory, or raised an error of ours
            return error
        return None

    def result(self) -> Outcome:
        """The outcome of a task that has ended."""
        outcome: Outcome = self.ray.get(self.reference)
        return outcome

    def cancel(self, check: bool) -> None:
        """Send its process SIGINT. A run in training writes a checkpoint."""
        self.ray.cancel(self.reference, force=False)


class RayQueue:
    """Submits runs to a Ray cluster.

    Args:
        options: `address` (default: Ray is started on this machine; `auto` or HOST:PORT: a cluster that runs), and what a
            task of Ray asks for: num_cpus (default 1), num_gpus, memory, max_retries, ...
        gpu: a task gets a GPU, unless `options` says otherwise.

    Raises:
        UnlearnError: ray is not installed, or does not know an option.
    """

    def __init__(self, options: Mapping[str, Any], *, gpu: bool) -> None:
        # Ray sends statistics of its use to its makers unless this is set. Nothing leaves this machine without consent.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray  # noqa: PLC0415 - an optional extra
        except ImportError:
            raise UnlearnError("--launcher ray needs ray", "pip install 'unlearn-cli[ray]'") from None
        settings = {"num_cpus": 1, **({"num_gpus": 1} if gpu else {}), "max_retries": 0, **options}
        self._ray, self._address = ray, str(settings.pop("address", LOCAL))
        try:
            self._function = ray.remote(executed).options(**settings)
        except (TypeError, ValueError) as error:
            raise UnlearnError(
                f"--launcher-option: {str(error).splitlines()[0]}",
                "address=auto, num_cpus=4, num_gpus=1, memory=64e9",
            ) from None

    @contextmanager
    def connected(self) -> Iterator[None]:
        """A context with a connection to the cluster. Ray that was started here is stopped at the end.

        Raises:
            UnlearnError: there is no cluster at the address.
        """
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if self._address == LOCAL:
            quiet["include_dashboard"] = False
        try:
            host, _, port = self._address.removeprefix("ray://").rpartition(":")
            if host:  # Ray would wait for minutes
                socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
            self._ray.init(address=self._address, **quiet)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise UnlearnError(
                f"no Ray cluster at {self._address}: {str(error).strip().splitlines()[0]}",
                "--launcher-option address=HOST:6379; without an address Ray is started on this machine",
            ) from None
        try:
            yield
        finally:
            self._ray.shutdown()

    def submit(self, job: Job) -> RayJob:
        """Queue one run."""
        return RayJob(self._ray, self._function.remote(job.task, job.device, Path.cwd()))


def outcomes(tasks: Iterator[Task], queue: RayQueue, device: str, at_once: int) -> Generator[Outcome, None, None]:
    """Execute the tasks in the cluster. See `cluster.outcomes`."""
    with queue.connected():
        yield from cluster.outcomes(tasks, queue, device, at_once)
