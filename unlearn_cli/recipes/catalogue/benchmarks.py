"""A benchmark for `unlearn list benchmarks` and `unlearn show NAME`: its rows, its splits, its published numbers."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from unlearn_cli.data.benchmarks._benchmark import BENCHMARKS, Benchmark, Part, Variant, choose, names


def summaries() -> dict[str, str]:
    """One line for each name."""
    lines = {}
    for name in names():
        declared = choose(name)
        trained = "" if declared.variant.forget else "; evaluation only"
        lines[name] = f"{declared.benchmark.says}{trained}; splits: {', '.join(declared.measured())}"
    return lines


def is_benchmark(name: str) -> bool:
    """Whether `tofu` or `tofu:forget10` names a benchmark."""
    return BENCHMARKS.has(name.partition("@")[0].partition(":")[0])


def page(name: str) -> str:
    """Everything about a benchmark, or about one of its variants.

    Raises:
        UnlearnError: the benchmark has no such variant.
    """
    stem, _, variant = name.partition(":")
    benchmark = BENCHMARKS.get(stem)
    chosen = {variant: choose(name).variant} if variant else benchmark.variants
    spelled = BENCHMARKS.canonical(stem)
    documentation = importlib.import_module(f"unlearn_cli.data.benchmarks.{spelled}").__doc__ or ""
    lines = [spelled, "", documentation.strip(), "", f"files: {benchmark.source}"]
    lines += [f"pinned: {repository} at {commit}" for repository, commit in benchmark.revisions.items()]
    if loose := sorted(set(_repositories(benchmark)) - set(benchmark.revisions)):
        lines.append(f"pinned: no commit of {', '.join(loose)} is known here; the report has the commit that was read")
    first = next(iter(chosen))
    for shown, declared in chosen.items():
        lines += ["", f"--benchmark {spelled}:{shown}", *_splits(declared)]
        if len(chosen) > 1 and shown == first and _alike(benchmark):
            lines += ["", "the same splits: " + ", ".join(f"{spelled}:{other}" for other in chosen if other != first)]
            break
    if benchmark.any_name:
        lines += ["", f"--benchmark {spelled}:{benchmark.any_name}: its rows alone"]
    if benchmark.as_published:
        lines += ["", f"as published: unlearn forget --benchmark {spelled}:{first} {benchmark.as_published}"]
    for shown, numbers in benchmark.published.items():
        if shown in chosen:
            lines += ["", f"published on {shown} ({benchmark.published_by}):"]
            lines += [f"  {method:<12} {value}" for method, value in numbers.items()]
    return "\n".join([*lines, "", f"paper: arXiv {benchmark.paper}"])


def fields(name: str) -> dict[str, Any]:
    """What a benchmark or one of its variants declares, as JSON has it.

    Raises:
        UnlearnError: the benchmark has no such variant.
    """
    stem, _, variant = name.partition(":")
    benchmark = BENCHMARKS.get(stem)
    chosen = {variant: choose(name).variant} if variant else benchmark.variants
    return {
        "name": BENCHMARKS.canonical(stem),
        "kind": "benchmark",
        "summary": benchmark.says,
        "files": benchmark.source,
        "revisions": benchmark.revisions,
        "variants": {
            shown: {
                "trained": {name: _written(part) for name, part in (("forget", one.forget), ("retain", one.retain)) if part},
                "measured": {
                    name: {"rows": _written(part), "metrics": part.metrics}
                    for name, part in {**one.evaluate, **one.optional}.items()
                },
            }
            for shown, one in chosen.items()
        },
        "as_published": benchmark.as_published,
        "published": {shown: numbers for shown, numbers in benchmark.published.items() if shown in chosen},
        "published_by": benchmark.published_by,
        "paper": benchmark.paper,
    }


def _alike(benchmark: Benchmark) -> bool:
    """Whether all variants have splits of the same names."""
    return len({tuple(variant.evaluate) for variant in benchmark.variants.values()}) == 1


def _repositories(benchmark: Benchmark) -> Iterator[str]:
    """The data sets of the Hub that its parts are read from."""
    variants = [*benchmark.variants.values(), *([benchmark.any_variant("")] if benchmark.any_variant else [])]
    for variant in variants:
        parts = (variant.forget, variant.retain, *variant.evaluate.values(), *variant.optional.values())
        yield from ("/".join(part.hub.partition(":")[0].split("/")[:2]) for part in parts if part and part.hub)


def _splits(variant: Variant) -> list[str]:
    trained = {"forget": variant.forget, "retain": variant.retain}
    lines = [f"  trained on: {name} = {_written(part)}" for name, part in trained.items() if part]
    if variant.forget is None:
        lines.append(f"  trained on: nothing is published, for {variant.because}")
    for name, part in {**variant.evaluate, **variant.optional}.items():
        metrics = f" ({', '.join(part.metrics)})" if part.metrics else ""
        lines.append(f"  measured:   {name} = {_written(part)}{metrics}")
    return lines


def _written(part: Part) -> str:
    checked = f", rows {part.sha256}" if part.sha256 else ""
    return (f"hf:{part.hub}" if part.hub else f"DIR/{part.file}") + checked
