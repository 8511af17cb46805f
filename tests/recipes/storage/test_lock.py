"""One process at a time in a folder: the second says who has it and exits 2; a dead process's lock is no obstacle."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.cli.running import QUICK, data_arguments, unlearn
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.storage import lock
from unlearn_cli.recipes.storage.lock import LOCK, check_free, locked


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    return data_arguments(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert unlearn("forget", *data, *QUICK, "-o", folder).exit_code in (0, 4)
    return folder


def holder(**changed: object) -> str:
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "began": psutil.Process().create_time(), **changed})


def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("command", ["forget", "forget --resume", "forget --dry-run", "evaluate", "relearn-attack", "sweep"])
def test_the_second_process_says_who_has_the_folder(data, run, command):
    name, *flags = command.split()
    given = [*data, *QUICK, "-o", run, *flags] if name in ("forget", "sweep") else [run]
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with locked(run):
        result = unlearn(name, *given)
    assert result.exit_code == 2, result.stderr
    message = " ".join(result.stderr.split())
    assert f"is in use by process {os.getpid()} on {socket.gethostname()}" in message
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_run_that_ended_leaves_no_lock(run):
    assert not list(run.rglob(f"{LOCK}*"))


STALE = {
    "a process that is gone": lambda: holder(pid=dead()),
    "a number that was used again": lambda: holder(began=0.0),
}


@pytest.mark.parametrize("how", STALE)
def test_a_stale_lock_is_taken_over(tmp_path, how):
    (tmp_path / LOCK).write_text(STALE[how]())
    check_free(tmp_path)
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


HELD = {"on another machine": lambda: holder(host="elsewhere"), "here": holder, "empty": lambda: "", "a list": lambda: "[]"}


@pytest.mark.parametrize("how", HELD)  # not the text: it names a process, and two workers must collect the same tests
def test_a_lock_that_may_be_held_is_respected(tmp_path, how):
    text = HELD[how]()
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(UnlearnError, match="in use by") as caught, locked(tmp_path):
        pass
    assert f"rm {tmp_path / LOCK}" in caught.value.hint
    with pytest.raises(UnlearnError, match="in use by"):
        check_free(tmp_path)
    assert (tmp_path / LOCK).read_text() == text


@pytest.mark.parametrize("moment", ["text", "draft", "name"])
def test_a_process_killed_while_it_takes_the_lock_leaves_none(tmp_path, monkeypatch, moment):
    """Whatever exists under the lock's name says who has it. A draft that is left behind is in nobody's way."""

    def killed(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    owner, name = {"text": (lock, "_this_process"), "draft": (Path, "write_text"), "name": (os, "link")}[moment]
    monkeypatch.setattr(owner, name, killed)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process tidies nothing
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        pass
    (tmp_path / f"{LOCK}.part").write_text("half a li")
    assert not (tmp_path / LOCK).exists()
    check_free(tmp_path)
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_written_where_files_have_one_name_only(tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refused)
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        with pytest.raises(UnlearnError, match="in use by process"):
            check_free(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_many_at_once_one_has_it(tmp_path):
    """Also where all of them find the lock of a process that is gone."""
    (tmp_path / LOCK).write_text(STALE["a process that is gone"]())
    start, done, outcomes = threading.Barrier(6), threading.Barrier(6), []

    def enter() -> None:
        start.wait()
        try:
            with locked(tmp_path):
                outcomes.append("in")
                done.wait()
        except UnlearnError:
            outcomes.append("refused")
            done.wait()

    threads = [threading.Thread(target=enter) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("in") == 1 and len(outcomes) == 6


def test_a_folder_in_which_nothing_came_to_be_is_not_left(tmp_path):
    with locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnlearnError, match="cannot be written"), locked(tmp_path / "file"):
        pass
