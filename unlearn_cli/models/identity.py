"""Identify a model by hashes. Measurements and references are stored under the hash and reused for no other model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearn_cli.config import ModelOptions
from unlearn_cli.hashing import file_sha256, fingerprint
from unlearn_cli.jsonfile import read_object
from unlearn_cli.models.run_files import ADAPTER_CONFIG
from unlearn_cli.models.source import BROKEN, ModelSource, weights_sha256

_TOKENIZER = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "vocab.*", "merges.txt",
    "generation_config.json",
)  # fmt: skip


def tokenizer_sha256(source: ModelSource) -> str | None:
    """sha256 over the files of local folders (the adapter's first) that say how text becomes tokens; None for the Hub's."""
    folders = [Path(part.location) for part in (source.adapter, source) if part is not None and part.local]
    files = [path for folder in folders for pattern in _TOKENIZER for path in sorted(folder.glob(pattern)) if path.is_file()]
    return fingerprint([(path.name, file_sha256(path)) for path in files]) if folders else None


def _described(source: ModelSource) -> dict[str, Any]:
    if not source.local:
        return {"hub": source.location, "commit": source.revision}
    folder = Path(source.location)
    name = ADAPTER_CONFIG if (folder / ADAPTER_CONFIG).is_file() else "config.json"
    config = read_object(folder / name, BROKEN)
    for key in ("base_model_name_or_path", "revision"):
        config.pop(key, None)  # the base is described on its own
    code = {path.name: file_sha256(path) for path in sorted(folder.glob("*.py"))}  # which --trust-remote-code runs
    return {"weights": weights_sha256(source), "config": config} | ({"code": code} if code else {})


def identity(source: ModelSource, options: ModelOptions, dtype: str, device: str) -> str:
    """Fingerprint of the weights and of the loading options. It depends on the content of files, not on their paths."""
    return fingerprint(
        _described(ModelSource(source.location, source.revision)),
        _described(source.adapter) if source.adapter else None,
        *([source.composition] if source.composition else ()),
        {"4bit": options.load_in_4bit, "8bit": options.load_in_8bit, "dtype": dtype, "device": device},
        {"attention": options.attn_implementation, "code": options.trust_remote_code},
    )
