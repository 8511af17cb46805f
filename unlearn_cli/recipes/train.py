"""The training of a run: steps, checkpoints, measurements on the way, and reasons to stop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from unlearn_cli.models import memory
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.inputs import Input
from unlearn_cli.recipes.interrupt import Interrupted, deferred
from unlearn_cli.recipes.midway import Moments, measure_on_the_way
from unlearn_cli.recipes.progress import Run
from unlearn_cli.recipes.tracking import tracked
from unlearn_cli.report import Status, Trajectory
from unlearn_cli.training.checkpoint import load_checkpoint, newest, save_checkpoint
from unlearn_cli.training.gradients import Diverged
from unlearn_cli.training.loop import StepRecord, Trainer


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
    config, pairing = run.config, trainer.pairing
    start = 0
    checkpoint = newest(run.folder.checkpoints) if config.resume else None
    if config.resume and checkpoint is None:
        why = "there is no checkpoint to resume from" if trainer.resumable else f"{config.method} keeps no checkpoints"
        run.reporter.note(f"{why}: starting at step 1")
    if checkpoint is not None:
        start = run.resumed_from = load_checkpoint(checkpoint, names, trainer.optimizer, key, trainer.state)
        run.reporter.say(f"resuming after step {start} of {trainer.steps}")
    run.steps = run.folder.keep_steps(start)
    run.trajectory = [Trajectory.model_validate(line.pop("trajectory")) for line in run.steps if "trajectory" in line]
    epoch = pairing.steps(1)
    save_every = config.save_every or epoch
    eval_every = config.eval_every or (epoch if stop_when else None)
    kept = {"parameters": names, "optimizer": trainer.optimizer, "key": key, "carried": trainer.state}
    save = partial(save_checkpoint, run.folder.checkpoints, **kept) if trainer.resumable else lambda step: None

    tokens = sum(line["tokens"] for line in run.steps)
    _announce(run, loaded, trainer, names)
    record: StepRecord | None = None
    tracking = tracked(config.report_to, run.folder.path, config.model_dump(mode="json"))
    bars = run.reporter.progress("forgetting", trainer.steps, start)
    with run.phase("train"), tracking as log, deferred() as asked, bars as bar:
        try:
            for record in trainer.train(start):
                tokens += record.tokens
                line = run.folder.append(record)
                run.steps.append(line)
                log(line)
                bar.advance(1, detail(record, _held(loaded)))
                if config.forget_loss_floor is not None and record.forget_loss < config.forget_loss_floor:
                    run.stopped_by = f"forget loss {record.forget_loss:.3f} is below --forget-loss-floor"
                if eval_every and record.step % eval_every == 0 and record.step < trainer.steps:
                    measure_on_the_way(run, loaded, inputs, moments, record.step, stop_when)
                if record.step % save_every == 0 and record.step < trainer.steps:
                    save(record.step)
                if asked.exit_code is not None:
                    path = save(record.step)
                    kept_at = f"{path} is kept: add --resume to go on" if path else "the same command starts it anew"
                    again = f"interrupted after step {record.step} of {trainer.steps}; {kept_at}"
                    raise Interrupted(asked.exit_code, again)
                if run.stopped_by:
                    break
        except Diverged as error:
            save(error.step - 1)
            return "diverged", f"{error.message}; {error.hint}"
    if record is not None:
        save(record.step)
    if run.stopped_by:
        run.reporter.say(f"stopped: {run.stopped_by}")
    return ("stopped" if run.stopped_by else "completed"), run.stopped_by


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
