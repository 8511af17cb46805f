"""What each command adds to the lineage of a run. No torch."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from unlearn_cli.hashing import file_sha256, text_sha256
from unlearn_cli.lineage import ADAPTER, BASE, DATA, FOLDER, RUN, SETTING, Step, add_link, read_chain, statements
from unlearn_cli.models.files import folder_of, hashes_in
from unlearn_cli.models.source import ABOUT, ASSISTANT, ModelSource
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.report import FILE, RunReport, report_text

RESERVED = {RUN, BASE, ADAPTER, DATA, SETTING, FOLDER}


def begin(folder: RunFolder, report: RunReport, source: ModelSource, files: Mapping[str, str]) -> None:
    """Begin the chain of a run with what `unlearn forget` read and wrote; its report is about to be written.

    Args:
        folder: the run folder, with everything in it but the report.
        report: the report.
        source: the model before.
        files: setting -> sha256 of the user's own file that it names.
    """
    shutil.rmtree(folder.path / FOLDER, ignore_errors=True)  # of a start that was interrupted before its report
    read, places = model_hashes(source)
    read |= {f"{DATA}/{name}": split.sha256 for name, split in report.data.items()}
    read |= {f"{SETTING}/{name}": sha for name, sha in files.items()}
    written = {f"{RUN}/{name}": sha for name, sha in artifact_hashes(report).items()}
    beside = [folder.path / ABOUT, folder.run_spec, folder.metrics, folder.rows, *measurements(folder.path)]
    written |= _hashes(folder.path, beside)
    written[f"{RUN}/{FILE}"] = text_sha256(report_text(report))
    step = Step(report.command, report.command_line, report.started, written, read, {RUN: ".", **places})
    add_link(folder.path, step)


def model_hashes(source: ModelSource) -> tuple[dict[str, str], dict[str, str]]:
    """PLACE/FILE -> sha256 of every file of a model and of the adapter on it, and where the two places are."""
    read: dict[str, str] = {}
    places: dict[str, str] = {}
    for place, part in ((BASE, ModelSource(source.location, source.revision)), (ADAPTER, source.adapter)):
        if part is not None and (folder := folder_of(part)) is not None:
            read |= {f"{place}/{name}": sha for name, sha in hashes_in(folder).items()}
            places[place] = str(folder) if part.revision is None else f"hf:{part.location}@{part.revision}"
    return read, places


def artifact_hashes(report: RunReport) -> dict[str, str]:
    """File inside the run folder -> sha256, of what the run has made."""
    if report.artifact is None:
        return {}
    inside = "" if report.artifact.kind in ("adapter", "model") else f"{ASSISTANT}/"
    return {inside + name: sha for name, sha in report.artifact.files.items()}


def extend(run: Path, command: str, arguments: Sequence[str], files: Iterable[Path]) -> None:
    """Add what a later command wrote into the run folder; nothing where the run has no chain."""
    if statements(run):
        add_link(run, Step(command, arguments, now(), _hashes(run, files), {}, {RUN: "."}))


def derive(
    run: Path, model: Path, command: str, arguments: Sequence[str], also: Iterable[Path] = (), **about: object
) -> str | None:
    """Add a model that was made from a run, wherever it lies, and files of the run that are about it.

    Returns:
        the name of its place in the chain; None where the run has no chain.
    """
    if not statements(run):
        return None
    place = place_of(run, model)
    written = {f"{place}/{path}": sha for path, sha in hashes_in(model).items()}
    written |= _hashes(run, also)
    newest = newest_hashes(run)
    of_model = {name for name in newest if name.split("/")[0] in (BASE, ADAPTER)}
    of_model |= {name for name in newest if name.startswith(f"{RUN}/") and is_weights(name)}
    read = {name: sha for name, sha in newest.items() if name in of_model}
    add_link(run, Step(command, arguments, now(), written, read, {RUN: ".", place: str(model.resolve())}, about))
    return place


def measurements(run: Path) -> list[Path]:
    """Files with the numbers behind scores and records."""
    return sorted((run / "measured").glob("*.safetensors"))


def _hashes(run: Path, files: Iterable[Path]) -> dict[str, str]:
    """run/FILE -> sha256, of the files that are there."""
    inside = ((path.resolve().relative_to(run.resolve()).as_posix(), path) for path in files if path.is_file())
    return {f"{RUN}/{name}": file_sha256(path) for name, path in inside}


def add_records(run: Path, files: Sequence[Path], arguments: Sequence[str]) -> None:
    """Add documents about a run, wherever they lie; nothing where the run has no chain."""
    if not statements(run):
        return
    written, places = {}, {RUN: "."}
    for path in files:
        place = place_of(run, path.parent, name="record")
        while place in places and places[place] != str(path.parent.resolve()):
            place += "-2"
        written[f"{place}/{path.name}"] = file_sha256(path)
        places[place] = str(path.parent.resolve())
    add_link(run, Step("report", arguments, now(), written, newest_hashes(run), places))


def known_place(run: Path, model: Path) -> str | None:
    """The name of a model's folder in the chain; None if the chain does not name it."""
    return _name_in(_places(run), model)


def _places(run: Path) -> dict[str, str]:
    """The names in the chain, each with its folder."""
    return {place: folder for link in read_chain(run) for place, folder in link.places.items()}


def _name_in(places: Mapping[str, str], folder: Path) -> str | None:
    """The name that a folder has among `places`, without those of the run itself."""
    return next((place for place, at in places.items() if place not in RESERVED and Path(at) == folder.resolve()), None)


def place_of(run: Path, model: Path, name: str | None = None) -> str:
    """The name of a folder in the chain; a new folder gets `name` or its own name, made unique."""
    places = _places(run)
    if place := _name_in(places, model):
        return place
    first = name or model.resolve().name or "model"
    unique, number = first, 2
    while unique in RESERVED | set(places):
        unique, number = f"{first}-{number}", number + 1
    return unique


def newest_hashes(run: Path) -> dict[str, str]:
    """PLACE/FILE -> sha256 by the last statement that names it; what was only read is included."""
    hashes: dict[str, str] = {}
    for link in read_chain(run):
        # A model that was made again, maybe in fewer shards.
        new = {name.split("/")[0] for name in link.written if is_weights(name)} - {RUN}
        hashes = {name: sha for name, sha in hashes.items() if name.split("/")[0] not in new}
        hashes = {name: sha for name, sha in link.read.items() if name.split("/")[0] != FOLDER} | hashes | link.written
    return hashes


def now() -> str:
    """The time, as reports have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def is_weights(name: str) -> bool:
    """Whether PLACE/FILE is a file of weights."""
    return name.endswith((".safetensors", ".bin"))
