"""The commands that write, on one run that all tests of a file share, and what each of them may change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.hub_server import FakeHub
from tests.laws.killing import evidence

FEW = ("--generate-limit", "2", "--max-new-tokens", "4", "--bootstrap-samples", "10", "--eval-limit", "4")
STEPS = ("--max-steps", "6", "--batch-size", "2", "--save-every", "2", *FEW)
RECORD = "record.html"  # says when it was made


class Case(NamedTuple):
    """A command on a folder, and how it is given again."""

    command: Callable[[Path], list[object]]
    again: tuple[str, ...] = ()  # what a second call has more, once the run has begun
    seeded: bool = True  # the folder begins as a copy of a finished run


class Place(NamedTuple):
    """What the cases work on."""

    data: list[str]
    run: Path
    hub: FakeHub

    def online(self) -> None:
        """For a child: the Hub is the one on this machine."""
        import huggingface_hub.constants as constants

        constants.ENDPOINT, constants.HF_HUB_OFFLINE = self.hub.url, False
        os.environ["HF_TOKEN"] = "hf_test"


def cases(place: Place) -> dict[str, Case]:
    """The commands that write, by name."""
    attack = ("-p", "steps=0+2", "--eval-limit", "2", "--generate-limit", "-1", "--bootstrap-samples", "10")
    return {
        "forget": Case(lambda at: ["forget", *place.data, *STEPS, "-o", at / "run"], ("--resume",), seeded=False),
        "evaluate": Case(lambda at: ["evaluate", at / "run", *FEW[:2], "--max-new-tokens", "6"]),
        "relearn-attack": Case(lambda at: ["relearn-attack", at / "run", *attack]),
        "sweep": Case(lambda at: ["sweep", *place.data, *STEPS, "--seeds", "0,1", "-o", at / "sweep"], seeded=False),
        "merge": Case(lambda at: ["merge", at / "run", "--rows", "2", "-o", at / "merged"]),
        "push": Case(lambda at: ["push", at / "run", f"org/{at.name}"]),
        "evaluate -o": Case(lambda at: ["evaluate", at / "run", *FEW[:2], "--max-new-tokens", "6", "-o", at / "elsewhere"]),
        "compare": Case(lambda at: ["compare", at / "run", "--csv", at / "page.csv", "--markdown", at / "page.md"]),
        "compare --html": Case(lambda at: ["compare", at / "run", "--html", at / "page.html"]),
        "compare --plot": Case(lambda at: ["compare", at / "run", "--plot", at / "front.png"]),
        "report": Case(lambda at: ["report", at / "run", "--html", at / RECORD]),
        "clean": Case(lambda at: ["clean", at / "run"]),
        "reproduce": Case(lambda at: ["reproduce", at / "run", "-o", at / "again"]),
        "init": Case(lambda at: ["init", *place.data, "--write", at / "unlearn.yaml"], seeded=False),
        "demo": Case(lambda at: ["demo", "--keep", at / "demo"], seeded=False),
    }


LONG = ["forget", "evaluate", "relearn-attack", "sweep", "merge", "push"]  # those that a kill can come into the midst of


def begun(case: Case, place: Place, folder: Path) -> Path:
    """A folder as a case begins."""
    folder.mkdir()
    if case.seeded:
        shutil.copytree(place.run, folder / "run")
    return folder


def again(case: Case, folder: Path) -> list[object]:
    """The command as it is given a second time."""
    begun_before = (folder / "run" / "plan.json").is_file()
    return [*case.command(folder), *(case.again if begun_before else ())]


def lost(case: Case, place: Place, folder: Path) -> list[str]:
    """Files of the finished run that a command has changed and was not to change.

    An evaluation measures "after" anew, and an attack adds a line to the report.
    """
    if not case.seeded:
        return []
    before, kept = evidence(place.run), evidence(folder / "run")
    mine = [path for path in before if not path.startswith("measured/after") and path != "report.json"]
    return [path for path in mine if kept.get(path) != before[path]]
