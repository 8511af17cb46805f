"""Published benchmarks by name: the files of their splits, and the form of their prompts.

TOFU (Maini et al., 2024, arXiv 2401.06121): the first 400 rows of the retain set, real authors and world facts beside the
forget rows, each with wrong answers; TOFU's own evaluation takes the first 300 rows (--limit 300). MUSE (Shi et al., 2024,
arXiv 2407.06460): texts for membership inference, continuations, and questions after ten examples. WMDP (Li et al., 2024,
arXiv 2403.03218): multiple choice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import unknown


@dataclass(frozen=True)
class Part:
    """One split of a benchmark."""

    hub: str  # specification of the Hub data set, without hf:
    file: str  # path inside --benchmark-dir, without suffix
    sha256: str | None = None  # first 16 hex digits of the published file's hash
    columns: Mapping[str, str] = field(default_factory=dict)
    shots: Part | None = None  # questions with answers that precede each question
    subject: str | None = None  # named in the header of multiple-choice questions
    max_new_tokens: int | None = None
    answer_tokens: int | None = None  # the true answer is cut after this many tokens
    continuation: bool = False  # rows are raw text, also if the tokenizer has a chat template
    windows: bool = True  # see `Split.windows`


def _tofu(name: str, sha256: str | None = None) -> Part:
    return Part(f"locuslab/TOFU/{name}:train", name, sha256)


_TOFU_KEPT = {
    "retain": _tofu("retain_perturbed", "fc69f33bad70d3dc"),
    "real_authors": _tofu("real_authors_perturbed", "a23255383ac75a5f"),
    "world_facts": _tofu("world_facts_perturbed", "0e171838040d0ec9"),
}
_TOFU_FORGET = {"01": "d8d8a80bd25e853b", "05": "7596c863a3f7eafb", "10": "6fbcb946c57ea1d7"}


def _muse(corpus: str) -> dict[str, Part]:
    def part(config: str, split: str, **settings: Any) -> Part:
        return Part(f"muse-bench/MUSE-{corpus}/{config}:{split}", f"{config}/{split}", **settings)

    def questions(split: str) -> Part:
        shots = part("knowmem", f"{split}_qa_icl")
        return part("knowmem", f"{split}_qa", shots=shots, max_new_tokens=32, continuation=True)

    return {
        # For membership inference a text is one row: a text that is too long is cut, not split in two.
        **{split: part("privleak", split, windows=False) for split in ("forget", "retain", "holdout")},
        "forget_verbmem": part(
            "verbmem", "forget", columns={"completion": "gt"}, max_new_tokens=128, answer_tokens=128, continuation=True
        ),
        "forget_knowmem": questions("forget"),
        "retain_knowmem": questions("retain"),
    }


PRESETS: dict[str, dict[str, Part]] = {
    **{
        f"tofu:forget{share}": {"forget": _tofu(f"forget{share}_perturbed", sha256), **_TOFU_KEPT}
        for share, sha256 in _TOFU_FORGET.items()
    },
    **{f"muse:{corpus.lower()}": _muse(corpus) for corpus in ("News", "Books")},
    **{
        f"wmdp:{short}": {"forget": Part(f"cais/wmdp/wmdp-{short}:test", f"wmdp-{short}", subject=subject)}
        for short, subject in (("bio", "biology"), ("chem", "chemistry"), ("cyber", "cybersecurity"))
    },
}
# Membership inference needs rows like the forget rows that no model was trained on. TOFU has them only on the Hub.
HOLDOUTS = {f"tofu:forget{share}": _tofu(f"holdout{share}") for share in _TOFU_FORGET}
ENDINGS = (".json", ".jsonl", ".csv", ".parquet")


def benchmark(name: str, folder: Path | None) -> dict[str, Part]:
    """The splits of a benchmark. TOFU's holdout split is left out if `folder` has no file of it.

    Raises:
        UnlearnError: no benchmark has this name.
    """
    if name not in PRESETS:
        raise unknown("benchmark", name, PRESETS)
    parts = dict(PRESETS[name])
    holdout = HOLDOUTS.get(name)
    if holdout is not None and (folder is None or _published_file(folder, holdout) is not None):
        parts["holdout"] = holdout
    return parts


def where(part: Part, folder: Path | None) -> str:
    """The data specification of a part: a file in `folder`, or a split on the Hub.

    Raises:
        UnlearnError: the file is missing, or its content is not the published one.
    """
    if folder is None:
        return f"hf:{part.hub}"
    path = _published_file(folder, part)
    if path is None:
        raise UnlearnError(
            f"benchmark file not found: {folder / part.file}.json",
            "--benchmark-dir DIR holds the files under their own names",
        )
    if part.sha256 and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(part.sha256):
        raise UnlearnError(
            f"{path} is not the published file", "scores would not be comparable; give it as --forget or --retain"
        )
    return str(path)


def _published_file(folder: Path, part: Part) -> Path | None:
    return next((path for ending in ENDINGS if (path := folder / f"{part.file}{ending}").is_file()), None)


def in_benchmark_form(example: Example, part: Part, shots: tuple[Example, ...]) -> Example:
    """An example with the benchmark's prompt: its header, or its shots before the question."""
    if part.subject and example.style == "choice":
        return replace(
            example, turns=(("user", example.prompt.replace("(with answers).", f"(with answers) about {part.subject}.", 1)),)
        )
    if part.continuation:
        example = replace(example, style="continuation")
    if part.shots is None:
        return example
    shown = "".join(f"Question: {shot.prompt}\nAnswer: {shot.answer}\n\n" for shot in shots)
    return replace(example, turns=(("user", f"{shown}Question: {example.prompt}\nAnswer: "),))
