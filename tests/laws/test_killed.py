"""Law: killed at any moment, by SIGKILL or SIGTERM, a command that is given again ends as if nothing had happened.

No file under its final name is half written, and no earlier result is lost. `UNLEARN_KILLS` says how many moments the slow
test tries; `UNLEARN_KILL_SEED` chooses others.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.cli.running import MODEL, data_arguments
from tests.hub_server import FakeHub
from tests.laws.killing import differing, ended, evidence, half_written, moments, started, stopped, whole

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forks, which this system does not have")

FEW = ("--generate-limit", "2", "--max-new-tokens", "4", "--bootstrap-samples", "10", "--eval-limit", "4")
STEPS = ("--max-steps", "6", "--batch-size", "2", "--save-every", "2", *FEW)
GRACE = 10.0  # seconds between SIGTERM and SIGKILL, as systems that manage jobs leave them
KILLS, SEED = int(os.environ.get("UNLEARN_KILLS", "102")), int(os.environ.get("UNLEARN_KILL_SEED", "0"))


class Case(NamedTuple):
    """A command on a folder, how it is given again, and what of the folder is compared."""

    command: Callable[[Path], list[object]]
    again: tuple[str, ...] = ()  # what the second call has more
    compared: str = "."
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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("kill")
    data = data_arguments(folder)
    done, _ = whole("forget", *data, *STEPS, "-o", folder / "run", said=folder / "said")
    assert done.code in (0, 4), done
    with FakeHub({"model": {}}) as hub:
        hub.uploads = folder / "hub"
        yield Place(data, folder / "run", hub)


def cases(place: Place) -> dict[str, Case]:
    attack = ("-p", "steps=0+2", "--eval-limit", "2", "--generate-limit", "-1", "--bootstrap-samples", "10")
    return {
        "forget": Case(lambda at: ["forget", *place.data, *STEPS, "-o", at / "run"], ("--resume",), seeded=False),
        "evaluate": Case(lambda at: ["evaluate", at / "run", *FEW[:2], "--max-new-tokens", "6"]),
        "relearn-attack": Case(lambda at: ["relearn-attack", at / "run", *attack]),
        "sweep": Case(lambda at: ["sweep", *place.data, *STEPS, "--seeds", "0,1", "-o", at / "sweep"], seeded=False),
        "merge": Case(lambda at: ["merge", at / "run", "--rows", "2", "-o", at / "merged"]),
        "push": Case(lambda at: ["push", at / "run", f"org/{at.name}"]),
    }


NAMES = ["forget", "evaluate", "relearn-attack", "sweep", "merge", "push"]


def begun(case: Case, place: Place, folder: Path) -> Path:
    folder.mkdir()
    if case.seeded:
        shutil.copytree(place.run, folder / "run")
    return folder


def killed(place: Place, name: str, tmp_path: Path, count: int, seed: int) -> int:
    """Kill a command at so many moments; how many kills came before it had ended."""
    case, said, hits = cases(place)[name], tmp_path / "said", 0
    first = place.online if name == "push" else None
    straight = begun(case, place, tmp_path / "whole")
    done, seconds = whole(*case.command(straight), said=said, first=first)
    assert done.code in (0, 4), done
    before = evidence(place.run)
    for number, after in enumerate(moments(count, seconds, seed)):
        folder = begun(case, place, tmp_path / f"{name}-{seed}-{number}")
        signal_ = signal.SIGTERM if number % 4 == 3 else signal.SIGKILL
        began = time.monotonic()
        left = stopped(*case.command(folder), said=said, number=signal_, after=after, first=first)
        assert signal_ == signal.SIGKILL or time.monotonic() - began < after + GRACE, "longer than the ten seconds of grace"
        hits += left.code not in (0, 4)
        where = f"{name}: {signal_.name} after {after:.3f} of {seconds:.3f} s"
        assert half_written(folder) == [], where
        if case.seeded:
            kept = evidence(folder / "run")
            # An evaluation measures "after" anew, and an attack adds a line to the report.
            mine = [path for path in before if not path.startswith("measured/after") and path != "report.json"]
            lost = [path for path in mine if kept.get(path) != before[path]]
            assert lost == [], f"{where}: an earlier result is lost"
        ready = (folder / "run" / "plan.json").is_file() if name == "forget" else False
        again, _ = whole(*case.command(folder), *(case.again if ready else ()), said=said, first=first)
        assert again.code in (0, 4), f"{where}: {again}"
        assert differing(folder, straight) == [], where
        if name == "push":
            repos = place.hub.repos["model"]
            assert differing(repos[f"org/{folder.name}"], repos["org/whole"]) == [], where
        shutil.rmtree(folder)
    shutil.rmtree(straight)
    return hits


@pytest.mark.parametrize("name", NAMES)
def test_killed(place: Place, name: str, tmp_path: Path) -> None:
    killed(place, name, tmp_path, 1, 11)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_many_moments(place: Place, name: str, tmp_path: Path) -> None:
    count = KILLS // len(NAMES)
    hits = killed(place, name, tmp_path, count, SEED)
    print(f"{name}: {count} kills, {hits} before the end, {count} ended as the uninterrupted one, 0 results lost")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KB, less than a run writes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("no right to mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk(place: Place, small_disk: Path, tmp_path: Path) -> None:
    command = ["forget", *place.data, *STEPS, "-o", small_disk / "run"]
    done, _ = whole(*command, said=tmp_path / "said")
    assert done.code == 2 and "hint: make room there" in done.stderr and str(small_disk) in done.stderr, done
    assert half_written(small_disk) == [] and not (small_disk / "run" / "report.json").exists()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    resume = ["--resume"] if (small_disk / "run" / "plan.json").is_file() else []
    again, _ = whole(*command, *resume, said=tmp_path / "said")
    assert again.code in (0, 4), again
    assert differing(small_disk / "run", place.run) == []


def test_a_disk_that_is_read_only(place: Place, small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done, _ = whole("forget", *place.data, *STEPS, "-o", small_disk / "run", said=tmp_path / "said")
    assert done.code == 2 and "hint: " in done.stderr and "this is a bug" not in done.stderr, done


def test_a_folder_that_is_deleted_under_the_run(place: Place, tmp_path: Path) -> None:
    run, said = tmp_path / "run", tmp_path / "said"
    command = ["forget", *place.data, *STEPS, "--max-steps", "400", "-o", run]
    child = started(*command, said=said, until=run / "checkpoints")
    run.rename(tmp_path / "elsewhere")  # at once: the run would write again into a folder that is only half deleted
    shutil.rmtree(tmp_path / "elsewhere")
    done = ended(child, said)
    assert done.code == 2 and "hint: " in done.stderr and "this is a bug" not in done.stderr, done


def test_two_processes_on_one_folder(place: Place, tmp_path: Path) -> None:
    run, said = tmp_path / "run", tmp_path / "said"
    command = ["forget", *place.data, *STEPS, "--max-steps", "400", "-o", run]
    child = started(*command, said=said, until=run / "metrics.jsonl")
    second, _ = whole(*command, "--resume", said=tmp_path / "second")
    os.kill(child, signal.SIGTERM)
    first = ended(child, said)
    assert second.code == 2 and f"is in use by process {child} on {os.uname().nodename}" in " ".join(second.stderr.split())
    assert first.code == 143 and "--resume" in first.stderr, first


def test_no_memory_left(place: Place, tmp_path: Path) -> None:
    """The system refuses memory at some point of the run; the run says so, and leaves nothing half written."""
    said, seen = tmp_path / "said", set()
    for number, room in enumerate((0, 8, 40, 80)):

        def limited(room: int = room) -> None:
            used = psutil.Process().memory_info().vms
            resource.setrlimit(resource.RLIMIT_AS, (used + room * 2**20,) * 2)

        folder = tmp_path / f"{number}"
        folder.mkdir()
        done, _ = whole("forget", "-m", MODEL, *place.data[2:], *STEPS, "-o", folder / "run", said=said, first=limited)
        seen.add(done.code)
        assert done.code in (0, 1, 2, 4) and "this is a bug" not in done.stderr, done
        assert done.code in (0, 4) or "hint: " in done.stderr, done
        assert done.code != 1 or "out of memory" in done.stderr, done
        assert half_written(folder) == []
    assert seen - {0, 4}, "memory was never refused"
