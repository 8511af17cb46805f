"""Whether what lies in a run folder is this very run: by what was asked for, the model's weights and the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearn_cli.config import ModelOptions
from unlearn_cli.data.example import Split
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import load_config, resolve_device, resolve_dtype
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.forgetting.resolve import settle_model
from unlearn_cli.recipes.forgetting.run_state import Run
from unlearn_cli.recipes.storage.run_spec import RunSpec, differences
from unlearn_cli.report import RunReport, read_report


def identified(options: ModelOptions) -> tuple[Any, str]:
    """The model's config and fingerprint, without its weights being loaded."""
    source = resolve_source(options.model, options.revision, options.base)
    config, device = load_config(source, options), resolve_device(options.device)
    return config, identity(source, options, str(resolve_dtype(options.dtype, config, device)), device.type)


def finished(run: Run, texts: Mapping[str, Split]) -> RunReport | None:
    """The report of this run, where --resume finds it done already.

    Raises:
        UnlearnError: --resume with another configuration; names the keys. Or nothing tells which run the report is of.
    """
    if not (run.config.resume and run.folder.is_run):
        return None
    model_config, found = identified(run.config)
    settle_model(run.settled, model_config)
    if run.folder.read_spec() is None:
        raise UnlearnError(f"{run.folder.run_spec} is missing: nothing tells what was run here", "--overwrite starts anew")
    _check_same(run, _run_spec(run, found, texts))
    if not run.folder.report.is_file():
        return None
    report = read_report(run.folder.path)
    # The folder may have been moved since.
    return report.model_copy(update={"config": {**report.config, "output_dir": str(run.folder.path)}})


def open_folder(run: Run, found: str, texts: Mapping[str, Split]) -> RunSpec:
    """Make the run folder ready for a start or for going on; returns the run's spec, which is then in the folder.

    Raises:
        UnlearnError: --resume with another configuration; names the keys.
    """
    run.folder.open(clear=run.config.overwrite and not run.config.resume)
    run.opened = True
    spec = _run_spec(run, found, texts)
    if not run.folder.is_start:
        _check_same(run, spec)
    elif _differences(run.folder.read_spec(), spec):
        run.folder.clear_start()
    run.folder.write_spec(spec)
    return spec


def how_to_go_on(run: Run | None) -> str:
    """What a run that was stopped outside of training leaves, and the next step."""
    if run is None or not run.opened:
        return "interrupted before anything was written: give the same command again"
    if run.folder.report.is_file():
        return f"interrupted, but finished: {run.folder.report}"
    if run.folder.is_start:
        return "interrupted before a step was kept: the same command starts again and keeps what was measured"
    kept = "; what was trained is kept" if run.folder.is_run else ""
    return f"interrupted{kept}: add --resume to go on"


def _run_spec(run: Run, found: str, texts: Mapping[str, Split]) -> RunSpec:
    return RunSpec.of(run.config, found, {name: split.origin.sha256 for name, split in texts.items()})


def _differences(old: RunSpec | None, new: RunSpec) -> list[str]:
    """How a run differs from the one that was started in the folder, in words."""
    return [] if old is None else differences(old.flat(), new.flat())


def _check_same(run: Run, spec: RunSpec) -> None:
    if changes := _differences(run.folder.read_spec(), spec):
        raise UnlearnError(f"--resume with another configuration ({'; '.join(changes)})", "--overwrite starts anew")
