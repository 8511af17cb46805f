"""Texts about registered entries, for `unlearn list`, `unlearn show` and the generated reference."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from unlearn_cli.contract import (
    ATTACKS,
    METHODS,
    METRICS,
    RETAIN_TERMS,
    ROBUST,
    Attack,
    Declared,
    Defaults,
    Method,
    Metric,
    Procedure,
)
from unlearn_cli.jsonfile import to_json
from unlearn_cli.recipes.catalogue import benchmarks
from unlearn_cli.recipes.catalogue.published import defaults_of, flags, published_lines
from unlearn_cli.registry import Registry, is_file, unknown

KINDS: dict[str, Registry[Any]] = {
    "methods": METHODS,
    "retain-terms": RETAIN_TERMS,
    "robust-rules": ROBUST,
    "metrics": METRICS,
    "attacks": ATTACKS,
}

ALTERNATIVES = {
    "refusals": "the data's, or refusals",
    "generated": "the data's, or answers that the model itself samples before training",
    "novice": "the data's, or answers that the model itself gives behind the novice's sentence, or refusals",
    "traces": "reasoning that the model itself writes about the question, sampled before training",
    "mismatched": "answers to other questions",
    "perturbed": "the data's perturbed answers, or answers to other forget questions",
}


def lines(kind: str) -> list[str]:
    """One line for each entry of a kind.

    Raises:
        UnlearnError: no such kind.
    """
    summaries = _summaries(kind)
    width = max(map(len, summaries))
    return [f"{name:<{width}}  {summary}" for name, summary in summaries.items()]


def dumps(kind: str) -> str:
    """The entries of a kind as a JSON array.

    Raises:
        UnlearnError: no such kind.
    """
    entries = [{"name": name, "summary": summary} for name, summary in _summaries(kind).items()]
    return to_json(entries)


def _summaries(kind: str) -> dict[str, str]:
    spelled = kind if kind.endswith("s") else f"{kind}s"
    if spelled == "benchmarks":
        return benchmarks.summaries()
    if spelled not in KINDS:
        raise unknown("kind", kind, [*KINDS, "benchmarks"])
    return {name: KINDS[spelled].summary(name).rstrip(".") for name in names(spelled)}


def names(kind: str) -> list[str]:
    """Names of a kind as users write them. Names of metrics have underscores, as in expressions and reports."""
    entries = KINDS[kind].names()
    return [name.replace("-", "_") for name in entries] if kind == "metrics" else entries


def page(name: str) -> str:
    """Everything about the entries of one name, or about what the user's own file declares.

    Raises:
        UnlearnError: no entry has this name, or the file cannot be used.
    """
    if benchmarks.is_benchmark(name):
        return benchmarks.page(name)
    entries = _entries(name)
    # A retain term and a metric may share a name.
    return "\n\n".join(describe(entry, kind if len(entries) > 1 else "") for kind, entry in entries.items())


def page_dumps(name: str) -> str:
    """The same as a JSON array, one object for each entry of the name.

    Raises:
        UnlearnError: no entry has this name, or the file cannot be used.
    """
    if benchmarks.is_benchmark(name):
        return to_json([benchmarks.fields(name)])
    return to_json([fields(entry, kind) for kind, entry in _entries(name).items()])


def _entries(name: str) -> dict[str, Declared]:
    """Kind -> the entry of this name."""
    if is_file(name):
        return {METHODS.kind: METHODS.get(name)}  # whatever it declares
    wanted = name.rpartition(".")[2]  # `forget.probability`, as in tables and gates
    entries = {registry.kind: registry.get(wanted) for registry in KINDS.values() if registry.has(wanted)}
    if not entries:
        known = {n for kind in KINDS for n in names(kind)} | set(benchmarks.BENCHMARKS.names())
        raise unknown("name", name, known, where="`unlearn list KIND` lists all names")
    return entries


def fields(entry: Declared, kind: str) -> dict[str, Any]:
    """What an entry declares, as JSON has it; fields that only other kinds have are left out."""
    defaults = defaults_of(entry)
    own = {
        name: getattr(entry, name)
        for name in ("alternatives", "applied", "artifact", "along", "access", "range", "targets")
        if hasattr(entry, name)
    }
    return {
        "name": entry.name,
        "kind": kind,
        "documentation": entry.documentation,
        "needs": entry.needs,
        "parameters": {one.name: {"default": one.default, "help": one.help} for one in entry.parameters.values()},
        **({"defaults": asdict(defaults)} if defaults else {}),
        **(
            {"published": entry.published, "flags": flags(entry), "because": entry.because}
            if entry.published is not None
            else {}
        ),
        **own,
        "paper": entry.paper,
    }


def describe(entry: Declared, kind: str = "") -> str:
    """Documentation, needs, parameters, defaults and published setting of an entry. `kind` is written after its name."""
    parts = [f"{entry.name} ({kind})" if kind else entry.name, ""]
    parts += [entry.documentation, ""] if entry.documentation else []
    if needs := [name for name in entry.needs if name not in ("bench", "gradients", "target")]:
        parts.append(f"needs: {', '.join(needs)}")
    for parameter in entry.parameters.values():
        parts.append(f"-p {parameter.name}={parameter.default}: {parameter.help}")
    if (defaults := defaults_of(entry)) is not None:
        base = "base" in entry.parameters
        parts.append(f"defaults: those of the base method, {defaults.epochs:g} epochs" if base else _defaults(defaults))
    if isinstance(entry, Method):
        if "alternative" in entry.needs:
            parts.append(f"alternatives: {ALTERNATIVES[entry.alternatives]}")
        if entry.applied != "adapter":
            parts.append(f"artifact: {entry.applied.replace('_', ' ')}")
    if isinstance(entry, Procedure):
        parts.append(f"artifact: {entry.artifact}; starts again after an interruption")
    if isinstance(entry, (Method, Procedure)):
        aims = isinstance(entry, Method) and entry.applied == "adapter"
        parts.append("target: trains until it is reached" if aims else "target: none; it has its own schedule")
    if isinstance(entry, Attack):
        parts.append(f"points along: {entry.along}; needs access to {entry.access}")
    if isinstance(entry, Metric):
        parts.append(f"range: {entry.range[0]:g} to {entry.range[1]:g}")
        parts += [f"{split}: {target} is better" for split, target in entry.targets.items()]
    parts += published_lines(entry)
    if entry.paper:
        parts.append(f"paper: arXiv {entry.paper}")
    return "\n".join(parts)


def _defaults(d: Defaults) -> str:
    unusual = [f"--{name} {value}" for name, value, usual in (
        ("robust", d.robust, "none"), ("optim", d.optim, "auto"), ("lora-init", d.lora_init, "default"),
    ) if value != usual]  # fmt: skip
    return (
        f"defaults: retain term {d.retain_term}, weights {d.forget_weight:g} and {d.retain_weight:g}, "
        f"{d.epochs:g} epochs of {d.batch_size} forget rows, {d.retain_ratio} retain rows for each, "
        f"learning rate {d.learning_rate_multiplier:g} x the scaling rule" + "".join(f", {flag}" for flag in unusual)
    )
