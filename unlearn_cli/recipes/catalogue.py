"""What is registered, in words: `unlearn list`, `unlearn show`, and the generated reference."""

from __future__ import annotations

from unlearn_cli.contract import METHODS, METRICS, RETAIN_TERMS, Declared, Method, Metric
from unlearn_cli.registry import Registry, unknown

KINDS: dict[str, Registry] = {"methods": METHODS, "retain-terms": RETAIN_TERMS, "metrics": METRICS}


def lines(kind: str) -> list[str]:
    """One line for each entry of a kind.

    Raises:
        UnlearnError: no such kind.
    """
    spelled = kind if kind in KINDS else f"{kind}s"
    if spelled not in KINDS:
        raise unknown("kind", kind, KINDS)
    registry = KINDS[spelled]
    entries = {name: registry.get(name).summary.rstrip(".") for name in registry.names()}
    width = max(map(len, entries))
    return [f"{name:<{width}}  {summary}" for name, summary in entries.items()]


def page(name: str) -> str:
    """Everything about one entry.

    Raises:
        UnlearnError: nobody is called that.
    """
    for registry in KINDS.values():
        if name.lower().replace("_", "-") in registry.names():
            return describe(registry.get(name))
    raise unknown("name", name, [n for registry in KINDS.values() for n in registry.names()])


def describe(entry: Declared) -> str:
    """Documentation, what it needs, parameters and defaults of an entry."""
    parts = [entry.name, "", entry.documentation, ""]
    if entry.needs:
        parts.append(f"needs: {', '.join(entry.needs)}")
    for parameter in entry.parameters.values():
        parts.append(f"-p {parameter.name}={parameter.default}: {parameter.help}")
    if isinstance(entry, Method):
        d = entry.defaults
        parts.append(
            f"defaults: retain term {d.retain_term}, weights {d.forget_weight:g} and {d.retain_weight:g}, "
            f"{d.epochs} epochs of {d.batch_size} forget rows, {d.retain_ratio} retain rows for each, "
            f"learning rate {d.learning_rate_multiplier:g} x the scaling rule"
        )
    if isinstance(entry, Metric):
        parts.append(f"range: {entry.range[0]:g} to {entry.range[1]:g}")
        parts += [f"{split}: {target} is better" for split, target in entry.targets.items()]
    if entry.paper:
        parts.append(f"paper: arXiv {entry.paper}")
    return "\n".join(parts)
