"""Which files of a run folder `unlearn push` uploads. The others may hold rows or ids of rows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

from unlearn_cli.lineage import FOLDER
from unlearn_cli.models.run_files import ASSISTANT
from unlearn_cli.report import FILE, ROWS

# Files without text of the rows. They are uploaded beside the artifact's files, which the report names.
SHARED = {"report.json", "README.md", "unlearn.json", "metrics.jsonl"}
SAMPLES = {"measured", ROWS}  # texts, and ids of rows; an id may be the name of a person


def is_shared(name: str, artifact_files: Collection[str], *, samples: bool = False) -> bool:
    """Whether a file is uploaded.

    Args:
        name: its path inside the run folder, with slashes.
        artifact_files: names of the artifact's files, by the report.
        samples: whether the rows and the answers are uploaded too.
    """
    path = PurePosixPath(name)
    first, inner = path.parts[0], path.parts[1:] if path.parts[0] == ASSISTANT else path.parts
    artifact = len(inner) == 1 and inner[0] in artifact_files
    attack = first == "attacks" and path.name == FILE
    lineage = first == FOLDER and path.suffix == ".json"
    return artifact or attack or lineage or name in SHARED or (samples and first in SAMPLES)
