"""The run spec, which is everything that decides a run's result: settings, weights, rows, and files named in settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from unlearn_cli.config import ForgetConfig, runtime_fields
from unlearn_cli.hashing import file_sha256, fingerprint
from unlearn_cli.models.identity import tokenizer_sha256
from unlearn_cli.models.source import resolve_source, weights_sha256
from unlearn_cli.registry import is_file


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides the result of a run, stored in the run folder as `plan.json`. Equal specs give equal runs."""

    settings: dict[str, Any]  # without those that change no result
    model: str  # fingerprint of the weights and of the way they are loaded
    data: dict[str, str]  # split -> sha256
    files: dict[str, str]  # setting -> sha256 of the file that it names; "tokenizer" -> sha256 of the tokenizer

    @classmethod
    def of(cls, config: ForgetConfig, model: str, data: Mapping[str, str]) -> RunSpec:
        """The spec of a run, from its resolved settings, the fingerprint of its model and the hashes of its splits."""
        settings = config.model_dump(mode="json", exclude=runtime_fields(ForgetConfig))
        spec = {"settings": settings, "model": model, "data": dict(data), "files": _own_files(settings)}
        return cls(**json.loads(json.dumps(spec, ensure_ascii=False, default=str)))  # as JSON gives it back

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RunSpec:
        """The spec from the content of `plan.json`.

        Raises:
            ValidationError: a value has another kind than a run writes.
        """
        spec = TypeAdapter(cls).validate_python({"files": {}} | dict(content))
        TypeAdapter(dict[str, Any]).validate_python(spec.settings.get("parameters", {}))
        return spec

    def to_json(self, *, steps: int | None = None) -> dict[str, Any]:
        """The content of `plan.json`. `steps` is the number of training steps, once it is known."""
        return asdict(self) | ({} if steps is None else {"steps": steps})

    def flat(self) -> dict[str, Any]:
        """All values by name. A path is left out if there is a hash of its content."""
        hashes = {f"{name} data": sha for name, sha in self.data.items()}
        hashes |= {f"{name} file": sha for name, sha in self.files.items()}
        hashed = {"model", "revision", "run", *self.data, *self.files}
        settings = {name: value for name, value in self.settings.items() if name not in hashed}
        if "base" in self.files:
            settings["parameters"] = {
                name: value for name, value in settings.get("parameters", {}).items() if name != "base"
            }
        return {**settings, "model weights": self.model, **hashes}

    @property
    def sha256(self) -> str:
        """A hash of the values that `differences` compares."""
        return fingerprint({key: value for key, value in self.flat().items() if value is not None})


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The differences of two flat specs, in words. A value of None counts as absent."""
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in {**old, **new} if old.get(key) != new.get(key)]


def _own_files(settings: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of the user's files that the settings name, and of the model's tokenizer.

    Hashes are needed because content can change under the same path, and the same file can have another path.
    """
    named = {name: settings.get(name) for name in ("method", "retain_term", "robust")}
    named["base"] = settings.get("parameters", {}).get("base")
    files = {name: Path(value.strip()).expanduser() for name, value in named.items() if value and is_file(value)}
    if settings["chat_template"] not in ("auto", "none"):
        files["chat_template"] = Path(settings["chat_template"])
    hashes = {name: file_sha256(path) for name, path in files.items() if path.is_file()}
    tokenizer = tokenizer_sha256(resolve_source(settings["model"], settings["revision"], settings.get("base")))
    baseline = settings.get("baseline")
    weights = weights_sha256(resolve_source(baseline)) if baseline else None
    return hashes | ({"tokenizer": tokenizer} if tokenizer else {}) | ({"baseline": weights} if weights else {})
