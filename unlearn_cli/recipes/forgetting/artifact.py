"""Write the artifact, read it back to check it, and describe it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from unlearn_cli.atomic import write_atomically
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import EXIT_FAILED, UnlearnError
from unlearn_cli.hashing import cached_sha256
from unlearn_cli.models import adapter, lora_init
from unlearn_cli.models.compose import REST, Composition, compose
from unlearn_cli.models.files import hashes_in
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.run_files import ABOUT, ASSISTANT
from unlearn_cli.models.score import teacher_forced
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.forgetting.calibrate import calibrate
from unlearn_cli.recipes.forgetting.during_training import composition_in_use, keeps_at
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.forgetting.train import TrainedRun
from unlearn_cli.report import FAILED
from unlearn_cli.report_parts import ArtifactReport, CalibrationReport

RELOAD_ROWS = 4  # forget rows that the saved and the trained model are compared on
RELOAD_TOLERANCE = 1e-3  # nats of a token's log-probability


@dataclass(frozen=True)
class Artifact:
    """The saved files of a run, and the model in its saved form."""

    model: LoadedModel
    report: ArtifactReport
    calibration: CalibrationReport | None


def write_artifact(run: TrainedRun) -> Artifact:
    """Convert the trained model to the form that the method saves, calibrate it, save it, and read it back.

    Raises:
        UnlearnError: the constraint of --calibrate cannot hold, or the saved files give other outputs than the model.
    """
    resolved = run.prepared.resolved
    loaded, calibration = _finished(run), None
    constraint = resolved.config.calibrate
    if constraint is not None and run.status not in FAILED:
        with resolved.clock.phase("calibrate"):
            keeps = partial(keeps_at, run.prepared, loaded, constraint)
            calibration = calibrate(constraint.text, keeps)
            adapter.scale_adapter(loaded.model, calibration.scale)
    with resolved.clock.phase("save"):
        composition = composition_in_use(resolved, loaded)
        report = save_artifact(resolved, loaded, composition)
        if composition:
            compose(loaded, composition)
    return Artifact(loaded, report, calibration)


def _finished(run: TrainedRun) -> LoadedModel:
    """The trained model in the form that the method saves."""
    resolved, loaded = run.prepared.resolved, run.prepared.model
    if resolved.settings.writes_model and hasattr(loaded.model, "peft_config"):
        adapter.detach(loaded, merge=True)  # the procedure ended before or in its first stage, which trains an adapter
    if resolved.config.lora_init != "default" and not resolved.config.full:
        lora_init.finish(loaded)
    if negation := resolved.settings.negation:
        adapter.scale_adapter(loaded.model, -negation)
    return loaded


def save_artifact(run: ResolvedRun, loaded: LoadedModel, composition: Composition | None) -> ArtifactReport:
    """Write the artifact, read it back, and compare its outputs with those of the trained model.

    Raises:
        UnlearnError: the outputs differ.
    """
    forget, writes_model = run.inputs["forget"].rows, run.settings.writes_model
    folder = run.folder.path / ASSISTANT if composition else run.folder.path
    kind: str = composition.applied if composition else "model" if writes_model else "adapter"
    loaded.model.eval()
    adapter.save(loaded, folder)
    counts = None if writes_model else "{}/{}".format(*adapter.lora_b_nonzero(folder))
    sample = forget[:: max(1, len(forget) // RELOAD_ROWS)][:RELOAD_ROWS]
    difference = (
        adapter.reload_difference_of_weights(loaded, folder)
        if writes_model
        else _reload_difference(loaded, folder, sample, run.config.token_budget)
    )
    if composition and composition.rest is not None:
        rest = {"rest": composition.rest}
        write_atomically(folder / REST, lambda part: save_file(rest, part))
    about: dict[str, Any] = {"kind": kind, "base_model": loaded.source.location, "revision": loaded.source.revision}
    about["quantization"] = loaded.quantization
    if composition:
        about["composition"] = composition.described()
    write_atomically(run.folder.path / ABOUT, json.dumps(about, indent=2) + "\n")
    hashes = hashes_in(folder) | {ABOUT: cached_sha256(run.folder.path / ABOUT)}
    if difference > RELOAD_TOLERANCE:
        raise UnlearnError(
            f"the saved {kind} gives other outputs than the trained model (by {difference:.2g} nats)",
            "please report this with the output of `unlearn env`",
            EXIT_FAILED,
        )
    return ArtifactReport.model_validate(
        {"kind": kind, "files": hashes, "reload_max_diff": difference, "lora_b_nonzero": counts}
    )


def _reload_difference(loaded: LoadedModel, folder: Path, rows: Sequence[Row], token_budget: int) -> float:
    """The largest difference of a token's log-probability between the trained and the saved adapter, in nats."""
    trained = teacher_forced(loaded, rows, token_budget).token_logps
    with adapter.reloaded(loaded, folder):
        saved = teacher_forced(loaded, rows, token_budget).token_logps
    return max(float(np.abs(a - b).max()) for a, b in zip(trained, saved, strict=True))


def identity_after(run: ResolvedRun) -> str:
    """The fingerprint that `unlearn evaluate RUN` will compute for the saved weights."""
    source, base = resolve_source(str(run.folder.path)), run.outline.source
    if not run.settings.writes_model:
        # The local folder of the base: a Hub id would need another request.
        source = replace(source, location=base.location, revision=base.revision)
    return identity(source, run.config, str(run.outline.dtype), run.outline.device.type)
