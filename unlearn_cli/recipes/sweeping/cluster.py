"""`sweep --launcher submitit`: each run is a job of a cluster's queue (Slurm), or a process of submitit's on this machine.

The sweep itself stays a light process that submits jobs and reads their outcomes from the shared file system.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unlearn_cli.console import Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.model_cache import ModelCache
from unlearn_cli.recipes.forgetting.interrupt import Interrupted, deferred
from unlearn_cli.recipes.sweeping.workers import TIMEOUT_SECONDS, Outcome, Task, execute

FOLDER = ".jobs"  # in the sweep's folder: pickled jobs and their logs; hidden, so that `compare sweep/*` does not match it
MINUTES = 60  # of a job; one that needs more is queued again and goes on from its newest checkpoint
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """One run, as submitit calls it in the job's process."""

    task: Task
    device: str

    def __call__(self) -> Outcome:
        """Execute the run. An error becomes its outcome."""
        if hasattr(os, "setsid"):
            # So Ctrl-C at the terminal reaches only the sweep, which cancels its jobs. A second signal would end a
            # run before its checkpoint.
            with suppress(PermissionError):  # the queue has done it already
                os.setsid()
        return execute(self.task, self.device, ModelCache(), Reporter(quiet=True))

    def checkpoint(self) -> Any:
        """What submitit queues when the job's time is over, or a more urgent job takes its place."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415 - an optional extra

        config = self.task.config.model_copy(update={"resume": True})
        return DelayedSubmission(replace(self, task=replace(self.task, config=config)))


def executor(folder: Path, options: Mapping[str, Any], *, gpu: bool) -> Any:
    """submitit's executor, for jobs whose files go into `folder`.

    Args:
        folder: the sweep's.
        options: `cluster` (slurm, local), and submitit's own parameters: timeout_min, gpus_per_node, slurm_partition, ...
        gpu: a job gets a GPU, unless `options` says otherwise.

    Raises:
        UnlearnError: submitit is not installed, or does not know an option.
    """
    try:
        import submitit  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise UnlearnError("--launcher submitit needs submitit", "pip install 'unlearn-cli[cluster]'") from None
    settings = {"name": "unlearn", "timeout_min": MINUTES, **({"gpus_per_node": 1} if gpu else {}), **options}
    cluster = settings.pop("cluster", None)
    try:
        queue = submitit.AutoExecutor(folder / FOLDER, cluster=cluster)
        queue.update_parameters(**settings)
    except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:
        raise UnlearnError(
            f"--launcher-option: {str(error).splitlines()[0]}",
            "timeout_min=120, gpus_per_node=1, mem_gb=64, slurm_partition=NAME, cluster=slurm or cluster=local",
        ) from None
    return queue


def outcomes(tasks: Iterator[Task], queue: Any, device: str, at_once: int) -> Generator[Outcome, None, None]:
    """Execute the tasks as jobs. Yields their outcomes in the order in which they end.

    Args:
        tasks: the runs; one is taken when a place is free.
        queue: what `executor` returns.
        device: of each job.
        at_once: jobs that wait or run at the same time; 0: all.

    Raises:
        Interrupted: a signal stopped the sweep; its jobs are canceled, and write a checkpoint if they are in training.
        UnlearnError: a job cannot be submitted.
    """
    jobs: dict[str, Any] = {}
    try:
        with deferred() as interruption:
            while interruption.exit_code is None:
                while not (at_once and len(jobs) >= at_once) and (task := next(tasks, None)) is not None:
                    jobs[task.name] = _submitted(queue, Job(task, device))
                if not jobs:
                    return
                ended = next((name for name, job in jobs.items() if job.done()), None)
                if ended is None:
                    time.sleep(POLL_SECONDS)
                else:
                    yield _outcome(ended, jobs.pop(ended))
        raise Interrupted(interruption.exit_code, f"interrupted in {', '.join(jobs)}: the same command continues")
    finally:
        _cancel(jobs)


def _submitted(queue: Any, job: Job) -> Any:
    try:
        return queue.submit(job)
    except Exception as error:  # what the queue's own command answers
        raise UnlearnError(
            f"{job.task.name} cannot be submitted: {str(error).strip().splitlines()[0]}",
            "--launcher-option says what the cluster asks for, as slurm_partition=NAME",
        ) from error


def _outcome(name: str, job: Any) -> Outcome:
    """The outcome of a job that has ended; an error if it was killed, or stopped from outside."""
    log = job.paths.stderr
    if (error := job.exception()) is not None:
        return Outcome(name, error=f"its job {job.job_id} left no result ({type(error).__name__}); its log is {log}")
    outcome: Outcome = job.result()
    if outcome.interrupted is None:
        return outcome
    return replace(outcome, interrupted=None, error=f"its job {job.job_id} was stopped: the same command continues")


def _cancel(jobs: Mapping[str, Any]) -> None:
    """Cancel jobs, and wait until they have written their checkpoints."""
    for job in jobs.values():
        with suppress(Exception):  # it has ended meanwhile
            job.cancel(check=False)
    until = time.monotonic() + TIMEOUT_SECONDS
    while not all(job.done(force_check=True) for job in jobs.values()) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
