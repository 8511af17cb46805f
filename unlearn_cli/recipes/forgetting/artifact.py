"""Write the artefact, read it back, and describe it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from safetensors.torch import save_file

from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import EXIT_FAILED, UnlearnError
from unlearn_cli.models import adapter
from unlearn_cli.models.compose import REST
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import teacher_forced
from unlearn_cli.models.source import ABOUT, ASSISTANT, resolve_source
from unlearn_cli.recipes.forgetting.run_state import Run
from unlearn_cli.recipes.scoring.splits import Input
from unlearn_cli.report import ArtifactReport, file_sha256

WRITTEN = (".safetensors", ".json", ".jinja", ".model")
VOCABULARIES = ("vocab.txt", "merges.txt")
RELOAD_ROWS = 4
RELOAD_TOLERANCE = 1e-3  # nats of a token's log-probability


def save_artifact(run: Run, loaded: LoadedModel, forget: Input) -> ArtifactReport:
    """Write the artefact, read it back, and see whether it gives the same outputs."""
    config, composition = run.config, run.composition
    folder = run.folder.path / ASSISTANT if composition else run.folder.path
    loaded.model.eval()
    sample = forget.rows[:: max(1, len(forget.rows) // RELOAD_ROWS)][:RELOAD_ROWS]
    adapter.save(loaded, folder)
    counts = None
    if run.writes_model:
        difference = adapter.reload_difference_of_weights(loaded, folder)
    else:
        trained = teacher_forced(loaded, sample, config.token_budget).token_logps
        with adapter.reloaded(loaded, folder):
            read = teacher_forced(loaded, sample, config.token_budget).token_logps
        difference = max(float(np.abs(a - b).max()) for a, b in zip(trained, read, strict=True))
        counts = "{}/{}".format(*adapter.lora_b_nonzero(folder))
    if composition and composition.rest is not None:
        save_file({"rest": composition.rest}, folder / REST)
    kind = "model" if run.writes_model else "adapter"
    about = {"kind": composition.applied if composition else kind, "base_model": loaded.source.location}
    about |= {"revision": loaded.source.revision, "quantization": loaded.quantization}
    if composition:
        about["composition"] = composition.described()
    write_atomically(run.folder.path / ABOUT, json.dumps(about, indent=2) + "\n")
    files = [path for path in sorted(folder.iterdir()) if path.suffix in WRITTEN or path.name in VOCABULARIES]
    skip = {"plan.json", "report.json", "alternatives.json"}
    hashes = {path.name: file_sha256(path) for path in files if path.name not in skip}
    artifact = ArtifactReport(kind=about["kind"], files=hashes, reload_max_diff=difference, lora_b_nonzero=counts)
    if difference > RELOAD_TOLERANCE:
        raise UnlearnError(
            f"the saved {kind} gives other outputs than the trained model (by {difference:.2g} nats)",
            "please report this with the output of `unlearn env`",
            EXIT_FAILED,
        )
    return artifact


def identity_after(run: Run, loaded: LoadedModel) -> str:
    """The fingerprint that `unlearn evaluate RUN` will find for the same weights."""
    source = resolve_source(str(run.folder.path))
    # The base as it was loaded: a Hub id would be asked for again.
    source = (
        source if run.writes_model else replace(source, location=loaded.source.location, revision=loaded.source.revision)
    )
    return identity(source, run.config, str(loaded.dtype), loaded.device.type)
