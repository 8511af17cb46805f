"""The authors' settings of an entry, and how far our defaults are from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearn_cli.config import ForgetConfig
from unlearn_cli.contract import Declared, Defaults, Method, Procedure

# Settings in which this project differs from the papers for every method, and why.
TRAINING = (
    "learning_rate", "epochs", "max_steps", "batch_size", "retain_ratio", "full", "lora_r", "lora_alpha",
    "lora_target_modules",
)  # fmt: skip
PROJECT_WIDE = {
    "average": "every answer has the same weight, so that micro-batches change nothing",
    **dict.fromkeys(TRAINING, "training is that of an adapter, found by trial (docs/guides/tuning.md)"),
}


def defaults_of(entry: Declared) -> Defaults | None:
    """The settings that depend on a method; None for other kinds of entry."""
    return entry.defaults if isinstance(entry, (Method, Procedure)) else None


def our_default(entry: Declared, name: str) -> Any:
    """Our default of a parameter or setting that an entry's published setting names. A parameter comes before a setting."""
    if name in entry.parameters:
        return entry.parameters[name].default
    defaults = defaults_of(entry)
    return getattr(defaults, name) if hasattr(defaults, name) else ForgetConfig.model_fields[name].default


def differing(entry: Declared) -> dict[str, Any]:
    """Our defaults that differ from the published setting, by name."""
    ours = {name: our_default(entry, name) for name in entry.published or {}}
    return {name: value for name, value in ours.items() if value != (entry.published or {})[name]}


def flags(entry: Declared) -> list[str]:
    """The flags that give `unlearn forget --method NAME` the published setting."""
    words: list[str] = []
    for name, value in (entry.published or {}).items():
        if name in entry.parameters:
            words += ["-p", f"{name}={_written(value)}"]
        elif name == "retain_parameters":
            words += [part for key, one in value.items() for part in ("--retain-parameter", f"{key}={_written(one)}")]
        else:
            listed = ",".join(value) if isinstance(value, tuple) else _written(value)
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [listed])]
    return words


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_written(one)}" for key, one in value.items()) or "none"
    if isinstance(value, tuple):
        return "+".join(map(_written, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if value in (None, True, False) else str(value)


def published_lines(entry: Declared) -> list[str]:
    """The authors' setting in words and as flags, and how ours differs from it and why."""
    if entry.published is None:
        return []
    if not entry.published:
        return [f"published: no setting, because {entry.because}"]
    ours = differing(entry)
    reasons = [] if ours.keys() <= PROJECT_WIDE.keys() else [entry.because]
    reasons += [PROJECT_WIDE[name] for name in ours if name in PROJECT_WIDE]
    here = f"{_listed(ours)}, because {'; '.join(dict.fromkeys(reasons))}" if ours else "the same"
    return [f"published: {_listed(entry.published)} ({' '.join(flags(entry))})", f"here: {here}"]


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_written(value)}" for name, value in values.items())
