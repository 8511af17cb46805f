"""`unlearn forget`: load, measure, train, save, read back, measure again, report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from unlearn_cli.config import ForgetConfig, runtime_fields
from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.data.overlap import check_overlap
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.errors import EXIT_DIVERGED, UnlearnError
from unlearn_cli.evaluation.gates import parse
from unlearn_cli.models import adapter, lora_init, memory
from unlearn_cli.models.compose import compose
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import LoadedModel, load_model
from unlearn_cli.recipes import inputs as splits
from unlearn_cli.recipes import plan, verdict
from unlearn_cli.recipes.artifact import identity_after, save_artifact
from unlearn_cli.recipes.checks import check_loaded, tell
from unlearn_cli.recipes.describe import model_report, training_report
from unlearn_cli.recipes.environment import environment
from unlearn_cli.recipes.inputs import Input
from unlearn_cli.recipes.interrupt import Interrupted, deferred
from unlearn_cli.recipes.measuring import measure_inputs
from unlearn_cli.recipes.midway import Moments, at_rest, calibrated, measure_on_the_way
from unlearn_cli.recipes.progress import Run
from unlearn_cli.recipes.run_folder import RunFolder
from unlearn_cli.recipes.scores import compared, passes, write_rows
from unlearn_cli.recipes.settle import default_output, make_encoder, settle_method, settle_model
from unlearn_cli.recipes.setup import make_trainer
from unlearn_cli.recipes.tracking import check_tracker, tracked
from unlearn_cli.rendering.model_card import model_card
from unlearn_cli.rendering.tables import scores_table
from unlearn_cli.report import (
    ArtifactReport,
    RunReport,
    Status,
    Trajectory,
    fingerprint,
    write_report,
    write_text,
)
from unlearn_cli.training.checkpoint import load_checkpoint, newest, save_checkpoint
from unlearn_cli.training.gradients import Diverged
from unlearn_cli.training.loop import StepRecord, Trainer


def run(
    config: ForgetConfig,
    sources: dict[str, str],
    command_line: list[str],
    reporter: Reporter,
    *,
    show: bool = True,
    load: Callable[..., LoadedModel] = load_model,
    measured: Path | None = None,
) -> RunReport | None:
    """Forget, and write the run folder.

    Args:
        config: what is asked for.
        sources: where each setting came from.
        command_line: for the report.
        reporter: what is told on the way.
        show: print the scores.
        load: gives the model; `sweep` hands the same one to every run.
        measured: measurements of the model before that may be used, if they are of the same weights, rows and settings.

    Returns:
        the report, or None after a dry run.

    Raises:
        UnlearnError: something the user can mend, or a run that diverged, collapsed or changed nothing (exit code 4,
            with the report written).
        Interrupted: stopped by a signal, with a checkpoint written.
    """
    check_tracker(config.report_to)
    settled = settle_method(config, sources)
    metrics = [name.replace("-", "_") for name in METRICS.names()]
    stop_when = parse(config.stop_when, metrics=metrics) if config.stop_when else None
    constraint = parse(config.calibrate, metrics=metrics) if config.calibrate else None
    texts = splits.load_splits(settled.config)
    if "retain" in texts:
        check_overlap(texts["forget"].examples, texts["retain"].examples, allow=config.allow_overlap)
    if config.dry_run:
        plan.show(settled, texts, reporter)
        return None
    settled.fill_default("output_dir", default_output(config))
    run = Run(settled, RunFolder(settled.config.output_dir), reporter, command_line)
    run.folder.check(resume=config.resume, overwrite=config.overwrite)
    _seed(settled.config)

    with run.phase("load"):
        reporter.say(f"loading {config.model}")
        loaded = load(settled.config, trainable=True)
        settle_model(settled, loaded.config)
        check_loaded(run, loaded)
        encoder = make_encoder(settled.config, loaded.tokenizer, loaded.stop_ids, settled.config.max_length)
        inputs = {name: splits.tokenized(split, encoder, settled.config.eval_limit) for name, split in texts.items()}
        tell(settled.config, loaded, encoder, inputs, reporter)
        before_key = identity(loaded.source, settled.config, str(loaded.dtype), loaded.device.type)
        run.folder.open(clear=config.overwrite and not config.resume)
        settings_key = _check_resumed(run, before_key, inputs)
        for path in measured.glob("before-*") if measured else ():
            run.folder.measured.mkdir(exist_ok=True)
            shutil.copy2(path, run.folder.measured)
    measure = partial(measure_inputs, loaded, inputs, options=settled.config, reporter=reporter)
    with run.phase("measure before"):
        moments: Moments = {"before": measure(before_key, folder=run.folder.measured, moment="before")}

    with run.phase("prepare"):
        trainer, names = make_trainer(run, loaded, encoder, texts, inputs, moments["before"], before_key)
    status, message = _train(run, loaded, inputs, trainer, names, settings_key, moments, stop_when)

    if run.config.lora_init != "default" and not run.config.full:
        lora_init.finish(loaded)
    if run.negated:
        adapter.scale_adapter(loaded.model, -run.negated)
    if constraint is not None and status in ("completed", "stopped"):
        with run.phase("calibrate"):
            calibrated(run, loaded, inputs, moments, constraint)
    with run.phase("save"):
        run.composition = at_rest(run, loaded, inputs)
        artifact = save_artifact(run, loaded, inputs["forget"])
        if run.composition:
            compose(loaded, run.composition)
    with run.phase("measure after"):
        after_key = identity_after(run, loaded)
        moments["after"] = measure(after_key, folder=run.folder.measured, moment="after")
    report = _report(run, loaded, encoder, inputs, trainer, moments, artifact, status, message)
    if status in ("completed", "stopped"):
        report.status, report.message = verdict.judge(moments, report.scores, status, run.stopped_by)
    path = write_report(report, run.folder.path)
    write_rows(moments["after"], run.config, (), run.folder.rows)
    write_text(run.folder.path / "README.md", model_card(report))
    if show:
        reporter.show(scores_table(report))
    if report.status in ("diverged", "collapsed", "no_effect"):
        raise UnlearnError(report.message or report.status, f"the evidence is in {path}", EXIT_DIVERGED)
    return report


def _seed(config: ForgetConfig) -> None:
    torch.manual_seed(config.seed)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def _check_resumed(run: Run, identity_before: str, inputs: Mapping[str, Input]) -> str:
    """Write down what is about to be run, or compare it with what was started here.

    Raises:
        UnlearnError: --resume with another configuration; names the keys.
    """
    ignored = runtime_fields(ForgetConfig)
    settings = run.config.model_dump(mode="json", exclude=ignored)
    now = {"settings": settings, "model": identity_before, "data": {n: x.report().sha256 for n, x in inputs.items()}}
    then = run.folder.read_plan() if run.config.resume else None
    if then is not None:
        old = {**then["settings"], "model weights": then["model"], **{f"{n} data": h for n, h in then["data"].items()}}
        new = {**settings, "model weights": identity_before, **{f"{n} data": h for n, h in now["data"].items()}}
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if changed:
            told = "; ".join(f"{key}: {old.get(key)} -> {new.get(key)}" for key in changed)
            raise UnlearnError(f"--resume with another configuration ({told})", "--overwrite starts anew")
    run.folder.write_plan(now)
    return fingerprint(now)


def _train(
    run: Run,
    loaded: LoadedModel,
    inputs: Mapping[str, Input],
    trainer: Trainer,
    names: list[tuple[str, torch.nn.Parameter]],
    key: str,
    moments: Moments,
    stop_when: Any,
) -> tuple[Status, str | None]:
    """Run the loop; checkpoints, measurements on the way, and reasons to stop."""
    config, pairing = run.config, trainer.pairing
    start = 0
    checkpoint = newest(run.folder.checkpoints) if config.resume else None
    if config.resume and checkpoint is None:
        why = "no checkpoint to resume from" if trainer.resumable else f"{config.method} keeps no checkpoints"
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
                bar.advance(1, _detail(record, loaded))
                if config.forget_loss_floor is not None and record.forget_loss < config.forget_loss_floor:
                    run.stopped_by = f"forget loss {record.forget_loss:.3f} below --forget-loss-floor"
                if eval_every and record.step % eval_every == 0 and record.step < trainer.steps:
                    measure_on_the_way(run, loaded, inputs, moments, record.step, stop_when)
                if record.step % save_every == 0 and record.step < trainer.steps:
                    save(record.step)
                if asked.exit_code is not None:
                    path = save(record.step)
                    kept_at = f"{path} is kept: add --resume to go on" if path else "--resume starts it anew"
                    again = f"interrupted after step {record.step} of {trainer.steps}; {kept_at}"
                    raise Interrupted(asked.exit_code, again)
                if run.stopped_by:
                    break
        except Diverged as error:
            save(error.step - 1)
            return "diverged", f"{error.message}; {error.hint}"
    if record is not None:
        save(record.step)
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


def _detail(record: StepRecord, loaded: LoadedModel) -> str:
    retain = "" if record.retain_loss is None else f" retain {record.retain_loss:.3f}"
    used = memory.peak(loaded.device)
    held = used.get("device", used["rss"]) / 2**30
    speed = record.tokens / record.seconds
    return f"forget {record.forget_loss:.3f}{retain} grad {record.grad_norm:.2f} {speed:,.0f} tok/s {held:.1f} GiB"


def _report(
    run: Run,
    loaded: LoadedModel,
    encoder: Encoder,
    inputs: Mapping[str, Input],
    trainer: Trainer,
    moments: Moments,
    artifact: ArtifactReport,
    status: Status,
    message: str | None,
) -> RunReport:
    """Everything that was found, in the report's form."""
    with run.phase("score"):
        scores = compared(moments, run.config)
    for told in verdict.over_forgotten(scores):
        run.reporter.note(told)
    return RunReport(
        command="forget",
        status=status,
        message=message,
        command_line=run.command_line,
        started=run.started,
        config=run.config.model_dump(mode="json"),
        config_sources=run.settled.sources,
        environment=environment(),
        model=model_report(loaded, encoder),
        data={name: data.report() for name, data in inputs.items()},
        training=training_report(
            trainer,
            run.settled.objective,
            run.steps,
            run.trajectory,
            reference_seconds=run.seconds.get("reference", 0.0),
            checkpointing=run.checkpointing,
            resumed_from=run.resumed_from,
            stopped_by=run.stopped_by,
        ),
        scores=scores,
        passes=passes(moments),
        artifact=artifact,
        calibration=run.calibration,
        seconds={name: round(value, 3) for name, value in run.seconds.items()},
        peak_memory=memory.peak(loaded.device),
        notes=run.reporter.notes,
    )
