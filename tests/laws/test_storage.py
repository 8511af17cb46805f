"""Law: a disk without room, without permission, or taken away costs a command its result, and nothing that was there before.

Every command says so in one error that names the place and the next step, with exit code 2; no half of a file takes the
name of a whole one; and once there is room the same command ends as an undisturbed one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.laws.commands import RECORD, Place, again, begun, cases, lost
from tests.laws.killing import Ended, differing, ended, half_written, start, whole
from unlearn_cli import atomic
from unlearn_cli.recipes.storage.lock import LOCK

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forks, which this system does not have")

GRACE = 10.0  # seconds between SIGTERM and SIGKILL, as systems that manage jobs leave them
MB = 2**20
DISK = 24 * MB
# Not the same after two undisturbed commands either: a page says when it was written. The demo's model lies in its folder,
# which the adapter's configuration names, and the report holds the hash of that.
VARYING = (RECORD, "demo/run/report.json")


class Straight(NamedTuple):
    """What an undisturbed command left, and how much room that took."""

    folder: Path
    grown: int


@pytest.fixture(scope="module")
def straight(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Straight]:
    """The result of an undisturbed command, by its name; each is run once."""
    top = tmp_path_factory.mktemp("straight")

    @cache
    def run(name: str) -> Straight:
        case = cases(place)[name]
        folder = begun(case, place, top / name)
        before = _size(folder)
        done, _ = whole(*case.command(folder), said=top / "said")
        assert done.code in (0, 4), done
        return Straight(folder, _size(folder) - before)

    return run


def _size(folder: Path) -> int:
    """Bytes on a disk with pages of 4 KB."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, room: int) -> Path:
    """Leave so much room on the disk. Returns the file to remove."""
    filler = disk / "filler"
    stat = os.statvfs(disk)
    filler.write_bytes(bytes(max(stat.f_bfree * stat.f_frsize - room // 4096 * 4096, 0)))
    return filler


def refused(done: Ended, folder: Path, reason: str) -> None:
    """Check that a command ended in one error that names the place, the reason and the next step."""
    text = " ".join(done.stderr.split())
    assert done.code == 2 and text.count("error: ") == text.count("hint: ") == 1, done
    assert str(folder) in text.split("error: ")[1] and reason in text, done
    assert "this is a bug" not in text and "Traceback" not in text, done


# The share of what a command writes for which there is room. What is long is tried at more moments by `-m slow`.
USUAL = {
    "forget": [0.4], "evaluate": [0.3], "relearn-attack": [0.9], "merge": [0.5], "compare": [0.5], "report": [0.0],
    "clean": [0.0], "init": [0.0],
}  # fmt: skip
SLOW = {
    "forget": [0.0, 0.1, 0.7, 0.95], "evaluate": [0.0, 0.6, 0.95], "evaluate -o": [0.0, 0.3, 0.6, 0.95],
    "relearn-attack": [0.0, 0.3, 0.6], "sweep": [0.0, 0.1, 0.3, 0.6, 0.95], "merge": [0.0, 0.95], "compare": [0.0],
    "compare --html": [0.0, 0.9], "compare --plot": [0.0, 0.7], "report": [0.5], "reproduce": [0.0, 0.4, 0.95],
    "demo": [0.2],
}  # fmt: skip
FULL = [pytest.param(name, share, id=f"{name} {share:g}") for name in USUAL for share in USUAL[name]]
FULL += [pytest.param(name, share, id=f"{name} {share:g}", marks=pytest.mark.slow) for name in SLOW for share in SLOW[name]]


@pytest.mark.parametrize(("name", "share"), FULL)
def test_a_full_disk(
    place: Place, straight: Callable[[str], Straight], disk: Path, tmp_path: Path, name: str, share: float
) -> None:
    case, said = cases(place)[name], tmp_path / "said"
    folder = begun(case, place, disk / "work")
    filler = fill(disk, int(share * straight(name).grown))
    done, _ = whole(*case.command(folder), said=said)
    refused(done, folder, "No space left on device")
    hint = " ".join(done.stderr.split()).split("hint: ")[1]
    assert hint.startswith("make room there") and "give the same command again" in hint
    assert half_written(folder) == [] and lost(case, place, folder) == []
    assert [path for path in folder.rglob("*") if path.name.endswith(".part") or path.name == LOCK] == []
    filler.unlink()
    second, _ = whole(*again(case, folder), said=said)
    assert second.code in (0, 4), second
    assert [path for path in differing(folder, straight(name).folder) if path not in VARYING] == []


@pytest.mark.parametrize(
    "name", ["forget", "evaluate", "relearn-attack", "sweep", "merge", "compare", "report", "clean", "init", "demo"]
)
def test_a_disk_that_is_read_only(place: Place, disk: Path, tmp_path: Path, name: str) -> None:
    """It is said before a model is loaded."""
    case = cases(place)[name]
    folder = begun(case, place, disk / "work")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done, _ = whole(*case.command(folder), said=tmp_path / "said")
    refused(done, folder, "no permission to write into")
    assert "loading" not in done.stderr


READING = [pytest.param(name, marks=pytest.mark.slow) for name in ("merge", "report", "evaluate -o")]


@pytest.mark.parametrize("name", ["push", *READING])
def test_a_run_on_a_read_only_disk_can_be_read(place: Place, disk: Path, tmp_path: Path, name: str) -> None:
    case = cases(place)[name]
    folder = begun(case, place, disk / "work")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for_output = [str(word).replace(str(folder), str(tmp_path)) for word in case.command(folder)[2:]]
    words = [*case.command(folder)[:2], *for_output]
    done, _ = whole(*words, said=tmp_path / "said", first=place.online if name == "push" else None)
    assert done.code == 0, done


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_ends_no_attack(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The curves of the original model are kept there to save time alone. One note says that they are not."""
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("UNLEARN_CACHE", str(tmp_path / "cache"))
    case = cases(place)["relearn-attack"]
    folder = begun(case, place, tmp_path / "work")
    done, _ = whole(*case.command(folder), said=tmp_path / "said")
    assert done.code == 0 and done.stderr.count("UNLEARN_CACHE=DIR names another folder") == 1, done


def at_write(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """For a child: before the write of this number, something happens."""

    def patch() -> None:
        write, count = atomic._write, 0

        def counting(part: Path, content: atomic.Content) -> None:
            nonlocal count
            count += 1
            if count == number:
                act()
            write(part, content)

        atomic._write = counting

    return patch


# The folder that is taken away, and before which write. A merge and a sweep write into folders of their own beside others.
TAKEN = {
    "forget": ("run", 6), "evaluate": ("run", 3), "relearn-attack": ("run", 2), "sweep": ("sweep", 9),
    "merge": (".merged.merge", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_a_folder_that_is_taken_away(place: Place, tmp_path: Path, name: str) -> None:
    """It is not made again: a command would leave a folder there that looks whole."""
    case, (place_of_output, number) = cases(place)[name], TAKEN[name]
    folder = begun(case, place, tmp_path / "work")
    output = folder / place_of_output

    def take() -> None:
        output.rename(tmp_path / "elsewhere")

    done, _ = whole(*case.command(folder), said=tmp_path / "said", first=at_write(number, take))
    refused(done, output, "it was removed, moved or unlocked while this command ran")
    assert not output.exists()


LONG_WAITS = {"relearn-attack": 2, "sweep": 4, "merge": 1}
LONGER = [pytest.param(name, number, marks=pytest.mark.slow) for name, number in LONG_WAITS.items()]


@pytest.mark.parametrize(("name", "number"), [("evaluate", 3), *LONGER])
def test_two_processes_and_sigterm(
    place: Place, straight: Callable[[str], Straight], tmp_path: Path, name: str, number: int
) -> None:
    """The second says who works there. The first ends at SIGTERM and leaves no lock. A third ends as an undisturbed one."""
    case, said, there = cases(place)[name], tmp_path / "said", tmp_path / "there"
    folder = begun(case, place, tmp_path / "work")

    def wait() -> None:
        there.touch()
        time.sleep(120)

    child = start(*case.command(folder), said=said, first=at_write(number, wait))
    until = time.monotonic() + 60
    while not there.exists() and time.monotonic() < until:
        time.sleep(0.01)
    second, _ = whole(*case.command(folder), said=tmp_path / "second")
    began = time.monotonic()
    os.kill(child, signal.SIGTERM)
    first = ended(child, said)
    refused(second, folder, f"is in use by process {child} on {os.uname().nodename}")
    assert first.code == 143 and "error: interrupted" in first.stderr and time.monotonic() - began < GRACE, first
    assert [path for path in folder.rglob("*") if path.name.endswith(".part") or path.name == LOCK] == []
    third, _ = whole(*again(case, folder), said=said)
    assert third.code in (0, 4), third
    assert differing(folder, straight(name).folder) == []


PATHS = {
    "evaluate -o": ("elsewhere", "-o DIR"), "sweep": ("sweep", "another --output-dir"), "merge": ("merged", "-o"),
    "compare": ("page.csv", "a file in a folder"), "report": (RECORD, "a file in a folder"), "forget": ("run", "choose"),
    "init": ("unlearn.yaml", "a file in a folder"), "demo": ("demo", "choose a folder"),
    "reproduce": ("again", "another folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_an_output_that_is_something_else(place: Place, tmp_path: Path, name: str) -> None:
    """A file where a folder is needed, or a folder where a file is needed, is left as it was."""
    case, (output, hint) = cases(place)[name], PATHS[name]
    folder = begun(case, place, tmp_path / "work")
    (folder / output).mkdir() if "." in output else (folder / output).write_text("mine")
    done, _ = whole(*case.command(folder), said=tmp_path / "said")
    refused(done, folder / output, hint)
    assert (folder / output).is_dir() if "." in output else (folder / output).read_text() == "mine"
