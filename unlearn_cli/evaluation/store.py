"""Measurements on disk: NAME.safetensors for numbers, NAME.jsonl for texts."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from unlearn_cli.errors import UnlearnError
from unlearn_cli.measured import Measured

ARRAYS = ("token_logps", "hits", "mu", "sigma", "offsets", "ends")
OPTIONAL = ("paraphrased_logps", "perturbed_logps", "grad_norms", "zlib_bytes")
COUNTS = ("rows_in_split", "tokens_run", "tokens_needed", "tokens_generated")
TEXTS = {"ids": "id", "prompts": "prompt", "golds": "gold", "generations": "generation"}
OPTIONAL_TEXTS = {"paraphrases": "paraphrase", "samples": "samples"}


def save_measured(measured: Measured, folder: Path, name: str, key: str) -> None:
    """Write one split's measurements under `name`, with the fingerprint `key` of what was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"split": measured.split, "key": key, "protocol": json.dumps(dict(measured.protocol))}
    about |= {name: str(getattr(measured, name)) for name in COUNTS}
    columns = {
        field: getattr(measured, column)
        for column, field in {**TEXTS, **OPTIONAL_TEXTS}.items()
        if getattr(measured, column) is not None
    }
    texts = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    lines = [json.dumps(row, ensure_ascii=False) for row in texts]
    _replace(folder / f"{name}.jsonl", lambda path: path.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    held = [*ARRAYS, *(array for array in OPTIONAL if getattr(measured, array) is not None)]
    arrays = {array: np.ascontiguousarray(getattr(measured, array)) for array in held}
    # The numbers come last and hold the key: a folder cut off in between is not taken for a whole one.
    _replace(folder / f"{name}.safetensors", lambda path: save_file(arrays, path, metadata=about))


def load_measured(folder: Path, name: str, key: str | None = None) -> Measured | None:
    """One split's measurements, or None if there are none, or none under this key.

    Raises:
        UnlearnError: the files do not belong together.
    """
    numbers, texts = folder / f"{name}.safetensors", folder / f"{name}.jsonl"
    if not numbers.is_file() or not texts.is_file():
        return None
    with safe_open(numbers, framework="np") as file:
        about = file.metadata()
        if key is not None and about["key"] != key:
            return None
        arrays = {array: file.get_tensor(array) for array in [*ARRAYS, *OPTIONAL] if array in file.keys()}  # noqa: SIM118
    rows = [json.loads(line) for line in texts.read_text(encoding="utf-8").split("\n") if line]
    if len(rows) != len(arrays["ends"]):
        raise UnlearnError(f"{texts} does not belong to {numbers.name}", "delete both and measure again")
    columns = {column: tuple(row[field] for row in rows) for column, field in TEXTS.items()}
    for column, field in OPTIONAL_TEXTS.items():
        if rows and field in rows[0]:
            held = (row[field] for row in rows)
            columns[column] = tuple(tuple(value) if isinstance(value, list) else value for value in held)
    counts = {name: int(about.get(name, 0)) for name in COUNTS}
    protocol = json.loads(about.get("protocol", "{}"))
    return Measured(split=about["split"], protocol=protocol, **counts, **columns, **arrays)


def copy_measured(source: Path, target: Path, name: str) -> None:
    """Copy one split's measurements, if they are whole, from a folder that another process may be writing into."""
    if not (source / f"{name}.safetensors").is_file():  # written last
        return
    target.mkdir(parents=True, exist_ok=True)
    for suffix in ("jsonl", "safetensors"):
        _replace(target / f"{name}.{suffix}", partial(shutil.copyfile, source / f"{name}.{suffix}"))


def _replace(path: Path, write) -> None:
    part = path.with_name(path.name + ".part")
    write(part)
    part.chmod(0o644)
    os.replace(part, path)
