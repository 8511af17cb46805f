"""The source of a model: a folder, a Hub repository at a resolved commit, or an adapter and its base."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache

from unlearn_cli.data.hub_errors import answered
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import cached_sha256, fingerprint
from unlearn_cli.jsonfile import kind_of, read_object
from unlearn_cli.models.run_files import ABOUT, ADAPTER_CONFIG, ASSISTANT, check_files
from unlearn_cli.registry import closest
from unlearn_cli.report import FILE, ModelReport, read_report

BROKEN = "the folder is damaged or was copied in part: copy or download it again"
# Kinds of PEFT that learn a prompt.
PROMPT_KINDS = {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT"}
PLACEHOLDERS = ("MODEL", "FOLDER_OR_HUB_ID")  # as they stand in help and in hints
_WEIGHTS = ("*.safetensors", "*.bin")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class ModelSource:
    """An existing model. `location` and `revision` are arguments of `from_pretrained`."""

    location: str  # absolute path of a folder, or a Hub id
    revision: str | None  # resolved commit of a Hub repository; None for a folder
    adapter: ModelSource | None = None  # an adapter to load on top
    composition: Mapping[str, Any] | None = None  # how base and adapter become one model; None: by adding

    @property
    def local(self) -> bool:
        """The model is a folder on this machine."""
        return self.revision is None and Path(self.location).is_dir()


def resolve_source(spec: str, revision: str | None = None, base: str | None = None) -> ModelSource:
    """Find a model, and for an adapter its base.

    Args:
        spec: a folder or a Hub id.
        revision: branch, tag or commit of a Hub id.
        base: of an adapter, instead of the one that it names.

    Raises:
        UnlearnError: neither a folder nor a Hub id, the Hub refuses it, an adapter that cannot be used, or a run whose
            files or base are not those that its report describes.
    """
    _check_name(spec)
    folder = Path(spec).expanduser()
    source = _local_source(folder.resolve(), base) if folder.is_dir() else _hub_source(spec, revision, base)
    if base and source.adapter is None:
        raise UnlearnError(f"{spec} is a model, not an adapter or the run of one", "leave --base out")
    if folder.is_dir():
        _check_run(folder, source, base)
    return source


def weights_sha256(source: ModelSource) -> str | None:
    """sha256 over the weight files of a local folder; None for a Hub model, which its commit identifies."""
    if not source.local:
        return None
    folder = Path(source.location)
    files = sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern))
    return fingerprint([(path.name, cached_sha256(path)) for path in files])


def check_spec(spec: str, revision: str | None = None, base: str | None = None) -> None:
    """Refuse a model that cannot exist, as far as this machine can tell without the network.

    Raises:
        UnlearnError: it is no folder with a model, and cannot be a Hub id.
    """
    _check_name(spec)
    if constants.HF_HUB_OFFLINE or Path(spec).expanduser().is_dir():
        resolve_source(spec, revision, base)


def _check_name(spec: str) -> None:
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return
    if spec in PLACEHOLDERS:
        raise UnlearnError(f"{spec} stands for a model", "write the path of a model's folder or a Hub id in its place")
    if folder.exists():
        in_model = any((folder.parent / name).is_file() for name in ("config.json", ADAPTER_CONFIG))
        if folder.suffix.lower() == ".gguf" and not in_model:
            raise UnlearnError(f"{spec} is a GGUF file, made for inference", "give the model that it was converted from")
        hint = f"--model {folder.parent}" if in_model else "give the folder that `save_pretrained` wrote"
        raise UnlearnError(f"{spec} is a file; a model is a folder or a Hub id", hint)
    if (similar := _similar_folder(folder)) is not None:
        raise UnlearnError(f"{spec} is not a folder", f"did you mean {similar}?")
    if spec.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(spec):
        raise UnlearnError(f"{spec} is not a folder and not a Hub id", "check the path; a Hub id looks like org/name")


def _similar_folder(folder: Path) -> Path | None:
    """The folder with the nearest name next to a missing folder; None if the parent folder is missing, too."""
    if folder.parent == Path() or not folder.parent.is_dir():
        return None
    nearest = closest(folder.name, [entry.name for entry in folder.parent.iterdir() if entry.is_dir()])
    return folder.parent / nearest if nearest else None


def _local_source(folder: Path, base: str | None = None) -> ModelSource:
    itself = ModelSource(str(folder), None)
    if (folder / ADAPTER_CONFIG).is_file():
        return _on_its_base(itself, read_object(folder / ADAPTER_CONFIG, BROKEN), base)
    if (folder / ASSISTANT / ADAPTER_CONFIG).is_file() and (folder / ABOUT).is_file():
        assistant = _local_source(folder / ASSISTANT, base)
        return replace(assistant, composition=read_object(folder / ABOUT, BROKEN).get("composition"))
    if not (folder / "config.json").is_file():
        raise UnlearnError(
            f"{folder} holds no model: neither config.json nor {ADAPTER_CONFIG}",
            "a folder saved by `save_pretrained`, or a run folder of `unlearn forget`, is expected",
        )
    return itself


def _on_its_base(adapter: ModelSource, config: dict[str, Any], moved: str | None) -> ModelSource:
    """An adapter and its base; `moved` is the base's new place, if given."""
    _check_adapter(adapter, config)
    name = moved or config.get("base_model_name_or_path")
    if not name:
        raise UnlearnError(f"the adapter {adapter.location} names no base model", "--base FOLDER_OR_HUB_ID names it")
    try:
        base = resolve_source(name, None if moved else config.get("revision"))
    except UnlearnError as error:
        raise UnlearnError(
            f"the base of adapter {adapter.location} cannot be loaded: {error.message}",
            f"--base FOLDER_OR_HUB_ID, if it is elsewhere now; {error.hint}" if error.hint else "--base FOLDER_OR_HUB_ID",
        ) from None
    if base.adapter is not None:
        raise UnlearnError(f"the base of adapter {adapter.location} is itself an adapter", "merge that one first")
    return ModelSource(base.location, base.revision, adapter)


def _check_run(run: Path, source: ModelSource, base: str | None) -> None:
    """Refuse a run whose files or base are others than its report says; an adapter of unknown origin is taken as it is."""
    if not ((run / ABOUT).is_file() and (run / FILE).is_file()):
        return
    report = read_report(run)
    check_files(run, report)
    if source.adapter is not None and report.model is not None:
        subject = f"--base {base}" if base else source.location
        check_weights(subject, source, report.model, f"the base of {run}", "the run was made from", moved=base is not None)


def check_weights(
    subject: str, source: ModelSource, known: ModelReport, role: str, origin: str, *, moved: bool = False
) -> None:
    """Refuse weights that are not those which a report describes.

    Args:
        subject: the model as the user knows it.
        source: where it is; an adapter on it does not count.
        known: what the report says about it.
        role: what it is taken for, in words.
        origin: how the hint begins, before the name of the right model.
        moved: it is a copy in another place, where a commit has another name.

    Raises:
        UnlearnError: the weights differ, or the commit of a Hub model.
    """
    actual = weights_sha256(ModelSource(source.location, source.revision))
    if known.weights_sha256 and actual and known.weights_sha256 != actual:
        raise UnlearnError(
            f"{subject} is not {role}: its weights differ",
            f"{origin} {known.model}, sha256 {known.weights_sha256[:12]} over its weight files; name a copy of that folder",
        )
    if known.revision and source.revision and known.revision != source.revision and not moved:
        raise UnlearnError(
            f"{subject} at {source.revision[:12]} is not {role}: the revision differs",
            f"{origin} {known.model} at {known.revision}",
        )


def same_model(one: ModelReport, other: ModelReport) -> bool:
    """Whether two reports can be of runs that began with the same model. An unknown hash or commit is no difference."""
    known = ((one.weights_sha256, other.weights_sha256), (one.revision, other.revision))
    differ = any(first and second and first != second for first, second in known)
    return not differ and (one.adapter is None) == (other.adapter is None)


def _check_adapter(adapter: ModelSource, config: dict[str, Any]) -> None:
    for key in ("base_model_name_or_path", "revision", "peft_type"):
        if not isinstance(value := config.get(key), (str, type(None))):
            where = f"{adapter.location}/{ADAPTER_CONFIG}"
            raise UnlearnError(f"{where}: {key} is {kind_of(value)}, where a text is expected", BROKEN)
    kind = str(config.get("peft_type", "")).upper()
    if kind in PROMPT_KINDS:
        raise UnlearnError(
            f"the adapter {adapter.location} is {kind.lower().replace('_', ' ')}: it puts vectors before the "
            "prompt and changes no weights",
            "an adapter on the weights, such as LoRA, or a whole model is expected",
        )
    if adapter.local and not any(Path(adapter.location).glob("adapter_model.*")):
        raise UnlearnError(
            f"{adapter.location} holds no adapter weights: adapter_model.safetensors is missing",
            "copy or download the adapter again",
        )


def _hub_source(spec: str, revision: str | None, base: str | None) -> ModelSource:
    commit = _resolve_commit(spec, revision)
    itself = ModelSource(spec, commit)
    if not _has_file(spec, commit, ADAPTER_CONFIG) or _has_file(spec, commit, "config.json"):
        return itself
    with answered(spec, "model"):
        path = hf_hub_download(spec, ADAPTER_CONFIG, revision=commit)
    return _on_its_base(itself, read_object(Path(path), BROKEN), base)


def _resolve_commit(spec: str, revision: str | None) -> str:
    if not constants.HF_HUB_OFFLINE:
        with answered(spec, "model"):
            commit = HfApi().model_info(spec, revision=revision).sha
            assert commit is not None  # the Hub gives it for a whole repository
            return commit
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
    with answered(spec, "model"):
        return HfApi().file_exists(spec, name, revision=commit)
