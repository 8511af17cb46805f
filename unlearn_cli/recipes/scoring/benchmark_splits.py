"""The splits of a benchmark: those of an evaluation, and those that a run trains on and measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from unlearn_cli.config.groups import BenchmarkOptions, DataOptions
from unlearn_cli.data.benchmarks._benchmark import Chosen, Part, as_asked, check_rows, choose
from unlearn_cli.data.example import Example, Split
from unlearn_cli.data.held_out import RETAIN_TRAINED
from unlearn_cli.data.load import load_part, load_split, rows_sha256
from unlearn_cli.data.written import AUTO
from unlearn_cli.hashing import fingerprint

TRAINED = ("forget", "retain")


def chosen(options: BenchmarkOptions) -> Chosen | None:
    """The benchmark that the options name.

    Raises:
        UnlearnError: an unknown name.
    """
    return choose(options.benchmark, options.benchmark_dir) if options.benchmark else None


def keeps(options: DataOptions) -> bool:
    """Whether retain rows are given, by the user or the benchmark."""
    if options.retain == AUTO:
        return False
    if options.retain or not options.benchmark:
        return bool(options.retain)
    benchmark = choose(options.benchmark, options.benchmark_dir)
    return benchmark.variant.retain is not None


def parts(benchmark: Chosen, *, trained: bool) -> dict[str, Part]:
    """The splits by name: those of an evaluation, or with `trained` those of a run.

    In a run, `forget` and `retain` are the rows that are trained on. If the benchmark tests other rows under these names,
    those are called `forget_test` and `retain_test`, and its holdout is left out.

    Raises:
        UnlearnError: `trained`, and the benchmark publishes no rows to train on.
    """
    measured = benchmark.measured()
    if not trained:
        return measured
    if benchmark.variant.same_rows:
        return benchmark.trained() | measured
    renamed = {f"{name}_test" if name in TRAINED else name: part for name, part in measured.items() if name != "holdout"}
    return benchmark.trained() | renamed


def load(options: DataOptions, *, trained: bool, given: Mapping[str, object]) -> dict[str, Split]:
    """The splits of the benchmark, without those that the user gives.

    With `trained`, a benchmark's own `retain` judges, and `retain_trained` is trained on: the published retain rows without
    those that judge; with --retain-held-out 0 all of them.

    Raises:
        UnlearnError: files are missing, or are not the published ones.
    """
    benchmark = chosen(options)
    assert benchmark is not None
    loaded = dict(_loaded(benchmark, options, trained, given))
    if trained and benchmark.variant.same_rows and benchmark.variant.retain and "retain" not in given:
        whole = _part(benchmark, benchmark.variant.retain, RETAIN_TRAINED, options.limit)
        judged = {(example.prompt, example.answer) for example in loaded["retain"].examples}
        examples = whole.examples
        if options.retain_held_out and not options.retain_eval:
            examples = tuple(example for example in examples if (example.prompt, example.answer) not in judged) or examples
        origin = replace(whole.origin, rows=len(examples), sha256=rows_sha256(examples))
        loaded[RETAIN_TRAINED] = replace(whole, examples=examples, origin=origin, generate_limit=-1)
    return loaded


def _loaded(
    benchmark: Chosen, options: DataOptions, trained: bool, given: Mapping[str, object]
) -> Iterator[tuple[str, Split]]:
    for name, part in parts(benchmark, trained=trained).items():
        if name not in given:
            yield name, _part(benchmark, part, name, options.limit)


def _part(benchmark: Chosen, part: Part, name: str, limit: int | None) -> Split:
    """One split. Its rows are checked against the published hash if there is one."""
    spec = benchmark.where(part)
    split = load_part(name, spec, rows=part.rows, columns=part.columns)
    if benchmark.revision is None:
        check_rows(part, split.examples, spec)
    shots: tuple[Example, ...] = load_split(name, benchmark.where(part.shots)).examples if part.shots else ()
    examples = tuple(as_asked(example, part, shots) for example in split.examples[:limit])
    # A hash of the rows as they are asked: the same rows behind other examples are another measurement.
    sha256 = rows_sha256(examples)
    if part.shots or part.answer_tokens:
        sha256 = fingerprint(sha256, part.answer_tokens)
    published = True if part.sha256 and benchmark.revision is None else None
    origin = replace(split.origin, rows=len(examples), sha256=sha256, published=published)
    return replace(
        split, examples=examples, origin=origin, max_new_tokens=part.max_new_tokens, answer_tokens=part.answer_tokens,
        windows=part.windows,
    )  # fmt: skip
