"""What a benchmark declares, and how its name on the command line leads to its splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import Registry, unknown

Rows = list[dict[str, Any]]
ENDINGS = (".json", ".jsonl", ".csv", ".parquet")
# The table of OpenUnlearning (Dorna et al., 2025, arXiv 2506.12618), docs/repro.md at commit 7fa0b55.
OPEN_UNLEARNING = "OpenUnlearning, docs/repro.md"


@dataclass(frozen=True)
class Part:
    """One split of a benchmark."""

    file: str  # in a folder of the benchmark's files, without ending
    hub: str | None = None  # on the Hub, without hf: and revision; None: it lies elsewhere
    metrics: tuple[str, ...] = ()  # that the benchmark reports on this split
    sha256: str | None = None  # of the published rows, see `rows_hash`; first 16 hex digits
    columns: Mapping[str, str] = field(default_factory=dict)
    rows: Callable[[Rows], Rows] | None = None  # the rows of this split, from those of the file
    shots: Part | None = None  # questions with answers that stand before each question
    subject: str | None = None  # of multiple choice, for its header
    max_new_tokens: int | None = None
    answer_tokens: int | None = None  # the true answer is cut after as many tokens
    continuation: bool = False  # written as raw text, whatever chat template the tokenizer has
    windows: bool = True  # see `Split`
    asked_for: str | None = None  # how its files are got, where the Hub asks for more than a name


@dataclass(frozen=True)
class Variant:
    """What one name stands for: the rows to train on, and the splits that are measured."""

    forget: Part | None = None  # trained on; None: the benchmark publishes no such rows
    retain: Part | None = None
    evaluate: Mapping[str, Part] = field(default_factory=dict)
    optional: Mapping[str, Part] = field(default_factory=dict)  # measured too where the folder has their files
    same_rows: bool = False  # the splits forget, retain and holdout are rows of the kind that is trained on
    because: str = ""  # why there are no rows to train on


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark."""

    paper: str  # arXiv id
    says: str  # in one line
    source: str  # where its files are, for people
    variants: Mapping[str, Variant]
    any_variant: Callable[[str], Variant] | None = None  # for names that are not listed, such as a person
    any_name: str = ""  # what such a name is
    revisions: Mapping[str, str] = field(default_factory=dict)  # repository on the Hub -> pinned commit
    published: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # what was measured on -> number by name
    published_by: str = ""
    as_published: str = ""  # flags of `unlearn forget` that train as the paper does


BENCHMARKS = Registry[Benchmark]("benchmark", "unlearn_cli.data.benchmarks")


@dataclass(frozen=True)
class Chosen:
    """A benchmark's variant, and where its files are read."""

    name: str
    benchmark: Benchmark
    variant: Variant
    folder: Path | None  # None: the Hub
    revision: str | None = None  # instead of the pinned one

    def measured(self) -> dict[str, Part]:
        """The splits that are measured; optional ones where they can be read."""
        readable = {
            name: part
            for name, part in self.variant.optional.items()
            if (part.hub if self.folder is None else published_file(self.folder, part))
        }
        return {**self.variant.evaluate, **readable}

    def trained(self) -> dict[str, Part]:
        """The rows to train on.

        Raises:
            UnlearnError: the benchmark publishes none.
        """
        if self.variant.forget is None:
            raise UnlearnError(
                f"{self.name} publishes no rows to forget: {self.variant.because}", "--forget FILE beside --benchmark"
            )
        parts = {"forget": self.variant.forget}
        return parts | ({"retain": self.variant.retain} if self.variant.retain else {})

    def where(self, part: Part) -> str:
        """The part's specification: a file in the folder, or a data set of the Hub at the pinned commit.

        Raises:
            UnlearnError: a missing file, or files that are not on the Hub.
        """
        if self.folder is not None:
            path = published_file(self.folder, part)
            if path is None:
                raise UnlearnError(
                    f"benchmark file not found: {self.folder / part.file}.json",
                    "--benchmark-dir DIR holds the files under their own names" + self._got(part),
                )
            return str(path)
        if part.hub is None:
            raise UnlearnError(
                f"{self.name} is not on the Hub", f"get it from {self.benchmark.source} and give --benchmark-dir DIR"
            )
        place, _, split = part.hub.partition(":")
        commit = self.revision or self.benchmark.revisions.get("/".join(place.split("/")[:2]))
        return f"hf:{place}" + (f"@{commit}" if commit else "") + f":{split}"

    def _got(self, part: Part) -> str:
        return f"; {part.asked_for}" if part.asked_for else f"; they come from {self.benchmark.source}"


def names() -> list[str]:
    """All names of benchmarks: tofu:forget01, ..."""
    return [f"{name}:{variant}" for name in BENCHMARKS.names() for variant in BENCHMARKS.get(name).variants]


def choose(name: str, folder: Path | None = None) -> Chosen:
    """The variant that a name stands for: BENCHMARK:VARIANT, or BENCHMARK alone if it has one; @COMMIT instead of the pin.

    Raises:
        UnlearnError: an unknown name.
    """
    written, _, revision = name.partition("@")
    stem, _, variant = written.strip().partition(":")
    if not BENCHMARKS.has(stem):
        raise unknown("benchmark", name, names())
    benchmark = BENCHMARKS.get(stem)
    if not variant and len(benchmark.variants) == 1:
        variant = next(iter(benchmark.variants))
    readable = benchmark.variants.get(variant)
    if readable is None and variant and benchmark.any_variant is not None:
        readable = benchmark.any_variant(variant)
    if readable is None:
        more = f", or {stem}:{benchmark.any_name}" if benchmark.any_name else ""
        known = [f"{stem}:{each}" for each in benchmark.variants]
        raise unknown("benchmark", written, names(), where=f"known: {', '.join(known)}{more}")
    return Chosen(f"{BENCHMARKS.canonical(stem)}:{variant}", benchmark, readable, folder, revision or None)


def published_file(folder: Path, part: Part) -> Path | None:
    """The part's file in a folder, whatever its ending."""
    return next((path for ending in ENDINGS if (path := folder / f"{part.file}{ending}").is_file()), None)


def rows_hash(examples: Sequence[Example]) -> str:
    """sha256 of what published rows hold: question, answer, paraphrased answer and wrong answers, in order."""
    digest = hashlib.sha256()
    for example in examples:
        content = [example.prompt, example.answer, example.paraphrased_answer, list(example.perturbed)]
        digest.update(json.dumps(content, ensure_ascii=False).encode())
    return digest.hexdigest()


def check_rows(part: Part, examples: Sequence[Example], spec: str) -> None:
    """Refuse rows that are not the published ones, where their hash is known.

    Raises:
        UnlearnError: they are others.
    """
    if part.sha256 and not rows_hash(examples).startswith(part.sha256):
        raise UnlearnError(
            f"{spec} does not hold the published rows", "scores would not be comparable; give it as --forget or --retain"
        )


def where_is(column: str, *values: str) -> Callable[[Rows], Rows]:
    """The rows whose column has one of these values; the column is then left out, for its name may mean something here."""

    def chosen(rows: Rows) -> Rows:
        return [
            {key: value for key, value in row.items() if key != column}
            for row in rows
            if not values or str(row.get(column)) in values
        ]

    return chosen


def nested(column: str) -> Callable[[Rows], Rows]:
    """The rows in a list column of all rows."""

    def unpacked(rows: Rows) -> Rows:
        return [dict(item) for row in rows for item in row.get(column) or ()]

    return unpacked


def share(first: float, last: float) -> Callable[[Rows], Rows]:
    """The rows from one share of all rows to another."""
    return lambda rows: rows[round(first * len(rows)) : round(last * len(rows))]


def as_asked(example: Example, part: Part, shots: Iterable[Example]) -> Example:
    """An example as the benchmark asks it."""
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
