"""Benchmarks by name: which files are the splits of which published evaluation."""

from __future__ import annotations

import hashlib
from pathlib import Path

from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import unknown

TOFU = "locuslab/TOFU"
# First 16 hex digits of the published files' sha256.
HASHES = {
    "forget01_perturbed": "d8d8a80bd25e853b",
    "forget05_perturbed": "7596c863a3f7eafb",
    "forget10_perturbed": "6fbcb946c57ea1d7",
    "retain_perturbed": "fc69f33bad70d3dc",
    "real_authors_perturbed": "a23255383ac75a5f",
    "world_facts_perturbed": "0e171838040d0ec9",
}
PRESETS = {
    f"tofu:forget{share}": {
        "forget": f"forget{share}_perturbed",
        "retain": "retain_perturbed",
        "real_authors": "real_authors_perturbed",
        "world_facts": "world_facts_perturbed",
    }
    for share in ("01", "05", "10")
}


def benchmark(name: str, folder: Path | None) -> dict[str, str]:
    """Specifications of a benchmark's splits: files in `folder`, or on the Hub.

    TOFU (Maini et al., 2024, arXiv 2401.06121): the first 400 rows of the retain set, real authors and world facts beside
    the forget rows, each with paraphrased and wrong answers. TOFU's own evaluation takes the first 300 rows (--limit 300).

    Raises:
        UnlearnError: an unknown name, a missing file, or one that is not the published one.
    """
    if name not in PRESETS:
        raise unknown("benchmark", name, PRESETS)
    files = PRESETS[name]
    if folder is None:
        return {split: f"hf:{TOFU}/{file}:train" for split, file in files.items()}
    return {split: str(_checked(folder / f"{file}.json", HASHES[file])) for split, file in files.items()}


def _checked(path: Path, expected: str) -> Path:
    if not path.is_file():
        raise UnlearnError(f"benchmark file not found: {path}", "--benchmark-dir DIR holds the files under their own names")
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(expected):
        raise UnlearnError(
            f"{path} is not the published file", "scores would not be comparable; give it as --forget or --retain"
        )
    return path
