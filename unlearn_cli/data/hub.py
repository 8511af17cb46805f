"""Rows of a data set on the Hugging Face Hub. The only importer of `datasets`, which takes most of a second."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub import HfApi, constants, get_cached_repo_tree, hf_hub_download, snapshot_download
from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError, RemoteEntryNotFoundError

from unlearn_cli.data.hub_errors import answered, explain, offline, page
from unlearn_cli.data.hub_spec import PREFIX, HubSpec
from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import closest


@dataclass(frozen=True)
class HubRows:
    """The first rows of one split."""

    rows: list[dict[str, Any]]
    total: int  # rows of the split
    files: tuple[str, ...]  # names inside the repository, where known
    revision: str  # commit


def read_hub(spec: HubSpec, limit: int | None = None) -> HubRows:
    """Download one split, or take it from the cache if HF_HUB_OFFLINE is set.

    Args:
        spec: which data set, configuration, revision and split.
        limit: rows to keep.

    Raises:
        UnlearnError: there is no such data set, revision, configuration or split, no permission, or no connection.
    """
    with _bars_on_terminals(), answered(spec.repo, "dataset"):
        spec = replace(spec, repo=_full_name(spec.repo))
        commit = HfApi().resolve_revision(
            spec.repo, repo_type="dataset", revision=spec.revision, local_files_only=constants.HF_HUB_OFFLINE
        )
        if not constants.HF_HUB_OFFLINE:
            _check_access(spec, commit.resolved)
        try:
            builder = (_cached if constants.HF_HUB_OFFLINE else _online)(spec, commit.resolved)
            _check_split(spec, builder)
            builder.download_and_prepare()
            split = builder.as_dataset(split=spec.split)
        except (DatasetsError, OSError, ValueError, RuntimeError) as error:
            if explain(error, spec.repo, "dataset") is not None:
                raise
            raise _unreadable(spec, error) from error
    rows = split if limit is None else split.select(range(min(limit, len(split))))
    return HubRows(rows.to_list(), len(split), _files(spec, builder, commit.resolved), commit.resolved)


@contextmanager
def _bars_on_terminals() -> Iterator[None]:
    """A context in which `datasets` draws no progress bar into a file or a pipe; huggingface_hub draws none there."""
    shown = not datasets.are_progress_bars_disabled()
    if shown and not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _full_name(repo: str) -> str:
    """org/name. Old data sets have a bare name, which the Hub redirects and its libraries refuse."""
    if "/" in repo:
        return repo
    if constants.HF_HUB_OFFLINE:
        raise UnlearnError(f"offline, data set {repo} needs its full name", f"write {PREFIX}org/{repo}")
    return HfApi().dataset_info(repo).id


def _check_access(spec: HubSpec, commit: str) -> None:
    """Request the file that `datasets` requests first: when the Hub refuses it, `datasets` drops the reason."""
    with suppress(RemoteEntryNotFoundError):
        hf_hub_download(spec.repo, constants.REPOCARD_NAME, repo_type="dataset", revision=commit)


def _online(spec: HubSpec, commit: str) -> datasets.DatasetBuilder:
    builder = _builder(spec, _remote(spec), commit)
    if builder.name == "cache" and builder.hash != commit:
        # Without a connection `datasets` would silently use the revision that it prepared last.
        raise ConnectionError(f"{spec.repo} at {commit}")
    return builder


def _remote(spec: HubSpec) -> str:
    # Without hf:// a folder of the same name in the working directory would be read.
    return f"hf://datasets/{spec.repo}"


def _cached(spec: HubSpec, commit: str) -> datasets.DatasetBuilder:
    """The files of an earlier `hf download`, if they are complete, else the data that `datasets` prepared while online."""
    try:
        # Without a listing of the repository, missing files could not be noticed.
        get_cached_repo_tree(spec.repo, repo_type="dataset", revision=commit)
        folder = snapshot_download(spec.repo, repo_type="dataset", revision=commit, local_files_only=True)
        return _builder(spec, folder)
    except (LocalEntryNotFoundError, CachedRepoTreeNotFoundError):
        pass
    try:
        builder = datasets.load_dataset_builder(_remote(spec), name=spec.config)
    except (OSError, ValueError):
        raise offline(spec.repo, "dataset") from None
    if builder.hash != commit:
        raise offline(f"{spec.repo} at commit {commit[:12]}", "dataset")
    if spec.config is None and builder.config.name != "default":
        # `datasets` would take the one loaded last. Online, several configurations are an error.
        named = spec.written(config=builder.config.name)
        raise UnlearnError(f"offline, the configuration of data set {spec.repo} has to be named", f"try {named}")
    return builder


def _builder(spec: HubSpec, path: str, revision: str | None = None) -> datasets.DatasetBuilder:
    try:
        return datasets.load_dataset_builder(path, name=spec.config, revision=revision)
    except ValueError:
        names = datasets.get_dataset_config_names(path, revision=revision)
        if spec.config in names or (spec.config is None and len(names) == 1):
            raise
        guess = closest(spec.config, names) if spec.config else None
        hint = f"did you mean {spec.written(config=guess)}? " if guess else f"try {spec.written(config=names[0])}; "
        lacks = f"has no configuration '{spec.config}'" if spec.config else "has several configurations; name one"
        raise UnlearnError(f"data set {spec.repo} {lacks}", f"{hint}known: {', '.join(names)}") from None


def _check_split(spec: HubSpec, builder: datasets.DatasetBuilder) -> None:
    known = [str(name) for name in (builder.config.data_files or builder.info.splits or ())]
    for name in spec.split_names:
        if known and name not in known and name != "all":
            guess = closest(name, known) or known[0]
            raise UnlearnError(
                f"data set {spec.repo} has no split '{name}'",
                f"try {spec.written(split=guess)}; its splits are {', '.join(known)}",
            )


def _files(spec: HubSpec, builder: datasets.DatasetBuilder, commit: str) -> tuple[str, ...]:
    """Names of the split's files inside the repository; empty if `datasets` has kept only the rows."""
    listed = builder.config.data_files or {}
    # hf://datasets/org/name@COMMIT/FILE online, .../snapshots/COMMIT/FILE in the cache.
    return tuple(path.rpartition(f"{commit}/")[2] for name in spec.split_names for path in listed.get(name, ()))


def _unreadable(spec: HubSpec, error: Exception) -> UnlearnError:
    """The error for a data set that exists but cannot be read."""
    if "scripts are no longer supported" in str(error):
        return UnlearnError(
            f"data set {spec.repo} is a loading script, which `datasets` no longer runs",
            f"download its data files from {page(spec.repo, 'dataset')} and name them instead",
        )
    if isinstance(error, FileNotFoundError):
        return UnlearnError(f"data set {spec.repo} has no data files that can be read", f"see {page(spec.repo, 'dataset')}")
    # The message of DatasetGenerationError gives no reason; its cause does.
    cause = error.__cause__ or error
    reason = next(iter(str(cause).splitlines()), "") or type(cause).__name__
    return UnlearnError(f"data set {spec.repo} cannot be read: {reason}", f"see {page(spec.repo, 'dataset')}")
