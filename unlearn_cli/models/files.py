"""Every file of a model: weights in shards, configs, the tokenizer, and code that comes with it."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from unlearn_cli.hashing import cached_sha256
from unlearn_cli.models.source import ADAPTER_CONFIG, ModelSource

KINDS = (".safetensors", ".bin", ".json", ".jinja", ".model", ".tiktoken", ".py")
VOCABULARIES = ("vocab.txt", "merges.txt")
EVIDENCE = {
    "report.json",
    "plan.json",
    "alternatives.json",
    "written_retain.json",
}  # of a run that is itself the model: they may change later


def folder_of(source: ModelSource) -> Path | None:
    """The folder with a model's files, for a Hub model that of its commit in the cache; None if it is not here."""
    if source.revision is None:
        return Path(source.location) if Path(source.location).is_dir() else None
    for name in ("config.json", ADAPTER_CONFIG):
        cached = try_to_load_from_cache(source.location, name, revision=source.revision)
        if isinstance(cached, str):
            return Path(cached).parent
    return None


def files_in(folder: Path) -> list[Path]:
    """The files in a folder that decide what its model does, by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if (path.suffix in KINDS or path.name in VOCABULARIES) and path.name not in EVIDENCE and path.is_file()
    )


def hashes_in(folder: Path) -> dict[str, str]:
    """sha256 of those files, by name."""
    return {path.name: cached_sha256(path) for path in files_in(folder)}
