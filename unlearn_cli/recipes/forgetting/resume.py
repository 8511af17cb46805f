"""Resume: check that a run folder belongs to this run, by settings, weights and rows. Explain interruptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unlearn_cli.config import ModelOptions
from unlearn_cli.errors import EXIT_INTERRUPTED, ROOM, StorageError, UnlearnError
from unlearn_cli.models.device import resolve_device, resolve_dtype
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import load_config
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.forgetting.interrupt import Interrupted
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.recipes.storage.run_spec import RunSpec, differences
from unlearn_cli.report import RunReport, read_report


def identified(options: ModelOptions) -> tuple[Any, str]:
    """The config and the fingerprint of a model, without loading weights."""
    source = resolve_source(options.model, options.revision, options.base)
    config, device = load_config(source, options), resolve_device(options.device)
    return config, identity(source, options, str(resolve_dtype(options.dtype, config, device)), device.type)


def finished_report(run: ResolvedRun) -> RunReport | None:
    """The report of this run if --resume is given and the run is finished, else None.

    Raises:
        UnlearnError: the folder's run has other settings (the message names them), or the folder has no run spec.
    """
    if not (run.config.resume and run.folder.is_run):
        return None
    if run.folder.read_spec() is None:
        raise UnlearnError(
            f"{run.folder.run_spec} is missing: the settings of this run are not known", "--overwrite starts anew"
        )
    _check_same(run.folder, run.spec)
    if not run.folder.report.is_file():
        return None
    report = read_report(run.folder.path)
    # The folder may have been moved.
    return report.model_copy(update={"config": {**report.config, "output_dir": str(run.folder.path)}})


def open_folder(run: ResolvedRun) -> None:
    """Prepare the run folder for a start or a resume, and write the run's spec into it.

    Raises:
        UnlearnError: the folder's run has other settings; the message names them.
    """
    folder, spec = run.folder, run.spec
    folder.open(clear=run.config.overwrite and not run.config.resume)
    if not folder.is_start:
        _check_same(folder, spec)
    elif _differences(folder.read_spec(), spec):
        folder.clear_start()
    folder.write_spec(spec)


@contextmanager
def explained_interruption(run: ResolvedRun | None = None) -> Iterator[None]:
    """A context that adds to an interruption which results are kept and how to continue. `run` may have written some."""
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as stop:
        if str(stop):
            raise
        code = getattr(stop, "exit_code", EXIT_INTERRUPTED)
        raise Interrupted(code, _how_to_continue(run)) from None
    except StorageError as error:
        if error.hint == ROOM and run is not None and run.folder.is_run:
            error.hint = f"{ROOM}, with --resume"
        raise


def _how_to_continue(run: ResolvedRun | None) -> str:
    """The message for a run that was stopped outside of training: what is kept, and the next step."""
    if run is None or (spec := run.folder.read_spec()) is None or _differences(spec, run.spec):
        return "interrupted before anything was written: give the same command again"
    if run.folder.report.is_file():
        return f"interrupted, but finished: {run.folder.report}"
    if run.folder.is_start:
        return "interrupted before a checkpoint: the same command starts again, and reuses the measurements"
    trained = "; the training so far is kept" if run.folder.is_run else ""
    return f"interrupted{trained}: add --resume to continue"


def _differences(old: RunSpec | None, new: RunSpec) -> list[str]:
    """The differences between the run that was started in the folder and this one, in words."""
    return [] if old is None else differences(old.flat(), new.flat())


def _check_same(folder: RunFolder, spec: RunSpec) -> None:
    if changes := _differences(folder.read_spec(), spec):
        raise UnlearnError(f"--resume with another configuration ({'; '.join(changes)})", "--overwrite starts anew")
