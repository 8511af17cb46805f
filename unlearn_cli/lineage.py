"""`RUN/lineage/`: which bytes came from which, as a chain of statements that other tools can read.

Each file is an in-toto statement (https://in-toto.io/Statement/v1) with SLSA provenance (https://slsa.dev/provenance/v1):
`subject` are the files that a command wrote, `resolvedDependencies` what it read, each with its SHA-256. A statement names
the hash of the one before it, so that none can be changed or left out unseen. Where a file is in several statements the
last one holds. A signature is a DSSE envelope beside the statement, see `recipes/auditing/signing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from unlearn_cli import __version__
from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import file_sha256
from unlearn_cli.jsonfile import read_object, to_json

FOLDER = "lineage"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
LINKS, ENVELOPE = "[0-9]*.json", ".dsse.json"
RUN, BASE, ADAPTER = "run", "base", "adapter"  # places; a derived model has the name of its folder
DATA, SETTING = "data", "setting"  # hashes of rows and of the user's own files: named, and not looked for again
PLACES = TypeAdapter(dict[str, str])
BROKEN = "the folder was edited or copied in part: copy it again from where it was made"


@dataclass(frozen=True)
class Step:
    """What one command did."""

    command: str
    arguments: Sequence[str]
    started: str
    written: Mapping[str, str]  # PLACE/FILE -> sha256
    read: Mapping[str, str]
    places: Mapping[str, str]  # PLACE -> folder, or hf:ID@COMMIT; `run` is the folder of the chain
    about: Mapping[str, Any] | None = None  # further facts, for people

    def statement(self, previous: tuple[str, str] | None) -> dict[str, Any]:
        """The in-toto statement; `previous` is the file name and the hash of the one before it."""
        chain = [previous] if previous else []
        return {
            "_type": STATEMENT,
            "subject": _descriptors(self.written),
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": f"urn:unlearn-cli:{self.command}:1",
                    "externalParameters": {"command": ["unlearn", *self.arguments], **(self.about or {})},
                    "internalParameters": {"places": dict(self.places)},
                    "resolvedDependencies": _descriptors({**{f"{FOLDER}/{n}": sha for n, sha in chain}, **self.read}),
                },
                "runDetails": {
                    "builder": {"id": "urn:unlearn-cli", "version": {"unlearn": __version__}},
                    "metadata": {"startedOn": self.started},
                },
            },
        }


@dataclass(frozen=True)
class Link:
    """One statement of a chain."""

    path: Path
    content: dict[str, Any]

    @cached_property
    def sha256(self) -> str:
        """Of the file."""
        return file_sha256(self.path)

    @property
    def command(self) -> str:
        """The command that wrote it."""
        return str(self._definition["buildType"]).split(":")[2]

    @property
    def started(self) -> str:
        """When that command started."""
        return str(self.content["predicate"]["runDetails"]["metadata"]["startedOn"])

    @property
    def about(self) -> dict[str, Any]:
        """Its command line and further facts."""
        return dict(self._definition["externalParameters"])

    @property
    def written(self) -> dict[str, str]:
        """PLACE/FILE -> sha256 of what the command wrote."""
        return _digests(self.content["subject"])

    @property
    def read(self) -> dict[str, str]:
        """PLACE/FILE -> sha256 of what the command read, the statement before this one included."""
        return _digests(self._definition["resolvedDependencies"])

    @property
    def places(self) -> dict[str, str]:
        """PLACE -> folder."""
        return PLACES.validate_python(self._definition["internalParameters"]["places"])

    @property
    def envelope(self) -> Path:
        """Where its signature is, if it has one."""
        return self.path.with_name(self.path.stem + ENVELOPE)

    @property
    def _definition(self) -> dict[str, Any]:
        return self.content["predicate"]["buildDefinition"]


def read_chain(run: Path) -> list[Link]:
    """The statements of a run, oldest first; empty where there is none.

    Raises:
        UnlearnError: one of them is not what this program writes.
    """
    links = []
    for path in statements(run):
        link = Link(path, read_object(path, BROKEN))
        try:
            known = (link.content["_type"], link.content["predicateType"]) == (STATEMENT, PREDICATE)
            # Reading each part once shows that it is there.
            whole = known and (link.command, link.started, link.about, link.places, link.written, link.read)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise UnlearnError(f"{path} is no statement of `unlearn`", BROKEN) from None
        links.append(link)
    return links


def statements(run: Path) -> list[Path]:
    """The files of the chain, oldest first."""
    return sorted(path for path in (run / FOLDER).glob(LINKS) if not path.name.endswith(ENVELOPE))


def add_link(run: Path, step: Step) -> Path:
    """Write one more statement into the chain of a run; returns its path."""
    before = statements(run)
    previous = (before[-1].name, file_sha256(before[-1])) if before else None
    number = int(before[-1].name.partition("-")[0]) + 1 if before else 1
    path = run / FOLDER / f"{number:04d}-{step.command}.json"
    write_atomically(path, to_json(step.statement(previous)) + "\n")
    return path


def _descriptors(digests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": sha}} for name, sha in digests.items()]


def _digests(descriptors: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {str(one["name"]): str(one["digest"]["sha256"]) for one in descriptors}
