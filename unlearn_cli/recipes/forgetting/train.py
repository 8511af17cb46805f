"""The training of a run: steps, checkpoints, measurements on the way, and reasons to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from unlearn_cli.models import memory
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.during_training import Moments, measure_on_the_way
from unlearn_cli.recipes.forgetting.interrupt import Interrupted, deferred
from unlearn_cli.recipes.forgetting.run_state import Run
from unlearn_cli.recipes.forgetting.tracking import tracked
from unlearn_cli.recipes.scoring.outcome import without_gradient
from unlearn_cli.recipes.scoring.splits import Input
from unlearn_cli.report import Status, Trajectory
from unlearn_cli.training.checkpoint import Ended, load_checkpoint, newest, save_checkpoint
from unlearn_cli.training.gradients import Diverged
from unlearn_cli.training.loop import PROBED, StepRecord, Trainer


def train(
    run: Run,
    loaded: LoadedModel,
    inputs: Mapping[str, Input],
    trainer: Trainer,
    names: list[tuple[str, torch.nn.Parameter]],
    key: str,
    moments: Moments,
    stop_when: Any,
) -> tuple[Status, str | None]:
    """Run the loop.

    Returns:
        how it ended, and why if not by its last step.

    Raises:
        Interrupted: asked to stop, with a checkpoint written where the method keeps any.
    """
    config = run.config
    start, ended = 0, None
    checkpoint = newest(run.folder.checkpoints) if config.resume else None
    if config.resume and checkpoint is None:
        why = "there is no checkpoint to resume from" if trainer.resumable else f"{config.method} keeps no checkpoints"
        run.reporter.say(f"{why}: starting at step 1")
    if checkpoint is not None:
        start, ended = load_checkpoint(checkpoint, names, trainer.optimizer, key, trainer.state)
        run.resumed_from = start
        run.reporter.say(f"resuming after step {start} of {trainer.steps}")
    lines = run.folder.keep_lines(start)
    run.steps = [line for line in lines if "trajectory" not in line]
    run.trajectory = [Trajectory.model_validate(line["trajectory"]) for line in lines if "trajectory" in line]
    _announce(run, loaded, trainer, names)
    if ended is None:
        kept = {"parameters": names, "optimizer": trainer.optimizer, "key": key, "carried": trainer.state}
        save = partial(save_checkpoint, run.folder.checkpoints, **kept)
        ended = _steps(run, loaded, inputs, trainer, start, moments, stop_when, save if trainer.resumable else _not_kept)
    status, why = ended or ("completed", None)
    if status == "stopped":
        run.stopped_by = why
        run.reporter.say(f"stopped: {why}")
    return status, why


def _not_kept(step: int, ended: Ended | None = None) -> None:
    """In place of a checkpoint, for what keeps none."""


def _steps(
    run: Run,
    loaded: LoadedModel,
    inputs: Mapping[str, Input],
    trainer: Trainer,
    start: int,
    moments: Moments,
    stop_when: Any,
    save: Callable[..., Path | None],
) -> Ended | None:
    """Train from `start` on; returns why it ended, if not by its last step. See `train`."""
    config, epoch = run.config, trainer.pairing.steps(1)
    save_every = config.save_every or epoch
    eval_every = config.eval_every or (epoch if stop_when else None)
    ended: Ended | None = None
    last, path = start, newest(run.folder.checkpoints) if start else None
    tracking = tracked(config.report_to, run.folder.path, config.model_dump(mode="json"))
    bars = run.reporter.progress("forgetting", trainer.steps, start)
    with run.phase("train"), tracking as log, deferred() as asked, bars as bar:
        try:
            for record in trainer.train(start):
                last = record.step
                line = run.folder.append(record)
                run.steps.append(line)
                log(line)
                bar.advance(1, detail(record, _held(loaded)))
                if record.step == min(PROBED, trainer.steps) and (why := without_gradient(_first(run.steps))):
                    return "no_effect", why
                if config.forget_loss_floor is not None and record.forget_loss < config.forget_loss_floor:
                    ended = "stopped", f"forget loss {record.forget_loss:.3f} is below --forget-loss-floor"
                if eval_every and last % eval_every == 0 and last < trainer.steps:
                    why = measure_on_the_way(run, loaded, inputs, moments, last, stop_when)
                    ended = ("stopped", why) if why else ended
                if ended or asked.exit_code is not None:
                    break
                if last % save_every == 0 and last < trainer.steps:
                    save(last)
        except Diverged as error:
            last, ended = error.step - 1, ("diverged", f"{error.message}; {error.hint}")
        if last > start or ended:
            path = save(last, ended=ended)
    if asked.exit_code is not None:
        kept_at = f"{path} is kept: add --resume to go on" if path else "the same command starts it anew"
        raise Interrupted(asked.exit_code, f"interrupted after step {last} of {trainer.steps}; {kept_at}")
    return ended


def _first(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of the first steps, in which the forget loss's own gradient is looked at."""
    return [line for line in lines if "forget_loss" in line and line["step"] <= PROBED]


def _announce(run: Run, loaded: LoadedModel, trainer: Trainer, names: list) -> None:
    config, sources = run.config, run.settled.sources
    trained, total = sum(p.numel() for _, p in names), sum(p.numel() for p in loaded.model.parameters())
    effective = trainer.pairing.batch
    run.reporter.say(
        f"{config.method} + {config.retain_term}: {trainer.steps} steps of {effective} forget rows "
        f"({config.batch_size} x {config.gradient_accumulation_steps})"
        + (f" and {trainer.pairing.retain_batch} retain rows" if trainer.rows.retain else "")
        + f" = {trainer.steps * effective / trainer.pairing.forget_rows:.1f} epochs"
    )
    run.reporter.say(
        f"learning rate {config.learning_rate:.3g} ({sources['learning_rate']}); "
        f"{trained:,} of {total:,} weights are trained on {loaded.device}"
    )


def detail(record: StepRecord, held: float) -> str:
    """A step in a few words, with `held` GiB in use; what matters most comes first, for a narrow terminal cuts the end."""
    retain = "" if record.retain_loss is None else f" retain {record.retain_loss:.3f}"
    speed = record.tokens / record.seconds
    return f"forget {record.forget_loss:.3f}{retain}  grad {record.grad_norm:.2f}  {speed:,.0f} tok/s  {held:.1f} GiB"


def _held(loaded: LoadedModel) -> float:
    used = memory.peak(loaded.device)
    return used.get("device", used["rss"]) / 2**30
