"""Everything that decides what a run comes to, and in words how it differs from what was asked before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlearn_cli.config import ForgetConfig, runtime_fields
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
    """All of it by name."""
    named = {f"{name} {kind}": sha for kind in ("data", "file") for name, sha in plan.get(_KEYS[kind], {}).items()}
    return {**plan["settings"], "model weights": plan["model"], **named}


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two plans by name, in words. A setting that is None is as good as absent."""
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in {**old, **new} if old.get(key) != new.get(key)]


def plan_sha256(plan: Plan) -> str:
    """One hash of what `changed` looks at."""
    return fingerprint({key: value for key, value in flat(plan).items() if value is not None})


_KEYS = {"data": "data", "file": "files"}


def _own_files(settings: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of the files of the user's own that the settings name: the path stays when the content changes."""
    named = {name: settings.get(name) for name in ("method", "retain_term", "robust")}
    named["base"] = settings.get("parameters", {}).get("base")
    files = {name: Path(value.strip()).expanduser() for name, value in named.items() if value and is_file(value)}
    if settings["chat_template"] not in ("auto", "none"):
        files["chat_template"] = Path(settings["chat_template"])
    return {name: file_sha256(path) for name, path in files.items() if path.is_file()}
