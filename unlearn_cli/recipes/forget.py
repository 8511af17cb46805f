"""`unlearn forget`: load, measure, train, save, read back, measure again, report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from unlearn_cli.atomic import write_atomically
from unlearn_cli.config import ForgetConfig, PushConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data import row_notes
from unlearn_cli.data.alternatives import differing
from unlearn_cli.data.example import Split
from unlearn_cli.data.overlap import check_overlap
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.errors import EXIT_DIVERGED, EXIT_INTERRUPTED, UnlearnError
from unlearn_cli.evaluation.store import copy_measured
from unlearn_cli.expressions.parser import Condition
from unlearn_cli.models import adapter, lora_init, memory
from unlearn_cli.models.compose import compose
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import LoadedModel, load_model
from unlearn_cli.models.process import seed_everything, undisturbed
from unlearn_cli.recipes import push
from unlearn_cli.recipes.environment import environment
from unlearn_cli.recipes.forgetting import dry_run, resume
from unlearn_cli.recipes.forgetting.artifact import identity_after, save_artifact
from unlearn_cli.recipes.forgetting.checks import check_loaded, check_outline, tell
from unlearn_cli.recipes.forgetting.describe import model_report, training_report
from unlearn_cli.recipes.forgetting.during_training import Moments, at_rest, calibrated
from unlearn_cli.recipes.forgetting.interrupt import Interrupted
from unlearn_cli.recipes.forgetting.prepare import make_trainer
from unlearn_cli.recipes.forgetting.resolve import (
    default_output,
    make_encoder,
    settle_method,
    settle_model,
    settle_objective,
)
from unlearn_cli.recipes.forgetting.run_state import Run
from unlearn_cli.recipes.forgetting.tracking import check_tracker
from unlearn_cli.recipes.forgetting.train import train
from unlearn_cli.recipes.scoring import outcome, splits
from unlearn_cli.recipes.scoring.measurements import measure_inputs
from unlearn_cli.recipes.scoring.scores import compared, passes, write_rows
from unlearn_cli.recipes.scoring.splits import Input
from unlearn_cli.recipes.storage.lock import locked
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.rendering.documents import model_card
from unlearn_cli.rendering.tables import scores_table
from unlearn_cli.report import (
    FAILED,
    ArtifactReport,
    RunReport,
    Status,
    write_report,
)
from unlearn_cli.training.loop import Trainer


@undisturbed()
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
        Interrupted: stopped by a signal; says what is kept and how to go on.
    """
    started: Run | None = None
    try:
        check_tracker(config.report_to)
        if config.push_to_hub and not config.dry_run:
            push.check_upload(config.push_to_hub)
        settled = settle_method(config, sources)
        texts = splits.load_splits(settled.config)
        if "retain" in texts:
            check_overlap(texts["forget"].examples, texts["retain"].examples, allow=config.allow_overlap)
        if "alternative" in settled.objective.groups:
            differing(example for example in texts["forget"].examples if example.alternatives)
        for note in row_notes.notes(texts):
            reporter.note(note)
        settled.fill_default("output_dir", default_output(config))
        started = Run(settled, RunFolder(settled.config.output_dir), reporter, command_line)
        writable = partial(started.folder.check, resume=config.resume, overwrite=config.overwrite)
        writable()
        check_outline(settled, texts)
        if config.dry_run:
            if resume.finished(started, texts) is not None:
                reporter.note(f"already finished: {started.folder.path}; --resume leaves it as it is")
            dry_run.tell(settled, texts, reporter)
            return None
        with locked(started.folder.path):
            writable(locked=True)  # again, now that no other process can change what is there
            report = resume.finished(started, texts)
            if report is not None:
                started.folder.drop_checkpoints()
                reporter.say(f"already finished: {started.folder.path}")
            else:
                report = _made(started, texts, config.stop_when, config.calibrate, load, measured)
                if show:
                    _show(started, report)
    except (KeyboardInterrupt, Interrupted) as stop:
        if str(stop):
            raise
        code = stop.exit_code if isinstance(stop, Interrupted) else EXIT_INTERRUPTED
        raise Interrupted(code, resume.how_to_go_on(started)) from None
    if report.status in FAILED:
        raise UnlearnError(report.message or report.status, f"the evidence is in {started.folder.report}", EXIT_DIVERGED)
    if config.push_to_hub:
        uploaded = push.run(PushConfig(run=started.folder.path, repo=config.push_to_hub), reporter)
        reporter.say(f"uploaded: {uploaded['address']}")
    return report


def _made(
    run: Run,
    texts: Mapping[str, Split],
    stop_when: Condition | None,
    constraint: Condition | None,
    load: Callable[..., LoadedModel],
    measured: Path | None,
) -> RunReport:
    """Load, measure, train, save, measure again; returns the report, which is written by then."""
    settled, reporter = run.settled, run.reporter
    seed_everything(settled.config.seed, deterministic=settled.config.deterministic)
    with run.phase("load"):
        reporter.say(f"loading {settled.config.model}")
        loaded = load(settled.config, trainable=True)
        settle_model(settled, loaded.config)
        settle_objective(settled, loaded)
        check_loaded(run, loaded)
        encoder = make_encoder(settled.config, loaded.tokenizer, loaded.stop_ids, settled.config.max_length)
        inputs = splits.make_inputs(texts, encoder, settled.config.eval_limit, reporter.note)
        tell(settled.config, loaded, encoder, inputs, reporter)
        before_key = identity(loaded.source, settled.config, str(loaded.dtype), loaded.device.type)
        spec = resume.open_folder(run, before_key, texts)
        for name in inputs if measured else ():
            copy_measured(measured, run.folder.measured, f"before-{name}")
    measure = partial(measure_inputs, loaded, inputs, options=settled.config, reporter=reporter)
    with run.phase("measure before"):
        moments: Moments = {"before": measure(before_key, folder=run.folder.measured, moment="before")}

    with run.phase("prepare"):
        trainer, names = make_trainer(run, loaded, encoder, texts, inputs, moments["before"], before_key)
    run.folder.write_spec(spec, steps=trainer.steps)
    status, message = train(run, loaded, inputs, trainer, names, spec.sha256, moments, stop_when)
    if status in FAILED and run.writes_model and hasattr(loaded.model, "peft_config"):
        adapter.detach(loaded, merge=True)  # a procedure that ended while its first stage trained an adapter

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
        report.status, report.message = outcome.judge(moments, report.scores, status, run.stopped_by)
    write_rows(moments["after"], run.config, (), run.folder.rows)
    write_atomically(run.folder.path / "README.md", model_card(report))
    write_report(report, run.folder.path)  # the last: a folder with a report is a finished run
    run.folder.drop_checkpoints()
    return report


def _show(run: Run, report: RunReport) -> None:
    """The scores, what they come to, and what to do next."""
    run.reporter.show(scores_table(report, run.folder.path))
    outcome.say(report.scores, run.reporter)
    if report.texts:
        folder = shlex.quote(str(run.folder.path))
        run.reporter.say(f"the run folder holds rows and answers as plain text; to remove them: unlearn clean {folder}")
    if report.status in ("completed", "stopped"):
        run.reporter.say(f"next: {' | '.join(outcome.next_commands(run.folder.path))}")


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
    for told in outcome.over_forgotten(scores):
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
        model=model_report(loaded, encoder, run.reach and run.reach.share),
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
        texts=run.folder.texts(),
        notes=run.reporter.notes,
    )
