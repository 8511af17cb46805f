"""Commands in new processes, forked from one that has imported what they need: to import torch takes seconds.

The server has run nothing and has one thread, so a fork of it is a new process in all that a command can notice. What the
libraries read from the environment when they are imported is that of the server.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

COMMAND_LINE = "import unlearn_cli.cli.app, unlearn_cli.recipes.checking.command"
EVERYTHING = f"""{COMMAND_LINE}
import datasets, peft, transformers.models.llama.modeling_llama
import unlearn_cli.recipes.evaluate, unlearn_cli.recipes.push, unlearn_cli.recipes.sweep"""
MAIN = "from unlearn_cli.cli import main\nmain()"

SERVER = """
import atexit, gc, json, os, signal, socket, sys, threading

door, keepers = socket.socket(fileno=int(sys.argv[1])), 0
exec(sys.argv[2])
gc.collect()
gc.freeze()  # a collection in a command would write to, and so copy, every page that is there
while True:
    data, files, _, _ = socket.recv_fds(door, 2**20, 4)
    while data and not data.endswith(b"\\n"):
        data += door.recv(2**20)
    while keepers and os.waitpid(-1, 0 if not data else os.WNOHANG)[0]:
        keepers -= 1
    if not data:
        sys.exit()
    if os.fork():  # a keeper, which tells the pid of the command and how that ended
        keepers += 1
        [os.close(file) for file in files]
        continue
    command = os.fork()
    if command:
        os.write(files[3], f"{command}\\n".encode())
        ended = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        os.write(files[3], f"{ended}\\n".encode())
        os._exit(0)
    break
given = json.loads(data)
[os.dup2(file, number) for number, file in enumerate(files[:3])]
[os.close(file) for file in files]
door.close()
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.clear()
os.environ.update(given["environment"])
os.chdir(given["folder"])
sys.argv = ["unlearn", *given["words"]]
ended = 0
try:
    exec(given["code"])
except SystemExit as stop:
    ended = stop.code
if ended is None or isinstance(ended, int):  # to take torch apart object by object takes longer than most commands
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit((ended or 0) & 255)
    except OSError:
        pass  # a stdout that takes nothing more: the interpreter says so
raise SystemExit(ended)
"""


class Process:
    """A started command, as `subprocess.Popen` shows one."""

    def __init__(self, status: int, out: IO[str], err: IO[str]) -> None:
        self._status, self._out, self._err, self._told = status, out, err, b""
        while not self._told.endswith(b"\n"):
            part = os.read(status, 1)
            assert part, "the server of processes has ended"
            self._told += part
        self.pid, self.returncode, self._told = int(self._told), None, b""

    def wait(self, timeout: float = 180) -> int:
        """The exit code, or the negative number of a signal."""
        until = time.monotonic() + timeout
        while self.returncode is None:
            if not select.select([self._status], [], [], max(0.0, until - time.monotonic()))[0]:
                raise subprocess.TimeoutExpired("unlearn", timeout)
            self._told += os.read(self._status, 64)
            if self._told.endswith(b"\n"):
                self.returncode = int(self._told)
                os.close(self._status)
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, None before the end."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def communicate(self, timeout: float = 180) -> tuple[str, str]:
        """Wait for the end; stdout and stderr."""
        self.wait(timeout)
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read())
            file.close()
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Server:
    """Starts commands: forks of a process that has executed `imports`. A context, which ends that process.

    Args:
        imports: what every command would import.
        environment: of the server and its commands, None for that of this process, without the Hub.
    """

    def __init__(self, imports: str, environment: Mapping[str, str] | None = None) -> None:
        self._fixed = None if environment is None else dict(environment)
        self._door, theirs = socket.socketpair()
        command = [sys.executable, "-c", SERVER, str(theirs.fileno()), imports]
        inherited, variables = [theirs.fileno()], self._environment()
        self._process = subprocess.Popen(command, pass_fds=inherited, env=variables, stdin=subprocess.DEVNULL)
        theirs.close()

    def _environment(self) -> dict[str, str]:
        return self._fixed or os.environ | {"HF_HUB_OFFLINE": "1"}

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        self._process.wait()

    def start(
        self, *words: object, code: str = MAIN, stdout: Any = None, folder: Path | None = None, **environment: str
    ) -> Process:
        """Start `unlearn WORDS`, or other code, which finds the words in sys.argv; stdout may be a file.

        `environment` is added to that of all commands.
        """
        out, err = (tempfile.TemporaryFile("w+", encoding="utf-8", newline="") for _ in range(2))  # noqa: SIM115
        ours, theirs = os.pipe()
        request = {
            "words": [str(word) for word in words],
            "code": code,
            "environment": self._environment() | environment,
            "folder": str(folder or Path.cwd()),
        }
        with open(os.devnull) as nothing:
            files = [nothing.fileno(), (stdout or out).fileno(), err.fileno(), theirs]
            socket.send_fds(self._door, [json.dumps(request).encode() + b"\n"], files)
            os.close(theirs)
            return Process(ours, out, err)

    def run(self, *words: object, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. Arguments as for `start`."""
        process = self.start(*words, **more)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(list(words), process.wait(), stdout, stderr)


@cache
def server(imports: str = EVERYTHING) -> Server:
    """One server for all tests of this process."""
    serving = Server(imports)
    atexit.register(serving.__exit__)
    return serving
