"""Whether the files of a run are still those of its lineage. Every file is read. No torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from unlearn_cli.console import ProgressBar, Reporter
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import file_sha256
from unlearn_cli.lineage import DATA, FOLDER, RUN, SETTING, Link, read_chain
from unlearn_cli.models.files import files_in, folder_of
from unlearn_cli.models.source import ModelSource
from unlearn_cli.recipes.auditing.chain import is_weights, newest_hashes
from unlearn_cli.recipes.storage.run_folder import OURS
from unlearn_cli.recipes.storage.sharing import is_shared
from unlearn_cli.report import FILE, read_report

State = Literal["unchanged", "changed", "missing", "left out", "added"]
STATES: tuple[State, ...] = ("unchanged", "changed", "missing", "left out", "added")
HUB = "hf:"


@contextmanager
def reading(reporter: Reporter) -> Iterator[Callable[[int, str], None]]:
    """A bar over the files that are read; the function inside takes their number and the name of the one read."""
    with ExitStack() as stack:
        bars: list[ProgressBar] = []

        def advance(total: int, name: str) -> None:
            if not bars:
                bars.append(stack.enter_context(reporter.progress("reading", total)))
            bars[0].advance(detail=name)

        yield advance


@dataclass(frozen=True)
class FileState:
    """One file of the lineage beside what is there now."""

    place: str
    file: str
    state: State
    expected: str | None  # sha256; None for a file that the lineage does not name
    actual: str | None  # sha256; None where the file is missing


@dataclass(frozen=True)
class Verification:
    """The result of reading every file."""

    links: list[Link]
    places: dict[str, str]
    files: list[FileState]
    read: int  # bytes
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether every file is the one that the lineage names, and there are no others but those that push leaves out."""
        return all(file.state in ("unchanged", "left out") for file in self.files)

    @property
    def not_here(self) -> list[str]:
        """Places of which every file is missing: their folder has moved, or is on another machine."""
        there = {file.place for file in self.files if file.state != "missing"}
        return [place for place in self.places if place not in there]

    def count(self, state: State) -> int:
        """How many files are in a state."""
        return sum(file.state == state for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "whole": self.whole,
            "links": [{"file": link.path.name, "command": link.command, "started": link.started} for link in self.links],
            "places": self.places,
            "files": [asdict(file) for file in self.files],
            "bytes_read": self.read,
            "seconds": round(self.seconds, 3),
        }


def verification(
    run: Path, moved: Mapping[str, str | Path], advance: Callable[[int, str], None] = lambda total, name: None
) -> Verification:
    """Read every file of a run's lineage and compare.

    Args:
        run: the run folder.
        moved: place -> the folder where it is now.
        advance: called before each file with their number and its name.

    Raises:
        UnlearnError: there is no such folder, the run has no lineage, a statement is broken, or `moved` names a place that
            it does not have.
    """
    if not run.is_dir():
        raise UnlearnError(f"there is no folder {run}", "a folder written by `unlearn forget` is expected")
    links = read_chain(run)
    if not links:
        if not (run / FILE).is_file():
            raise UnlearnError(
                f"{run} is not a run folder: it has no {FILE}", "a folder written by `unlearn forget` is expected"
            )
        raise UnlearnError(
            f"{run} has no lineage", "runs of this version have one; a run of an earlier one has to be made again"
        )
    places = {place: folder for link in links for place, folder in link.places.items()}
    if unknown := [place for place in moved if place not in places or place == RUN]:
        raise UnlearnError(f"the lineage has no place {unknown[0]}", f"places: {', '.join(set(places) - {RUN})}")
    places |= {place: str(folder) for place, folder in moved.items()}
    folders = {place: _folder(run, place, where) for place, where in places.items()}
    expected = {
        name: sha for name, sha in newest_hashes(run).items() if name.split("/")[0] not in (DATA, SETTING) and "/" in name
    }
    not_shared = _left_out_by_push(run, expected)
    began, read, states = time.perf_counter(), 0, _states_of_chain(links)
    order = {place: number for number, place in enumerate(places)}
    names = sorted(expected, key=lambda name: (order.get(name.split("/")[0], len(order)), name))
    for name in names:
        place, file = name.split("/", 1)
        folder = folders.get(place)
        path = folder / file if folder else None
        if path is None or not path.is_file():
            states.append(FileState(place, file, "left out" if name in not_shared else "missing", expected[name], None))
            continue
        advance(len(names), name)
        actual = file_sha256(path)
        read += path.stat().st_size
        states.append(FileState(place, file, "unchanged" if actual == expected[name] else "changed", expected[name], actual))
    states += [
        FileState(place, path.name, "added", None, file_sha256(path))
        for place, folder in folders.items()
        if folder is not None and folder.is_dir() and any(is_weights(n) and n.startswith(f"{place}/") for n in expected)
        for path in files_in(folder)
        if f"{place}/{path.name}" not in expected and not (place == RUN and path.name in OURS)
    ]
    return Verification(links, places, states, read, time.perf_counter() - began)


def _left_out_by_push(run: Path, expected: Mapping[str, str]) -> set[str]:
    """The files of the run folder that `unlearn push` leaves out. Empty if one of them is there: then it is no download."""
    try:
        artifact = read_report(run).artifact
    except UnlearnError:
        return set()
    files = {name: name.split("/", 1)[1] for name in expected if name.startswith(f"{RUN}/")}
    kept_back = {name: file for name, file in files.items() if not is_shared(file, artifact.files if artifact else ())}
    return set() if any((run / file).is_file() for file in kept_back.values()) else set(kept_back)


def _folder(run: Path, place: str, where: str) -> Path | None:
    """The folder of a place; None for a commit of the Hub that is not in the cache."""
    if place == RUN:
        return run
    if where.startswith(HUB):
        name, _, commit = where.removeprefix(HUB).rpartition("@")
        return folder_of(ModelSource(name, commit))
    return Path(where)


def _states_of_chain(links: list[Link]) -> list[FileState]:
    """The statements themselves: each but the last is named by the one after it, and no number is left out."""
    states = []
    for number, link in enumerate(links, 1):
        if not link.path.name.startswith(f"{number:04d}-"):
            states.append(FileState(FOLDER, f"{number:04d}", "missing", None, None))
            break
        after = links[number].read if number < len(links) else {}
        expected = after.get(f"{FOLDER}/{link.path.name}", link.sha256 if number == len(links) else None)
        state: State = "unchanged" if expected == link.sha256 else "changed"
        states.append(FileState(FOLDER, link.path.name, state, expected, link.sha256))
    return states
