"""Which files of a run folder `unlearn push` uploads. The others may hold rows or answers."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

from unlearn_cli.config import DERIVED
from unlearn_cli.lineage import FOLDER
from unlearn_cli.models.run_files import ASSISTANT
from unlearn_cli.report import EVALUATION, FILE, ROWS

# Files without text of the rows. They are uploaded beside the artifact's files, which the report names.
SHARED = {FILE, "README.md", "unlearn.json", "metrics.jsonl"}
# Folders with reports of later commands. The record and `compare` read them: without them nobody else can check a claim.
ATTACKS = "attacks"
REPORTED = {ATTACKS, EVALUATION, DERIVED}
SAMPLES = {"measured", ROWS}  # texts, and ids of rows; an id may be the name of a person


def is_shared(name: str, artifact_files: Collection[str], *, samples: bool = False) -> bool:
    """Whether a file is uploaded.

    Args:
        name: its path inside the run folder, with slashes.
        artifact_files: names of the artifact's files, by the report.
        samples: whether the rows and the answers are uploaded too.
    """
    path = PurePosixPath(name)
    inner = path.parts[1:] if path.parts[0] == ASSISTANT else path.parts
    artifact = len(inner) == 1 and inner[0] in artifact_files
    return artifact or name in SHARED or _is_evidence(path) or (samples and _is_sample(path))


def is_stale(name: str, uploaded: Collection[str]) -> bool:
    """Whether a file of an earlier upload belongs to another state of the run: one with rows, or a report that is gone."""
    path = PurePosixPath(name)
    return name not in uploaded and (_is_sample(path) or _is_evidence(path))


def _is_evidence(path: PurePosixPath) -> bool:
    first = path.parts[0]
    return (first in REPORTED and path.name == FILE) or (first == FOLDER and path.suffix == ".json")


def _is_sample(path: PurePosixPath) -> bool:
    first = path.parts[0]
    return first in SAMPLES or (first in (EVALUATION, DERIVED) and not SAMPLES.isdisjoint(path.parts))
