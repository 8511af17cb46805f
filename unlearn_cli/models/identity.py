"""What a model is, as hashes: measurements and references are kept under it and never reused for anything else."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from unlearn_cli.config import ModelOptions
from unlearn_cli.jsonfile import read_object
from unlearn_cli.models.source import ADAPTER_CONFIG, BROKEN, ModelSource
from unlearn_cli.report import file_sha256, fingerprint

_WEIGHTS = ("*.safetensors", "*.bin")
_TOKENIZER = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "vocab.*", "merges.txt",
    "generation_config.json",
)  # fmt: skip


def weights_sha256(source: ModelSource) -> str | None:
    """sha256 over the weight files of a local folder; None for a Hub model, whose commit says it all."""
    if not source.local:
        return None
    folder = Path(source.location)
    files = sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern))
    return fingerprint(
        [(path.name, _sha256(path.resolve(), path.stat().st_size, path.stat().st_mtime_ns)) for path in files]
    )


def tokenizer_sha256(source: ModelSource) -> str | None:
    """sha256 over the files of local folders (the adapter's first) that say how text becomes tokens; None for the Hub's."""
    folders = [Path(part.location) for part in (source.adapter, source) if part is not None and part.local]
    files = [path for folder in folders for pattern in _TOKENIZER for path in sorted(folder.glob(pattern)) if path.is_file()]
    return fingerprint([(path.name, file_sha256(path)) for path in files]) if folders else None


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    """Of a file of that size and date: one run asks for its model's a dozen times, and gigabytes take long to hash."""
    return file_sha256(path)


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
    """Fingerprint of the weights and of how they are loaded; paths do not matter, contents do."""
    return fingerprint(
        _described(ModelSource(source.location, source.revision)),
        _described(source.adapter) if source.adapter else None,
        *([source.composition] if source.composition else ()),
        {"4bit": options.load_in_4bit, "8bit": options.load_in_8bit, "dtype": dtype, "device": device},
        {"attention": options.attn_implementation, "code": options.trust_remote_code},
    )
