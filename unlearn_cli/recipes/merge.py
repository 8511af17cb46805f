"""`unlearn merge`: merge the run's adapter into its base. The result is kept only if it answers as the run does."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.atomic import write_atomically, writing
from unlearn_cli.config import DataOptions, MergeConfig, ModelOptions, restored
from unlearn_cli.console import Reporter
from unlearn_cli.data.tokenize import Row, make_encoder
from unlearn_cli.errors import EXIT_FAILED, UnlearnError, not_written
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.jsonfile import read_json
from unlearn_cli.models.compose import COMPOSED
from unlearn_cli.models.load import LoadedModel, load_model
from unlearn_cli.models.merge import merged, save_merged
from unlearn_cli.models.process import undisturbed
from unlearn_cli.models.score import teacher_forced
from unlearn_cli.recipes.auditing import chain
from unlearn_cli.recipes.scoring.splits import load_splits
from unlearn_cli.recipes.storage.lock import locked
from unlearn_cli.recipes.storage.output_files import why_not_writable
from unlearn_cli.report import RunReport, read_report

TOKENS = 2048
ABOUT = "merge.json"
REPLACED = "replaced"  # name of the model before, while the new one takes its place


@undisturbed()
def run(config: MergeConfig, command_line: list[str], reporter: Reporter) -> tuple[dict[str, Any], Path]:
    """Merge, reload and compare. Returns the comparison and the output folder.

    Raises:
        UnlearnError: a problem that the user can fix; the output folder is then unchanged.
    """
    report = read_report(config.run)
    output_dir = _output_dir(config, report)
    options = restored(
        ModelOptions, report.config, granted=config,
        model=str(config.run), revision=None, base=config.base, device=config.device, device_map="none",
        max_memory={},
    )  # fmt: skip
    quantized = options.load_in_4bit or options.load_in_8bit
    base = config.base_weights if config.base_weights != "auto" else "dequantized" if options.load_in_4bit else "original"
    if base == "dequantized" and not options.load_in_4bit:
        raise UnlearnError("--base-weights dequantized is for runs on a 4-bit base", "leave --base-weights out")
    inputs = {"files": report.artifact and report.artifact.files, "base": base, "dtype": config.dtype, "rows": config.rows}
    if earlier := _same_merge(config, output_dir, inputs):
        if not chain.known_place(config.run, output_dir):  # the merge was killed before it added itself
            _add_to_lineage(config.run, output_dir, command_line, reporter)
        reporter.say(f"{output_dir} is this merge already; --overwrite merges again")
        return earlier, output_dir
    _check_folder(output_dir, overwrite=config.overwrite)
    reporter.say(f"loading {config.run}")
    ours = load_model(options)
    if ours.quantization and not quantized:
        raise UnlearnError(
            f"{ours.source.location} has quantized weights only ({ours.quantization}): no adapter can be merged into them",
            "use the adapter as it is: unlearn_cli.load(RUN)",
        )
    rows = _rows(config, report, ours)
    expected = _means(ours, rows)
    source = ours.source
    del ours
    plain = options.model_copy(update={"load_in_4bit": False, "load_in_8bit": False, "dtype": config.dtype})
    with _beside(output_dir) as part:
        reporter.say(f"merging into the {base} base")
        save_merged(merged(source, plain, dequantized=base == "dequantized"), source, plain, part)
        reporter.say("reading it back")
        reloaded = load_model(plain.model_copy(update={"model": str(part), "base": None}))
        drift = float(np.abs(_means(reloaded, rows) - expected).mean())
        _check_drift(drift, config.tolerance, rounded=base == "original" and quantized)
        summary = {"run": str(config.run), "base": base, "quantized_run": quantized, "rows": len(rows), "drift": drift}
        write_atomically(part / ABOUT, json.dumps(summary | {"inputs": inputs}, indent=2) + "\n")
        with writing(output_dir):
            if output_dir.exists():
                output_dir.rename(part.with_name(REPLACED))
            part.rename(output_dir)
    _add_to_lineage(config.run, output_dir, command_line, reporter)
    reporter.say(f"answers of {len(rows)} rows differ by {drift:.2g} nats a token on average")
    return summary, output_dir


def _add_to_lineage(run: Path, model: Path, command_line: list[str], reporter: Reporter) -> None:
    try:
        with locked(run):
            place = chain.derive(run, model, "merge", command_line)
    except UnlearnError as error:  # a run on a read-only disk can be merged
        reporter.note(f"the merged model is not in the run's lineage: {error.message}")
        return
    if place:
        reporter.say(f"in the lineage of {run} as {place}")


@contextmanager
def _beside(output_dir: Path) -> Iterator[Path]:
    """An empty folder for this process alone, on the disk of the output. Files of a killed process are removed.

    A model that was to be replaced comes back if the new one could not take its place.

    Raises:
        UnlearnError: another process merges into the same output, or the folder cannot be created.
    """
    place = output_dir.parent / f".{output_dir.name}.merge"
    part, replaced = place / "model", place / REPLACED
    with locked(place):
        try:
            _tidy(part, replaced, output_dir)
            with writing(part):
                part.mkdir()
            yield part
        finally:
            _tidy(part, replaced, output_dir)
    with suppress(OSError):  # `locked` does not remove a folder that a killed process left
        place.rmdir()


def _tidy(part: Path, replaced: Path, output_dir: Path) -> None:
    if replaced.is_dir() and not output_dir.exists():
        replaced.rename(output_dir)
    for folder in (part, replaced):
        shutil.rmtree(folder, ignore_errors=True)


def _check_drift(drift: float, tolerance: float, *, rounded: bool) -> None:
    """Check that the merged model answers as the run. `rounded`: the run's base was quantized, this one is not.

    Raises:
        UnlearnError: it does not.
    """
    if drift > tolerance:
        raise UnlearnError(
            f"the merged model differs from the run: answers differ by {drift:.3g} nats a token on average, more than "
            f"--tolerance {tolerance:g}",
            "--base-weights dequantized" if rounded else "a wider --dtype, or use the adapter as it is",
            EXIT_FAILED,
        )


def _output_dir(config: MergeConfig, report: RunReport) -> Path:
    """The folder for the merged model.

    Raises:
        UnlearnError: the run has no adapter that can be merged, or no folder is given.
    """
    if report.command != "forget" or report.artifact is None:
        raise UnlearnError(f"{config.run} has no adapter", "a finished run of `unlearn forget` is expected")
    kind = report.artifact.kind
    if kind in COMPOSED:
        raise UnlearnError(
            f"a {kind.replace('_', ' ')} is two passes over the base: one set of weights cannot do the same",
            "use it from Python: unlearn_cli.load(RUN), which has generate and forward",
        )
    if kind == "model":
        raise UnlearnError(f"{config.run} is a whole model already", "load or copy the folder as it is")
    if config.output_dir is None:
        raise UnlearnError("no output folder is given", "-o DIR")
    return config.output_dir


def _same_merge(config: MergeConfig, output_dir: Path, inputs: dict[str, Any]) -> dict[str, Any] | None:
    """The merge.json of an earlier merge, if it had the same inputs and its drift is within the tolerance."""
    if config.overwrite or not (output_dir / ABOUT).is_file():
        return None
    earlier = read_json(output_dir / ABOUT, "--overwrite merges again")
    if not isinstance(earlier, dict) or earlier.pop("inputs", None) != inputs:
        return None
    return earlier if earlier.get("drift", math.inf) <= config.tolerance else None


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse to replace anything but a merged model: the folder, such as the run itself, may be the user's only copy.

    Raises:
        UnlearnError: the folder is a file, has other contents, or has a merged model and `overwrite` is not set.
    """
    if folder.exists() and not folder.is_dir():
        raise UnlearnError(f"{folder} is a file", "-o names a folder")
    if why := why_not_writable(folder.parent):  # the model is made beside its place
        raise not_written(folder, why, "-o DIR names another folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / ABOUT).is_file():
        raise UnlearnError(f"{folder} contains something other than a merged model", "choose another folder")
    if not overwrite:
        raise UnlearnError(f"{folder} is not empty", "--overwrite replaces it")


def _rows(config: MergeConfig, report: RunReport, loaded: LoadedModel) -> list[Row]:
    options = restored(DataOptions, report.config)
    encoder = make_encoder(
        options, loaded.tokenizer, loaded.stop_ids, getattr(loaded.config, "max_position_embeddings", None)
    )
    chosen: list[Row] = []
    for split in load_splits(options, config.run).values():
        rows = encoder.encode(split.examples)
        chosen += [rows[i] for i in spread(len(rows), config.rows)]
    return chosen


def _means(loaded: LoadedModel, rows: list[Row]) -> np.ndarray:
    """[R] the mean log-probability of each row's answer tokens."""
    return np.array([logps.astype(np.float64).mean() for logps in teacher_forced(loaded, rows, TOKENS).token_logps])
