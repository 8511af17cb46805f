"""What is registered, in words: `unlearn list`, `unlearn show`, and the generated reference."""

from __future__ import annotations

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
from unlearn_cli.registry import Registry, unknown

KINDS: dict[str, Registry] = {
    "methods": METHODS,
    "retain-terms": RETAIN_TERMS,
    "robust-rules": ROBUST,
    "metrics": METRICS,
    "attacks": ATTACKS,
}

ALTERNATIVES = {
    "refusals": "the data's, or refusals",
    "generated": "the data's, or answers that the model itself samples before training",
    "mismatched": "answers to other questions",
    "perturbed": "the data's perturbed answers, or answers to other forget questions",
}


def lines(kind: str) -> list[str]:
    """One line for each entry of a kind.

    Raises:
        UnlearnError: no such kind.
    """
    spelled = kind if kind in KINDS else f"{kind}s"
    if spelled not in KINDS:
        raise unknown("kind", kind, KINDS)
    names = named(spelled)
    width = max(map(len, names))
    return [f"{name:<{width}}  {KINDS[spelled].summary(name).rstrip('.')}" for name in names]


def named(kind: str) -> list[str]:
    """Names as they are usually written: those of metrics stand in expressions and reports, with underscores."""
    found = KINDS[kind].names()
    return [name.replace("-", "_") for name in found] if kind == "metrics" else found


def page(name: str) -> str:
    """Everything about one entry.

    Raises:
        UnlearnError: nobody is called that.
    """
    wanted = name.rpartition(".")[2]  # `forget.probability`, as tables and gates have it
    for registry in KINDS.values():
        if registry.has(wanted):
            return describe(registry.get(wanted))
    raise unknown("name", name, {n for kind in KINDS for n in named(kind)}, where="`unlearn list KIND` has them all")


def describe(entry: Declared) -> str:
    """Documentation, what it needs, parameters and defaults of an entry."""
    parts = [entry.name, "", entry.documentation, ""]
    if needs := [name for name in entry.needs if name not in ("bench", "gradients", "target")]:
        parts.append(f"needs: {', '.join(needs)}")
    for parameter in entry.parameters.values():
        parts.append(f"-p {parameter.name}={parameter.default}: {parameter.help}")
    if "base" in entry.parameters:
        parts.append(f"defaults: those of the base method, {entry.defaults.epochs:g} epochs")
    elif isinstance(entry, (Method, Procedure)):
        parts.append(_defaults(entry.defaults))
    if isinstance(entry, Method):
        if "alternative" in entry.needs:
            parts.append(f"alternatives: {ALTERNATIVES[entry.alternatives]}")
        if entry.applied != "adapter":
            parts.append(f"artefact: {entry.applied.replace('_', ' ')}")
    if isinstance(entry, Procedure):
        parts.append(f"artefact: {entry.artefact}; starts anew after an interruption")
    if isinstance(entry, Attack):
        parts.append(f"points by: {entry.along}; needs access to {entry.access}")
    if isinstance(entry, Metric):
        parts.append(f"range: {entry.range[0]:g} to {entry.range[1]:g}")
        parts += [f"{split}: {target} is better" for split, target in entry.targets.items()]
    if entry.paper:
        parts.append(f"paper: arXiv {entry.paper}")
    return "\n".join(parts)


def _defaults(d: Defaults) -> str:
    others = [f"--{name} {value}" for name, value, usual in (
        ("robust", d.robust, "none"), ("optim", d.optim, "auto"), ("lora-init", d.lora_init, "default"),
    ) if value != usual]  # fmt: skip
    return (
        f"defaults: retain term {d.retain_term}, weights {d.forget_weight:g} and {d.retain_weight:g}, "
        f"{d.epochs:g} epochs of {d.batch_size} forget rows, {d.retain_ratio} retain rows for each, "
        f"learning rate {d.learning_rate_multiplier:g} x the scaling rule" + "".join(f", {x}" for x in others)
    )
