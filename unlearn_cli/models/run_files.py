"""Whether the files of a run are those that its report describes: a report beside other weights proves nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import cached_sha256
from unlearn_cli.jsonfile import read_object
from unlearn_cli.report import RunReport

ADAPTER_CONFIG = "adapter_config.json"
ABOUT = "unlearn.json"  # how the artifact of a run is applied
ASSISTANT = "assistant"  # folder of an adapter that is no model by itself
COPY_AGAIN = "copy it again from where the run was made; to use the folder as another model, copy it without report.json"
# What a file holds, by the beginning of its name; the first that fits.
HOLDS = {
    ADAPTER_CONFIG: "the adapter's settings",
    "adapter_model": "the adapter's weights",
    "model": "the weights",
    "chat_template": "the chat template",
    "config": "the model's settings",
    ABOUT: "how the artifact is applied",
    "": "the tokenizer",
}


def check_files(run: Path, report: RunReport) -> None:
    """Refuse a run folder in which a file of the artifact is missing or is not the one that the run wrote.

    The base that an adapter names may have changed: folders move.

    Raises:
        UnlearnError: names the file and what it holds.
    """
    if report.artifact is None:
        return
    folder = run / ASSISTANT if (run / ASSISTANT / ADAPTER_CONFIG).is_file() else run
    for name, sha256 in report.artifact.files.items():
        path = (run if name == ABOUT else folder) / Path(name).name
        if not path.is_file():
            raise UnlearnError(f"{path} is missing, and the run wrote it", COPY_AGAIN)
        if cached_sha256(path) != sha256 and not (name == ADAPTER_CONFIG and _only_its_base_moved(path, run, sha256)):
            what = next(text for start, text in HOLDS.items() if name.startswith(start))
            raise UnlearnError(f"{path} ({what}) is not the file that the run wrote", COPY_AGAIN)


def _only_its_base_moved(path: Path, run: Path, sha256: str) -> bool:
    """Whether an `adapter_config.json` with the base that the run wrote into it is the file that the run wrote."""
    about = read_object(run / ABOUT, COPY_AGAIN)
    base = {"base_model_name_or_path": about.get("base_model"), "revision": about.get("revision")}
    text = json.dumps(read_object(path, COPY_AGAIN) | base, indent=2, sort_keys=True)  # as PEFT writes it
    return hashlib.sha256(text.encode()).hexdigest() == sha256
