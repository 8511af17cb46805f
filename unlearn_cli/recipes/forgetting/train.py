"""The third stage of a run: the training loop and its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from unlearn_cli.models import memory, ranks
from unlearn_cli.recipes.forgetting.during_training import History, Watch
from unlearn_cli.recipes.forgetting.interrupt import Interrupted, deferred
from unlearn_cli.recipes.forgetting.prepare import PreparedRun
from unlearn_cli.recipes.forgetting.pursuit import Prune, Pursuit
from unlearn_cli.recipes.forgetting.tracking import tracked
from unlearn_cli.report import Status
from unlearn_cli.report_parts import Trajectory
from unlearn_cli.training.checkpoint import Checkpoints, Ended
from unlearn_cli.training.gradients import Diverged
from unlearn_cli.training.loop import StepRecord

SAVE_SECONDS = 60.0  # between checkpoints, without --save-every; so a run that is killed loses about a minute
SECONDS = "seconds"  # in a checkpoint: those of each phase up to there
SAVE_SHARE = 0.05  # the largest share of the time that checkpoints take


@dataclass(frozen=True)
class TrainedRun:
    """A run whose training has ended. The model of `prepared` is now the trained one."""

    prepared: PreparedRun
    status: Status
    message: str | None  # why training ended before its last step
    history: History
    resumed_from: int | None  # step of the checkpoint from which training was resumed


def train(run: PreparedRun, prune: Prune | None = None) -> TrainedRun:
    """Train, from the newest checkpoint if the run is resumed. `prune` decides for a search whether the run ends early.

    Raises:
        Pruned: a search ends the run.
        Interrupted: a signal stopped the run; a checkpoint is written, unless the method is a procedure.
    """
    resumed_from, ended = _resumed(run)
    start = last = resumed_from or 0
    _keep_threads(run)
    history, path, parts = ranks.once(lambda: _history(run, start)), None, run.trainer.parts
    _announce(run)
    if ended is None:
        config, folder = run.resolved.config, run.resolved.folder
        pursuit = Pursuit(run, run.target, prune) if run.target else None
        watch, due = Watch(run, history, pursuit), _Due(config.save_every)
        tracking = tracked(config.report_to, folder.path, config.model_dump(mode="json"))
        bars = run.resolved.reporter.progress("forgetting", run.steps, start)
        with run.resolved.clock.phase("train"), tracking as log, deferred() as request, bars as bar:
            while True:
                try:
                    for record in run.records(last):
                        parts = _note_parts(run, record, parts)
                        last, line = record.step, folder.append(record)
                        history.add(line)
                        log(line)
                        bar.advance(1, detail(record, _gibibytes(run)))
                        ended = watch.after(record)
                        request.exit_code = _of_any(request.exit_code)
                        if ended or request.exit_code is not None:
                            break
                        if last < run.steps and due(last):
                            with due.saving():
                                _save(run, last)
                except Diverged as error:
                    last, ended = error.step - 1, watch.diverged(error)
                    if ended is None:
                        continue  # with the weights of an earlier state; the step is taken again
                break
            path = _save(run, last, ended) if last > start or ended else _newest(run)
        if request.exit_code is not None:
            next_step = f"{path} is kept: add --resume to continue" if path else "the same command starts again"
            raise Interrupted(request.exit_code, f"interrupted after step {last} of {run.steps}; {next_step}")
    status, message = ended or ("completed", None)
    if status == "stopped" or (run.target and message):
        run.resolved.reporter.say(f"{status}: {message}")
    return TrainedRun(run, status, message, history, resumed_from)


@dataclass
class _Due:
    """When a checkpoint is due: every N steps, or after a time that keeps the share of writing small."""

    every: int | None  # steps; None: by the clock
    saved: float = field(default_factory=time.monotonic)  # time of the last checkpoint
    seconds: float = SAVE_SECONDS  # until the next checkpoint

    def __call__(self, step: int) -> bool:
        """Whether a checkpoint is due after this step."""
        return step % self.every == 0 if self.every else time.monotonic() - self.saved >= self.seconds

    @contextmanager
    def saving(self) -> Iterator[None]:
        """A context that times the writing of a checkpoint."""
        began = time.monotonic()
        yield
        self.saved = time.monotonic()
        self.seconds = max(SAVE_SECONDS, (self.saved - began) / SAVE_SHARE)


def _note_parts(run: PreparedRun, record: StepRecord, parts: int) -> int:
    """The number of passes of a step; prints a note if it has grown because memory ran out."""
    if record.parts > parts:
        run.resolved.reporter.note(
            f"out of memory at step {record.step}: a step is now run in {record.parts} passes; its loss stays the same"
        )
    return max(record.parts, parts)


def _resumed(run: PreparedRun) -> tuple[int | None, Ended | None]:
    """Restore the newest checkpoint of a resumed run. Returns its step, and the reason if training ended there."""
    if not run.resolved.config.resume:
        return None, None
    say, checkpoint = run.resolved.reporter.say, _newest(run)
    if run.checkpoints is not None:
        checkpoint = _copied(checkpoint, run.checkpoints)
    if run.checkpoints is None or checkpoint is None:
        name = run.resolved.config.method
        why = f"{name} writes no checkpoints" if run.checkpoints is None else "there is no checkpoint to resume from"
        say(f"{why}: starting at step 1")
        return None, None
    step, ended = run.checkpoints.load(checkpoint)
    run.resolved.clock.add(run.trainer.state.pop(SECONDS, {}))
    say(f"resuming after step {step} of {run.steps}")
    return step, ended


def _keep_threads(run: PreparedRun) -> None:
    """Continue with the number of threads that a trial chose at the start: another number gives other rounding."""
    state = run.trainer.state
    if "threads" in state and run.threads and run.threads.origin.startswith("a trial"):
        torch.set_num_threads(state["threads"])
    state["threads"] = torch.get_num_threads()


def _history(run: PreparedRun, start: int) -> History:
    """The lines of metrics.jsonl up to step `start`; later lines are removed from the file."""
    lines = run.resolved.folder.keep_lines(start)
    history = History([Trajectory.model_validate(line["trajectory"]) for line in lines if "trajectory" in line])
    for line in lines:
        if "loss" in line:
            history.add(line)
    return history


def _newest(run: PreparedRun) -> Path | None:
    return run.checkpoints.newest() if run.checkpoints else None


def _save(run: PreparedRun, step: int, ended: Ended | None = None) -> Path | None:
    if not run.checkpoints or ranks.rank() > 0:
        return None
    run.resolved.clock.count()
    run.trainer.state[SECONDS] = dict(run.resolved.clock.seconds)
    return run.checkpoints.save(step, ended)


def _copied(path: Path | None, checkpoints: Checkpoints) -> Path | None:
    """The checkpoint in this process's folder; other processes than the first write none, and get a copy of its."""
    if ranks.count() == 1:
        return path
    first = ranks.once(lambda: (path.name, path.read_bytes()) if path else None)
    if first is None or ranks.rank() == 0:
        return path
    checkpoints.folder.mkdir(parents=True, exist_ok=True)
    copy = checkpoints.folder / first[0]
    copy.write_bytes(first[1])
    return copy


def _of_any(exit_code: int | None) -> int | None:
    """The exit code of the first process that got a signal, so that all processes end after the same step."""
    return next((code for code in ranks.gathered(exit_code) if code is not None), None)


def _announce(run: PreparedRun) -> None:
    """Print the length of the training and the learning rate."""
    config, trainer, say = run.resolved.config, run.trainer, run.resolved.reporter.say
    model, effective = run.model, trainer.pairing.batch
    trained, total = sum(p.numel() for _, p in run.parameters), sum(p.numel() for p in model.model.parameters())
    most, processes = "at most " if run.target else "", f", shared by {ranks.count()} processes" if ranks.count() > 1 else ""
    retain = f" and {run.pairing.retain_batch} retain rows" if trainer.passes.rows.retain else ""
    say(
        f"{config.method} + {config.retain_term}: {most}{run.steps} steps of {effective} forget rows "
        f"({trainer.parts} {'pass' if trainer.parts == 1 else 'passes'}{processes}){retain}"
        f" = {run.steps * effective / run.pairing.forget_rows:.3g} epochs"
    )
    say(
        f"learning rate {config.learning_rate:.3g} ({run.resolved.settings.sources['learning_rate']}); "
        f"{trained:,} of {total:,} weights are trained on {model.device}"
    )


def detail(record: StepRecord, used: float) -> str:
    """A step in a few words; `used`: peak memory in GiB. The losses come first, because a narrow terminal cuts the end."""
    retain = "" if record.retain_loss is None else f" retain {record.retain_loss:.3f}"
    speed = record.tokens / record.seconds
    return f"forget {record.forget_loss:.3f}{retain}  grad {record.grad_norm:.2f}  {speed:,.0f} tok/s  {used:.1f} GiB"


def _gibibytes(run: PreparedRun) -> float:
    """Peak memory in GiB: the device's if it is known, else the process's."""
    peak = memory.peak(run.model.device)
    return peak.get("device", peak["rss"]) / 2**30
