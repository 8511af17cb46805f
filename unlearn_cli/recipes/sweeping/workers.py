"""Runs of a sweep: one after the other on one device, or side by side, each on a device of its own."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.errors import EXIT_DIVERGED, EXIT_INTERRUPTED, UnlearnError, out_of_memory
from unlearn_cli.models.load import resolve_device
from unlearn_cli.models.model_cache import ModelCache
from unlearn_cli.recipes import forget
from unlearn_cli.recipes.forgetting.interrupt import Interrupted, deferred
from unlearn_cli.report import FILE, RunReport, read_report

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 120  # for a step to end and its checkpoint to be written


@dataclass(frozen=True)
class Task:
    """One run to make."""

    name: str  # of its folder
    config: ForgetConfig
    sources: dict[str, str]
    command_line: list[str]
    measured: Path | None  # what another run measured before


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    name: str
    status: str = ""  # of the report; empty without one
    error: str | None = None
    interrupted: int | None = None  # exit code
    loads: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    shown: dict[str, float] = field(default_factory=dict)  # a few scores

    @property
    def finished(self) -> bool:
        """There is a report of this run."""
        return bool(self.status)


class _Bars(Reporter):
    """Progress bars of a run inside a sweep; what else it says is in its report."""

    def say(self, message: str, *, even_if_quiet: bool = False) -> None:
        if even_if_quiet:
            super().say(message, even_if_quiet=True)

    def show(self, renderable: Any) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)


def devices(choice: str, jobs: int) -> list[str]:
    """As many devices of the kind chosen as there are jobs; all of them for 0.

    Raises:
        UnlearnError: more jobs than devices: two runs on one only slow each other, and share its memory.
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
            "each job needs a device of its own; --jobs 0 takes all that are there",
        )
    return [f"{kind}:{i}" for i in range(jobs or count)] if kind == "cuda" else [choice]


def outcomes(tasks: Iterator[Task], on: Sequence[str], cache: ModelCache) -> Iterator[Outcome]:
    """Make the runs; what comes of each, in the order in which they end. A task is asked for when a device is free.

    Args:
        tasks: the runs.
        on: devices.
        cache: of the base model, for one device; processes side by side have caches of their own.

    Raises:
        Interrupted: stopped by a signal, with a checkpoint of what was being trained.
    """
    return _one_by_one(tasks, on[0], cache) if len(on) == 1 else _side_by_side(tasks, on)


def _one_by_one(tasks: Iterator[Task], device: str, cache: ModelCache) -> Iterator[Outcome]:
    for task in tasks:
        outcome = _made(task, device, cache, _Bars())
        if outcome.interrupted is not None:
            raise Interrupted(outcome.interrupted, f"interrupted in {task.name}: the same command goes on")
        yield outcome


def _made(task: Task, device: str, cache: ModelCache, reporter: Reporter) -> Outcome:
    """What came of one run; whatever goes wrong in it is its own affair, and the sweep's other runs are made."""
    config, loads = task.config.model_copy(update={"device": device}), cache.loads
    try:
        report: RunReport = forget.run(
            config, task.sources, task.command_line, reporter, show=False, load=cache.load, measured=task.measured
        )
        return _outcome(task, report, cache.loads - loads)
    except UnlearnError as error:
        if error.exit_code == EXIT_DIVERGED and (config.output_dir / FILE).is_file():
            return _outcome(task, read_report(config.output_dir), cache.loads - loads)
        return Outcome(task.name, error=error.message, loads=cache.loads - loads)
    except Interrupted as error:
        return Outcome(task.name, interrupted=error.exit_code)
    except Exception as error:
        known = out_of_memory(error)
        message = known.message if known else _where(error)
    # Outside of the handler, whose traceback holds on to what filled the memory.
    cache.drop()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Outcome(task.name, error=message, loads=cache.loads - loads)


def _where(error: Exception) -> str:
    """An error that nobody foresaw, with the line that raised it: no traceback will show it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
    return f"{where}; the same setting with `unlearn forget` and --debug shows more"


def _outcome(task: Task, report: RunReport, loads: int) -> Outcome:
    shown = {}
    for split in ("forget", "retain"):
        both = report.scores.get(split, {}).get("probability")
        if both and both.after and both.after.value is not None:
            shown[f"{split}.probability"] = both.after.value
    return Outcome(task.name, report.status, loads=loads, seconds=dict(report.seconds), shown=shown)


@dataclass
class _Worker:
    process: Any
    inbox: Any
    holds: str | None = None  # name of the task it works on


def _side_by_side(tasks: Iterator[Task], on: Sequence[str]) -> Iterator[Outcome]:
    context = multiprocessing.get_context("spawn")
    outbox = context.Queue()
    workers = []
    for device in on:
        inbox = context.Queue()
        process = context.Process(target=_serve, args=(device, inbox, outbox), daemon=True)
        process.start()
        workers.append(_Worker(process, inbox))
    try:
        with deferred() as asked:
            for worker in workers:
                _hand(worker, tasks)
            while any(worker.holds for worker in workers) and asked.exit_code is None:
                outcome = _next(workers, outbox)
                if outcome is None:
                    continue
                yield outcome
                worker = next(w for w in workers if w.holds == outcome.name)
                worker.holds = None
                if worker.process.is_alive():
                    _hand(worker, tasks)
        if asked.exit_code is not None:
            busy = ", ".join(worker.holds for worker in workers if worker.holds)
            raise Interrupted(asked.exit_code, f"interrupted in {busy}: the same command goes on")
    finally:
        for worker in workers:
            if worker.holds and worker.process.is_alive():
                worker.process.terminate()  # SIGTERM: a run in training writes a checkpoint
            worker.inbox.put(None)
        for worker in workers:
            worker.process.join(PATIENCE_SECONDS)
            worker.process.kill()


def _hand(worker: _Worker, tasks: Iterator[Task]) -> None:
    task = next(tasks, None)
    if task is not None:
        worker.holds = task.name
        worker.inbox.put(task)


def _next(workers: Sequence[_Worker], outbox: Any) -> Outcome | None:
    """The next outcome; that of a worker that has died says so. None if nothing has come yet."""
    try:
        return outbox.get(timeout=POLL_SECONDS)
    except Empty:
        dead = next((w for w in workers if w.holds and not w.process.is_alive()), None)
        return Outcome(dead.holds, error=f"its process ended with code {dead.process.exitcode}") if dead else None


def _serve(device: str, inbox: Any, outbox: Any) -> None:
    """Make runs on one device until None comes."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the parent alone, which passes one signal on: a second one would cut checkpoints off
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
        outbox.put(_made(task, device, cache, Reporter(quiet=True)))


def _stop_with(parent: int) -> None:
    """End this process as its parent would: one that was killed cannot, and the same command may start the run again."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
