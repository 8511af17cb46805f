"""The settings of runs, and those that differ between runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from unlearn_cli.config import ForgetConfig, MeasuringOptions, runtime_fields
from unlearn_cli.recipes.comparison.runs import Entry

# Settings that do not distinguish methods: paths, settings of measuring, and the rows that judge (compared by hash).
IGNORED = runtime_fields(ForgetConfig) | (set(MeasuringOptions.model_fields) - {"max_new_tokens"}) | {
    "device", "eval_every", "deterministic", "retain_held_out",
}  # fmt: skip


def differing_settings(entries: Sequence[Entry]) -> list[str]:
    """Names of the settings that differ between runs; each parameter counts as a setting.

    Two paths to the same content are equal. A setting is compared only among runs of commands that have it: a setting of
    `unlearn forget` is no difference between a run and an evaluation.
    """
    by_path, by_content = [settings(entry) for entry in entries], [settings_by_content(entry) for entry in entries]
    commands: dict[str, set[str]] = {}
    for entry, flat in zip(entries, by_path, strict=True):
        for name in flat:
            commands.setdefault(name, set()).add(entry.report.command)

    def differs(name: str, values: Sequence[Mapping[str, Any]]) -> bool:
        comparable = [v for entry, v in zip(entries, values, strict=True) if entry.report.command in commands[name]]
        return len({_as_json(each.get(name)) for each in comparable}) > 1

    return [name for name in commands if differs(name, by_path) and differs(name, by_content)]


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def settings_by_content(entry: Entry) -> dict[str, Any]:
    """The settings, with the hash of a model's weights or a split's rows instead of its path."""
    flat, model = settings(entry), entry.report.model
    if model is not None and "model" in flat:
        flat["model"] = [model.weights_sha256 or model.model, model.adapter]
    return flat | {split: data.sha256 for split, data in entry.report.data.items() if split in flat}


def settings(entry: Entry) -> dict[str, Any]:
    """The settings of a run, by name. A parameter with the name of a setting is called `parameters.NAME`."""
    flat: dict[str, Any] = {}
    for name, value in entry.report.config.items():
        if name in IGNORED:
            continue
        if not isinstance(value, Mapping):
            flat[name] = None if value == [] else value  # a list without entries is a setting that is not given
            continue
        for key, parameter in value.items():
            short = f"{name.removesuffix('parameters')}{key}"
            flat[f"{name}.{key}" if short in ForgetConfig.model_fields else short] = parameter
    return flat
