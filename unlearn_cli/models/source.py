"""Where a model comes from: a folder, a Hub repository at a resolved commit, or an adapter on its base."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache

from unlearn_cli.data.hub_errors import hub_error
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import read_object

ADAPTER_CONFIG = "adapter_config.json"
ABOUT = "unlearn.json"  # how the artefact of a run is applied
ASSISTANT = "assistant"  # folder of an adapter that is no model by itself
BROKEN = "the folder is damaged or was copied in part: copy or download it again"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class ModelSource:
    """A model that exists. `location` and `revision` go to `from_pretrained` as they stand."""

    location: str  # absolute path of a folder, or a Hub id
    revision: str | None  # resolved commit of a Hub repository; None for a folder
    adapter: ModelSource | None = None  # an adapter to load on top
    composition: Mapping[str, Any] | None = None  # how base and adapter become one model; None: by adding

    @property
    def local(self) -> bool:
        """The model is a folder on this machine."""
        return self.revision is None and Path(self.location).is_dir()


def resolve_source(spec: str, revision: str | None = None) -> ModelSource:
    """Find a model; an adapter folder brings its base with it.

    Args:
        spec: a folder or a Hub id.
        revision: branch, tag or commit of a Hub id.

    Raises:
        UnlearnError: neither a folder nor a Hub id, or the Hub refuses it.
    """
    _check_name(spec)
    folder = Path(spec).expanduser()
    return _local_source(folder.resolve()) if folder.is_dir() else _hub_source(spec, revision)


def check_spec(spec: str, revision: str | None = None) -> None:
    """Look whether a model may be there, as far as this machine knows: folders and, offline, the cache.

    Raises:
        UnlearnError: it is no folder with a model, and cannot be a Hub id.
    """
    _check_name(spec)
    if constants.HF_HUB_OFFLINE or Path(spec).expanduser().is_dir():
        resolve_source(spec, revision)


def _check_name(spec: str) -> None:
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return
    if folder.exists():
        raise UnlearnError(f"{spec} is a file; a model is a folder or a Hub id", f"try --model {folder.parent}")
    if spec.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(spec):
        raise UnlearnError(f"{spec} is not a folder and not a Hub id", "check the path; a Hub id looks like org/name")


def _local_source(folder: Path) -> ModelSource:
    itself = ModelSource(str(folder), None)
    if (folder / ADAPTER_CONFIG).is_file():
        base = read_object(folder / ADAPTER_CONFIG, BROKEN)
        return _on_its_base(itself, base)
    if (folder / ASSISTANT / ADAPTER_CONFIG).is_file() and (folder / ABOUT).is_file():
        made = _local_source(folder / ASSISTANT)
        return replace(made, composition=read_object(folder / ABOUT, BROKEN).get("composition"))
    if not (folder / "config.json").is_file():
        raise UnlearnError(
            f"{folder} holds no model: neither config.json nor {ADAPTER_CONFIG}",
            "a folder saved by `save_pretrained`, or a run folder of `unlearn forget`, is expected",
        )
    return itself


def _on_its_base(adapter: ModelSource, config: dict) -> ModelSource:
    name = config.get("base_model_name_or_path") or ""
    try:
        base = resolve_source(name, config.get("revision"))
    except UnlearnError as error:
        raise UnlearnError(f"the base of adapter {adapter.location} cannot be loaded: {error.message}", error.hint) from None
    if base.adapter is not None:
        raise UnlearnError(f"the base of adapter {adapter.location} is itself an adapter", "merge that one first")
    return ModelSource(base.location, base.revision, adapter)


def _hub_source(spec: str, revision: str | None) -> ModelSource:
    commit = _resolve_commit(spec, revision)
    itself = ModelSource(spec, commit)
    if not _has_file(spec, commit, ADAPTER_CONFIG) or _has_file(spec, commit, "config.json"):
        return itself
    with hub_error(spec, "model"):
        path = hf_hub_download(spec, ADAPTER_CONFIG, revision=commit)
    return _on_its_base(itself, read_object(Path(path), BROKEN))


def _resolve_commit(spec: str, revision: str | None) -> str:
    if not constants.HF_HUB_OFFLINE:
        with hub_error(spec, "model"):
            return HfApi().model_info(spec, revision=revision).sha
    for name in ("config.json", ADAPTER_CONFIG):
        cached = try_to_load_from_cache(spec, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name  # .../snapshots/COMMIT/config.json
    raise UnlearnError(
        f"offline, and {spec} is neither a folder here nor in the cache",
        f"check the path, or while online, run: hf download {spec}",
    )


def _has_file(spec: str, commit: str, name: str) -> bool:
    if constants.HF_HUB_OFFLINE:
        return isinstance(try_to_load_from_cache(spec, name, revision=commit), str)
    with hub_error(spec, "model"):
        return HfApi().file_exists(spec, name, revision=commit)
