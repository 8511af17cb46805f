"""Measurements on disk: NAME.safetensors for numbers, NAME.jsonl for texts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from unlearn_cli.atomic import Content, write_together, writing
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import file_sha256, text_sha256
from unlearn_cli.jsonfile import parse_json
from unlearn_cli.measured import Measured
from unlearn_cli.models.boundary import boundary

AGAIN = "delete both files and measure again"
ARRAYS = ("token_logps", "is_argmax", "mu", "sigma", "offsets", "ends")
OPTIONAL = ("paraphrased_logps", "perturbed_logps", "grad_norms", "zlib_bytes")
STORED = {"is_argmax": "hits"}  # arrays with another name in the file: the file format is older than the name in the code
COUNTS = ("rows_in_split", "tokens_run", "tokens_needed", "tokens_generated")
TEXTS = {"ids": "id", "prompts": "prompt", "references": "gold", "generations": "generation"}
OF_TEXTS = ("generated answers", "sampled answers")  # parts of a protocol that say how texts were written
OPTIONAL_TEXTS = {"paraphrases": "paraphrase", "samples": "samples"}


def save_measured(measured: Measured, folder: Path, name: str, key: str, *, texts: bool = True) -> None:
    """Write one split's measurements under `name`, with the fingerprint `key` of what was measured.

    Without `texts` only the rows' ids and numbers are written. Such measurements can be compared with others, but are
    not found by their key.
    """
    measured = measured if texts else without_texts(measured)
    about = {"split": measured.split, "key": key, "protocol": json.dumps(dict(measured.protocol)), "texts": str(texts)}
    about |= {name: str(getattr(measured, name)) for name in COUNTS}
    columns = {
        field: getattr(measured, column)
        for column, field in {**TEXTS, **OPTIONAL_TEXTS}.items()
        if getattr(measured, column) is not None
    }
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"
    about["texts_sha256"] = text_sha256(lines)
    arrays = {
        STORED.get(name, name): np.ascontiguousarray(getattr(measured, name))
        for name in (*ARRAYS, *OPTIONAL)
        if getattr(measured, name) is not None
    }
    # The numbers are moved last. They name the texts: after a kill in between the two are not taken for a pair.
    numbers: Content = lambda path: save_file(arrays, path, metadata=about)  # noqa: E731
    write_together({folder / f"{name}.jsonl": lines, folder / f"{name}.safetensors": numbers})


def load_measured(folder: Path, name: str, key: str | None = None) -> Measured | None:
    """One split's measurements, or None if there are none, or none under this key.

    Raises:
        UnlearnError: the files do not belong together, or are damaged.
    """
    numbers, texts = folder / f"{name}.safetensors", folder / f"{name}.jsonl"
    if not numbers.is_file() or not texts.is_file():
        return None
    with boundary(str(numbers), AGAIN), safe_open(numbers, framework="np") as file:
        about = file.metadata()
        if key is not None and (about["key"] != key or about.get("texts") == "False"):
            return None
        pair = about.get("texts_sha256") in (None, file_sha256(texts))  # files of earlier versions do not say
        in_file = set(file.keys())
        stored = {name: STORED.get(name, name) for name in (*ARRAYS, *OPTIONAL)}
        arrays: dict[str, Any] = {name: file.get_tensor(stored[name]) for name in stored if stored[name] in in_file}
        columns: dict[str, Any] = {name: int(about.get(name, 0)) for name in COUNTS}
        columns |= {"split": about["split"], "protocol": dict(parse_json(about.get("protocol", "{}")))}
        _check_arrays(arrays)
    if not pair:
        if key is not None:
            return None
        raise UnlearnError(f"{texts} does not belong to {numbers.name}", AGAIN)
    with boundary(str(texts), AGAIN):
        rows = [parse_json(line) for line in texts.read_text(encoding="utf-8").split("\n") if line]
        columns |= {column: tuple(_text(row[field]) for row in rows) for column, field in TEXTS.items()}
        for column, field in OPTIONAL_TEXTS.items():
            if rows and field in rows[0]:
                columns[column] = tuple(_text(row[field]) for row in rows)
    if len(rows) != len(arrays["ends"]):
        raise UnlearnError(f"{texts} does not belong to {numbers.name}", AGAIN)
    return Measured(**columns, **arrays)


def _text(value: Any) -> Any:
    """A text, several of them as a tuple, or None.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, list):
        return tuple(map(_text, value))
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _check_arrays(arrays: dict[str, Any]) -> None:
    """Raises ValueError if arrays are missing, or if their lengths do not fit `offsets`."""
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise ValueError(f"{', '.join(missing)} are missing")
    offsets = arrays["offsets"]
    rows, tokens = len(arrays["ends"]), len(arrays["token_logps"])
    if offsets.shape != (rows + 1,) or offsets[0] != 0 or offsets[-1] != tokens or (offsets[1:] <= offsets[:-1]).any():
        raise ValueError("offsets do not fit the rows")
    by_token = all(arrays[name].shape == (tokens,) for name in ("token_logps", "is_argmax", "mu", "sigma"))
    if not by_token or any(len(arrays[name]) != rows for name in OPTIONAL if name in arrays):
        raise ValueError("arrays do not fit the length of the rows")


def without_texts(measured: Measured) -> Measured:
    """The same measurements without texts: the rows' ids, the numbers, and the compressed lengths of the texts."""
    protocol = {part: value for part, value in measured.protocol.items() if part not in OF_TEXTS}
    blank = ("",) * measured.rows
    return replace(
        measured, prompts=blank, references=blank, generations=(None,) * measured.rows, paraphrases=None, samples=None,
        zlib_bytes=measured.compressed_lengths, protocol=protocol,
    )  # fmt: skip


def holds_texts(folder: Path, name: str) -> bool:
    """Whether the measurements under `name` contain rows or answers as text."""
    with safe_open(folder / f"{name}.safetensors", framework="np") as file:
        return file.metadata().get("texts") != "False"


def remove_texts(folder: Path, name: str) -> None:
    """Write the measurements under `name` again without texts."""
    with safe_open(folder / f"{name}.safetensors", framework="np") as file:
        key = file.metadata()["key"]
    measured = load_measured(folder, name)
    if measured is None:  # the texts were removed before
        with writing(folder):
            (folder / f"{name}.safetensors").unlink()
    else:
        save_measured(measured, folder, name, key, texts=False)


def copy_measured(source: Path, target: Path, name: str) -> None:
    """Copy one split's measurements, if they are whole, from a folder that another process may be writing into."""
    if not (source / f"{name}.safetensors").is_file():  # written last
        return
    names = [f"{name}.{suffix}" for suffix in ("jsonl", "safetensors")]
    write_together({target / name: partial(shutil.copyfile, source / name) for name in names})
