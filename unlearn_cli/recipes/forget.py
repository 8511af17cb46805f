"""`unlearn forget`: resolve the settings, prepare, train, save, measure again, and write the report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unlearn_cli import launched
from unlearn_cli.atomic import write_atomically
from unlearn_cli.config import ForgetConfig, PushConfig
from unlearn_cli.console import Reporter
from unlearn_cli.errors import EXIT_DIVERGED, UnlearnError
from unlearn_cli.measured import Measured
from unlearn_cli.models import ranks
from unlearn_cli.models.energy import joules, used
from unlearn_cli.models.load import LoadedModel, load_model
from unlearn_cli.models.process import undisturbed
from unlearn_cli.recipes import push
from unlearn_cli.recipes.auditing import chain
from unlearn_cli.recipes.forgetting import dry_run
from unlearn_cli.recipes.forgetting.artifact import Artifact, identity_after, write_artifact
from unlearn_cli.recipes.forgetting.describe import efficiency, run_report
from unlearn_cli.recipes.forgetting.during_training import History
from unlearn_cli.recipes.forgetting.prepare import PreparedRun, prepare
from unlearn_cli.recipes.forgetting.pursuit import Prune
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun, resolve_run
from unlearn_cli.recipes.forgetting.resume import explained_interruption, finished_report
from unlearn_cli.recipes.forgetting.target import NotKnown
from unlearn_cli.recipes.forgetting.train import TrainedRun, train
from unlearn_cli.recipes.scoring.measurements import Store, measure_inputs
from unlearn_cli.recipes.scoring.scores import write_rows
from unlearn_cli.recipes.storage.lock import locked
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.rendering.documents import model_card
from unlearn_cli.rendering.tables import scores_table
from unlearn_cli.rendering.verdicts import verdict_block
from unlearn_cli.report import UNUSABLE, RunReport, Status, write_report

FAILURES: Mapping[Status, str] = {
    "diverged": "the run diverged",
    "collapsed": "the run damaged the retain rows too much",
    "no_effect": "the run changed nothing",
    "not_reached": "the target was not reached",
}
DAMAGED = "the run damaged the model"

FIRST_ONLY = {"push_to_hub": None, "report_to": "none"}  # what processes other than the first do not do


@dataclass(frozen=True)
class Shared:
    """What a sweep gives to each of its runs."""

    load: Callable[..., LoadedModel] = load_model  # returns the same model to every run
    # A folder of measurements before training. A run uses them if weights, rows and settings are the same.
    measured: Path | None = None
    prune: Prune | None = None


@undisturbed()
def run(
    config: ForgetConfig,
    sources: Mapping[str, str],
    command_line: list[str],
    reporter: Reporter,
    *,
    shared: Shared = Shared(),
) -> RunReport | None:
    """Forget, and write the run folder.

    Args:
        config: the settings.
        sources: where each setting came from.
        command_line: the arguments, for the report.
        reporter: prints messages.
        shared: what the runs of a sweep share.

    Returns:
        the report, or None after a dry run.

    Raises:
        UnlearnError: settings or data cannot be used; or the run missed its target, diverged, damaged the model or
            changed nothing (exit code 4; the report is written).
        Interrupted: a signal stopped the run; the message says which results are kept and how to continue.
        Pruned: a search ended the run.
    """
    with ranks.joined() as scratch:
        if scratch is not None:  # not the first process of several
            _follow(config.model_copy(update={**FIRST_ONLY, "output_dir": scratch / "run"}), sources, reporter)
            return None
        with explained_interruption():
            if config.push_to_hub and not config.dry_run:
                push.check_upload(config.push_to_hub)
            resolved = ranks.together(lambda: _resolved(config, sources, reporter))
            folder = resolved.folder
            if config.dry_run:
                if finished_report(resolved) is not None:
                    reporter.note(f"already finished: {folder.path}; --resume leaves it as it is")
                dry_run.show_and_check(resolved)
                return None
        report, is_new = write_run(resolved, command_line, shared)
        if is_new:
            _show(resolved, report)
        check_status(report, folder, quiet=reporter.quiet)
        if config.push_to_hub:
            uploaded = push.run(PushConfig(run=folder.path, repo=config.push_to_hub), reporter)
            reporter.say(f"uploaded: {uploaded['address']}")
        return report


def write_run(resolved: ResolvedRun, command_line: list[str], shared: Shared = Shared()) -> tuple[RunReport, bool]:
    """Prepare, train, save, measure, and write the report, without showing it. Arguments and errors as for `run`.

    Returns:
        the report, and whether this call wrote it: --resume does not change a finished run.
    """
    folder = resolved.folder
    with explained_interruption(resolved), locked(folder.path):
        # Checked again, because from here on no other process can change the folder.
        folder.check(resume=resolved.config.resume, overwrite=resolved.config.overwrite, locked=True)
        report = ranks.once(lambda: finished_report(resolved))
        if report is not None:
            folder.drop_checkpoints()
            resolved.reporter.say(f"already finished: {folder.path}")
            return report, False
        device = resolved.outline.device
        energy = joules(device)
        _share_files(folder)
        prepared = prepare(resolved, shared.load, shared.measured)
        resolved = prepared.resolved  # with the rows that the model has written, if it was asked to
        trained = _unchanged(prepared) or train(prepared, shared.prune)
        if not launched.divided():
            ranks.leave()
        artifact = write_artifact(trained)
        after = _measure_after(resolved, artifact)
        ranks.leave()
        report = run_report(trained, artifact, after, command_line)
        # The counter knows nothing of the sessions before a resume, unlike the seconds.
        spent = used(energy, joules(device)) if trained.resumed_from is None else None
        report.efficiency = efficiency(report, spent, device.type)
        _write_evidence(resolved, report, after)
    return report, True


def _unchanged(prepared: PreparedRun) -> TrainedRun | None:
    """The run of a model that does not know the rows: it stays as it is, because training could only damage it."""
    if isinstance(prepared.aim, NotKnown):
        return TrainedRun(prepared, "stopped", f"{prepared.aim.why}; no step was made", History(), None)
    return None


def _resolved(config: ForgetConfig, sources: Mapping[str, str], reporter: Reporter) -> ResolvedRun:
    """The settings and rows of a run.

    Raises:
        UnlearnError: as `resolve_run`; or several processes cannot share such a run.
    """
    if ranks.count() > 1 and config.about:
        raise UnlearnError("--about runs in one process: the model writes the rows first", "start it without a launcher")
    resolved = resolve_run(config, sources, reporter)
    if launched.divided() and (resolved.config.full or resolved.config.lora_init != "default"):
        raise UnlearnError(
            "FSDP divides the weights of the base. So --full and --lora-init, which change them, are not possible",
            "leave them out",
        )
    if ranks.count() > 1 and resolved.settings.procedure:
        raise UnlearnError(
            f"{config.method} is a procedure: it trains in one process",
            "start it without a launcher, or use --method npo",
        )
    return resolved


def _follow(config: ForgetConfig, sources: Mapping[str, str], reporter: Reporter) -> None:
    """Work of a process that is not the first: it trains on its share of the rows. Its files are deleted."""
    with explained_interruption():
        resolved = ranks.together(lambda: _resolved(config, sources, reporter))
        if config.dry_run or ranks.once(lambda: finished_report(resolved)) is not None:
            return
        _share_files(resolved.folder)
        prepared = prepare(resolved, load_model, None)
        trained = _unchanged(prepared) or train(prepared)
        if launched.divided():  # saving and measuring run the model
            _measure_after(trained.prepared.resolved, write_artifact(trained))


def _share_files(folder: RunFolder) -> None:
    """Give the processes of a divided model the same measurements to reuse, so that all run it equally often."""
    if launched.divided():
        ranks.same_files(folder.path)


def check_status(report: RunReport, folder: RunFolder, *, quiet: bool) -> None:
    """Check that a run ended well. If `quiet`, the verdict was not shown, and the error says why.

    Raises:
        UnlearnError: the run missed its target, diverged, damaged the model or changed nothing; exit code 4.
    """
    if report.failed:
        verdict = report.verdict
        damaged = verdict is not None and verdict.word == "DAMAGED" and report.status not in UNUSABLE
        short = DAMAGED if damaged else FAILURES.get(report.status, DAMAGED)
        why = report.message or (verdict and verdict.why)
        if verdict and damaged:  # the message is about the target, which may hold
            why = f"{DAMAGED}: {verdict.why}"
        after = f"; next: {verdict.next[0]}" if quiet and verdict and verdict.next else ""
        raise UnlearnError((quiet and why) or short, f"the evidence is in {folder.report}{after}", EXIT_DIVERGED)


def _measure_after(run: ResolvedRun, artifact: Artifact) -> dict[str, Measured]:
    """Measure the model in its saved form."""
    with run.clock.phase("measure after"):
        store = Store(identity_after(run), run.folder.measured)
        return measure_inputs(artifact.model, run.inputs, run.config, "after", run.reporter, store=store)


def _write_evidence(run: ResolvedRun, report: RunReport, after: Mapping[str, Measured]) -> None:
    """Write the values of every row, the model card, and the report."""
    write_rows(after, run.config, (), run.folder.rows)
    write_atomically(run.folder.path / "README.md", model_card(report))
    chain.begin(run.folder, report, run.outline.source, run.spec.files)
    write_report(report, run.folder.path)  # last, because a folder with a report counts as a finished run
    run.folder.drop_checkpoints()


def _show(run: ResolvedRun, report: RunReport) -> None:
    """Show the scores and the verdict."""
    folder = run.folder.path
    run.reporter.show(scores_table(report, folder))
    if report.texts:
        remove = f"unlearn clean {shlex.quote(str(folder))}"
        run.reporter.say(f"the run folder contains rows and answers as plain text; to remove them: {remove}")
    if report.verdict:
        run.reporter.show(verdict_block(report.verdict), folded=False)
