"""Run the runs of a sweep one after the other on one device, or in parallel with one device each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import torch

from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Bars, Reporter
from unlearn_cli.errors import EXIT_DIVERGED, EXIT_INTERRUPTED, StorageError, UnlearnError, out_of_memory
from unlearn_cli.models.device import resolve_device
from unlearn_cli.models.memory import release_memory
from unlearn_cli.models.model_cache import ModelCache
from unlearn_cli.recipes import forget
from unlearn_cli.recipes.forgetting.interrupt import Interrupted, Pruned, deferred
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.recipes.sweeping.pruning import Pruning
from unlearn_cli.report import FILE, RunReport, read_report

POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 120  # for a worker to finish its step and write a checkpoint


@dataclass(frozen=True)
class Task:
    """One run to execute."""

    name: str  # of its folder
    config: ForgetConfig
    sources: dict[str, str]
    command_line: list[str]
    measured: Path | None  # folder of another run's measurements before training
    prune: Pruning | None = None  # in a search


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task."""

    name: str
    status: str = ""  # in the report; empty without a report
    error: str | None = None
    of_storage: bool = False  # whether the error is of the disk: then no other run would do better
    interrupted: int | None = None  # exit code of an interruption
    pruned: int | None = None  # step after which a search ended the run
    loads: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)  # a few, to show

    @property
    def finished(self) -> bool:
        """Whether the run has a report."""
        return bool(self.status)


# Executes tasks, with the cache for runs in this process; yields their outcomes in the order in which they end.
Places = Callable[[Iterator[Task], ModelCache], Generator[Outcome, None, None]]


def devices(choice: str, jobs: int) -> list[str]:
    """One device of the chosen kind for each job; all devices if `jobs` is 0.

    Raises:
        UnlearnError: more jobs than devices. Two runs on one device would slow each other and share its memory.
    """
    if jobs == 1:
        return [choice]
    kind = resolve_device(choice).type
    if ":" in choice:
        raise UnlearnError(f"--device {choice} is one device", f"--jobs {jobs} --device {kind}")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if jobs > count:
        raise UnlearnError(
            f"--jobs {jobs}, and there {'is 1 device' if count == 1 else f'are {count} devices'} ({kind})",
            "each job needs its own device; --jobs 0 uses all devices",
        )
    return [f"{kind}:{i}" for i in range(jobs or count)] if kind == "cuda" else [choice]


def outcomes(tasks: Iterator[Task], devices: Sequence[str], cache: ModelCache) -> Generator[Outcome, None, None]:
    """Execute the tasks. Yields their outcomes in the order in which they end. A task is taken when a device is free.

    Args:
        tasks: the runs.
        devices: each executes one run at a time.
        cache: cache of the base model, for one device; parallel processes have their own.

    Raises:
        Interrupted: a signal stopped a run; a checkpoint is written.
    """
    return _one_by_one(tasks, devices[0], cache) if len(devices) == 1 else _in_parallel(tasks, devices)


def _one_by_one(tasks: Iterator[Task], device: str, cache: ModelCache) -> Generator[Outcome, None, None]:
    for task in tasks:
        outcome = execute(task, device, cache, Bars())
        if outcome.interrupted is not None:
            raise Interrupted(outcome.interrupted, f"interrupted in {task.name}: the same command continues")
        yield outcome


def execute(task: Task, device: str, cache: ModelCache, reporter: Reporter) -> Outcome:
    """Execute one task. An error becomes its outcome and does not end the sweep."""
    config, loads = task.config.model_copy(update={"device": device}), cache.loads
    try:
        shared = forget.Shared(cache.load, task.measured, task.prune)
        report = forget.run(config, task.sources, task.command_line, reporter, shared=shared)
        assert report is not None  # it is not a dry run
        return _outcome(task, report, cache.loads - loads)
    except StorageError as error:
        return Outcome(task.name, error=error.message, of_storage=True, loads=cache.loads - loads)
    except UnlearnError as error:
        folder = config.output_dir
        if error.exit_code == EXIT_DIVERGED and folder is not None and (folder / FILE).is_file():
            return _outcome(task, read_report(folder), cache.loads - loads)
        return Outcome(task.name, error=error.message, loads=cache.loads - loads)
    except Interrupted as error:
        return Outcome(task.name, interrupted=error.exit_code)
    except Pruned as error:
        RunFolder(config.output_dir or Path()).drop_checkpoints()  # a pruned run is never resumed
        return Outcome(task.name, pruned=error.step, loads=cache.loads - loads)
    except Exception as error:
        memory_error = out_of_memory(error)
        message = memory_error.message if memory_error else _where(error)
    # After the except block, whose traceback holds references to the tensors that filled the memory.
    cache.drop()
    release_memory()
    return Outcome(task.name, error=message, loads=cache.loads - loads)


def _where(error: Exception) -> str:
    """An unexpected error with the line that raised it, because no traceback is shown."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
    return f"{where}; the same setting with `unlearn forget` and --debug shows more"


def _outcome(task: Task, report: RunReport, loads: int) -> Outcome:
    scores = {}
    for split in ("forget", "retain"):
        probability = report.scores.get(split, {}).get("probability")
        if probability and probability.after and probability.after.value is not None:
            scores[f"{split}.probability"] = probability.after.value
    return Outcome(task.name, report.status, loads=loads, seconds=dict(report.seconds), scores=scores)


@dataclass
class _Worker:
    process: BaseProcess
    inbox: Queue[Task | None]
    task: str | None = None  # name of its current task


def _in_parallel(tasks: Iterator[Task], devices: Sequence[str]) -> Generator[Outcome, None, None]:
    context = multiprocessing.get_context("spawn")
    outbox: Queue[Outcome] = context.Queue()
    workers = []
    for device in devices:
        inbox: Queue[Task | None] = context.Queue()
        process = context.Process(target=_serve, args=(device, inbox, outbox), daemon=True)
        process.start()
        workers.append(_Worker(process, inbox))
    try:
        with deferred() as interruption:
            for worker in workers:
                _hand(worker, tasks)
            while any(worker.task for worker in workers) and interruption.exit_code is None:
                outcome = _next(workers, outbox)
                if outcome is None:
                    continue
                yield outcome
                worker = next(w for w in workers if w.task == outcome.name)
                worker.task = None
                if worker.process.is_alive():
                    _hand(worker, tasks)
        if interruption.exit_code is not None:
            busy = ", ".join(worker.task for worker in workers if worker.task)
            raise Interrupted(interruption.exit_code, f"interrupted in {busy}: the same command continues")
    finally:
        for worker in workers:
            if worker.task and worker.process.is_alive():
                worker.process.terminate()  # SIGTERM: a run in training writes a checkpoint
            worker.inbox.put(None)
        for worker in workers:
            worker.process.join(TIMEOUT_SECONDS)
            worker.process.kill()


def _hand(worker: _Worker, tasks: Iterator[Task]) -> None:
    task = next(tasks, None)
    if task is not None:
        worker.task = task.name
        worker.inbox.put(task)


def _next(workers: Sequence[_Worker], outbox: Queue[Outcome]) -> Outcome | None:
    """The next outcome, or the error of a worker that died. None if there is none yet."""
    try:
        return outbox.get(timeout=POLL_SECONDS)
    except Empty:
        for worker in workers:
            if worker.task and not worker.process.is_alive():
                return Outcome(worker.task, error=f"its process ended with code {worker.process.exitcode}")
        return None


def _serve(device: str, inbox: Queue[Task | None], outbox: Queue[Outcome]) -> None:
    """Execute tasks on one device until None comes."""
    if hasattr(os, "setsid"):
        # So Ctrl-C reaches only the parent, which sends one signal. A second one would interrupt the checkpoint.
        os.setsid()
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(EXIT_INTERRUPTED))
    cache, parent = ModelCache(), os.getppid()
    threading.Thread(target=_stop_with, args=(parent,), daemon=True).start()
    while os.getppid() == parent:
        try:
            task = inbox.get(timeout=POLL_SECONDS)
        except Empty:
            continue
        if task is None:
            return
        outbox.put(execute(task, device, cache, Reporter(quiet=True)))


def _stop_with(parent: int) -> None:
    """End this process when its parent is gone. A killed parent cannot end it, and a new sweep may start the same run."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
