"""Law: killed at any moment, by SIGKILL or SIGTERM, a command that is given again ends as if nothing had happened.

No file under its final name is half written, and no earlier result is lost. `UNLEARN_KILLS` says how many moments the slow
test tries; `UNLEARN_KILL_SEED` chooses others.
"""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.cli.running import MODEL
from tests.laws.commands import LONG, STEPS, Place, again, begun, cases, lost
from tests.laws.killing import differing, half_written, moments, stopped, whole

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forks, which this system does not have")

GRACE = 10.0  # seconds between SIGTERM and SIGKILL, as systems that manage jobs leave them
KILLS, SEED = int(os.environ.get("UNLEARN_KILLS", "102")), int(os.environ.get("UNLEARN_KILL_SEED", "0"))


def killed(place: Place, name: str, tmp_path: Path, count: int, seed: int) -> int:
    """Kill a command at so many moments; how many kills came before it had ended."""
    case, said, hits = cases(place)[name], tmp_path / "said", 0
    first = place.online if name == "push" else None
    straight = begun(case, place, tmp_path / "whole")
    done, seconds = whole(*case.command(straight), said=said, first=first)
    assert done.code in (0, 4), done
    for number, after in enumerate(moments(count, seconds, seed)):
        folder = begun(case, place, tmp_path / f"{name}-{seed}-{number}")
        signal_ = signal.SIGTERM if number % 4 == 3 else signal.SIGKILL
        began = time.monotonic()
        left = stopped(*case.command(folder), said=said, number=signal_, after=after, first=first)
        assert signal_ == signal.SIGKILL or time.monotonic() - began < after + GRACE, "longer than the ten seconds of grace"
        hits += left.code not in (0, 4)
        where = f"{name}: {signal_.name} after {after:.3f} of {seconds:.3f} s"
        assert half_written(folder) == [], where
        assert lost(case, place, folder) == [], f"{where}: an earlier result is lost"
        second, _ = whole(*again(case, folder), said=said, first=first)
        assert second.code in (0, 4), f"{where}: {second}"
        assert differing(folder, straight) == [], where
        if name == "push":
            repos = place.hub.repos["model"]
            assert differing(repos[f"org/{folder.name}"], repos["org/whole"]) == [], where
        shutil.rmtree(folder)
    shutil.rmtree(straight)
    return hits


@pytest.mark.parametrize("name", LONG)
def test_killed(place: Place, name: str, tmp_path: Path) -> None:
    killed(place, name, tmp_path, 1, 11)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_killed_at_many_moments(place: Place, name: str, tmp_path: Path) -> None:
    count = KILLS // len(LONG)
    hits = killed(place, name, tmp_path, count, SEED)
    print(f"{name}: {count} kills, {hits} before the end, {count} ended as the uninterrupted one, 0 results lost")


def test_no_memory_left(place: Place, tmp_path: Path) -> None:
    """The system refuses memory at some point of the run; the run says so, and leaves nothing half written."""
    said, refused, taken = tmp_path / "said", 0, []
    for room in (12, 8, 4, 2, 1):  # with none at all Python itself fails in any way

        def limited(room: int = room) -> None:
            gc.collect()  # what earlier tests left would be freed in the midst of the run
            used = psutil.Process().memory_info().vms
            resource.setrlimit(resource.RLIMIT_AS, (used + room * 2**20,) * 2)
            for size in (2**20, 2**18, 2**16):  # take what the heap has free from earlier tests, its holes too
                with suppress(MemoryError):
                    while True:
                        taken.append(bytearray(size))
            del taken[:room]

        folder = tmp_path / f"{room}"
        folder.mkdir()
        done, _ = whole("forget", "-m", MODEL, *place.data[2:], *STEPS, "-o", folder / "run", said=said, first=limited)
        assert done.code in (0, 1, 2, 4) and "this is a bug" not in done.stderr, done
        assert done.code in (0, 4) or "hint: " in done.stderr, done
        assert done.code != 1 or "out of memory" in done.stderr, done
        assert half_written(folder) == []
        refused += done.code in (1, 2)
        if refused == 2:
            return
    assert refused, "memory was never refused"
