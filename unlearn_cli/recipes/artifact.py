"""Write the artefact, read it back, and describe it."""

from __future__ import annotations

import json

import numpy as np

from unlearn_cli.errors import EXIT_FAILED, UnlearnError
from unlearn_cli.models import adapter
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import teacher_forced
from unlearn_cli.models.source import ModelSource
from unlearn_cli.recipes.inputs import Input
from unlearn_cli.recipes.progress import Run
from unlearn_cli.report import ArtifactReport, file_sha256, write_text

RELOAD_ROWS = 4
RELOAD_TOLERANCE = 1e-3  # nats of a token's log-probability


def save_artifact(run: Run, loaded: LoadedModel, forget: Input) -> ArtifactReport:
    """Write the artefact, read it back, and see whether it gives the same outputs."""
    folder, config = run.folder.path, run.config
    loaded.model.eval()
    sample = forget.rows[:: max(1, len(forget.rows) // RELOAD_ROWS)][:RELOAD_ROWS]
    adapter.save(loaded, folder)
    counts = None
    if config.full:
        difference = adapter.reload_difference_of_weights(loaded, folder)
    else:
        trained = teacher_forced(loaded, sample, config.token_budget).token_logps
        with adapter.reloaded(loaded, folder):
            read = teacher_forced(loaded, sample, config.token_budget).token_logps
        difference = max(float(np.abs(a - b).max()) for a, b in zip(trained, read, strict=True))
        counts = "{}/{}".format(*adapter.lora_b_nonzero(folder))
    kind = "model" if config.full else "adapter"
    about = {"kind": kind, "base_model": loaded.source.location, "revision": loaded.source.revision}
    about["quantization"] = loaded.quantization
    write_text(folder / "unlearn.json", json.dumps(about, indent=2) + "\n")
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".json", ".jinja")]
    skip = {"plan.json", "report.json"}
    hashes = {path.name: file_sha256(path) for path in files if path.name not in skip}
    artifact = ArtifactReport(kind=kind, files=hashes, reload_max_diff=difference, lora_b_nonzero=counts)
    if difference > RELOAD_TOLERANCE:
        raise UnlearnError(
            f"the saved {kind} gives other outputs than the trained model (by {difference:.2g} nats)",
            "please report this with the output of `unlearn env`",
            EXIT_FAILED,
        )
    return artifact


def identity_after(run: Run, loaded: LoadedModel) -> str:
    """The fingerprint that `unlearn evaluate RUN` will find for the same weights."""
    itself = ModelSource(str(run.folder.path.resolve()), None)
    source = itself if run.config.full else ModelSource(loaded.source.location, loaded.source.revision, itself)
    return identity(source, run.config, str(loaded.dtype), loaded.device.type)
