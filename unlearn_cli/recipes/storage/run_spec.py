"""Everything that decides what a run comes to, and in words how it differs from what was asked before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlearn_cli.config import ForgetConfig, runtime_fields
from unlearn_cli.models.identity import tokenizer_sha256
from unlearn_cli.models.source import resolve_source
from unlearn_cli.registry import is_file
from unlearn_cli.report import file_sha256, fingerprint

Plan = dict[str, Any]  # as it lies in plan.json


def plan_of(config: ForgetConfig, model: str, data: Mapping[str, str]) -> Plan:
    """What is asked of a run.

    Args:
        config: settled settings; those that change no result are left out.
        model: fingerprint of the weights and of how they are loaded.
        data: split -> sha256.
    """
    settings = config.model_dump(mode="json", exclude=runtime_fields(ForgetConfig))
    plan = {"settings": settings, "model": model, "data": dict(data), "files": _own_files(settings)}
    return json.loads(json.dumps(plan, ensure_ascii=False, default=str))  # as it will be read back


def flat(plan: Plan) -> dict[str, Any]:
    """All of it by name; where there is a hash of what a path leads to, it stands for the path."""
    data, files = plan["data"], plan.get("files", {})
    named = {f"{name} data": sha for name, sha in data.items()} | {f"{name} file": sha for name, sha in files.items()}
    hashed = {"model", "revision", *data, *files}
    settings = {name: value for name, value in plan["settings"].items() if name not in hashed}
    if "base" in files:
        settings["parameters"] = {name: value for name, value in settings["parameters"].items() if name != "base"}
    return {**settings, "model weights": plan["model"], **named}


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two plans by name, in words. A setting that is None is as good as absent."""
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in {**old, **new} if old.get(key) != new.get(key)]


def plan_sha256(plan: Plan) -> str:
    """One hash of what `changed` looks at."""
    return fingerprint({key: value for key, value in flat(plan).items() if value is not None})


def _own_files(settings: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of the files of the user's own that the settings name, and of the model's tokenizer.

    The path stays when the content changes, and changes when the same files are named from elsewhere.
    """
    named = {name: settings.get(name) for name in ("method", "retain_term", "robust")}
    named["base"] = settings.get("parameters", {}).get("base")
    files = {name: Path(value.strip()).expanduser() for name, value in named.items() if value and is_file(value)}
    if settings["chat_template"] not in ("auto", "none"):
        files["chat_template"] = Path(settings["chat_template"])
    hashes = {name: file_sha256(path) for name, path in files.items() if path.is_file()}
    tokenizer = tokenizer_sha256(resolve_source(settings["model"], settings["revision"], settings.get("base")))
    return hashes | ({"tokenizer": tokenizer} if tokenizer else {})
