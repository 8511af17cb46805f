"""Commands in new processes, forked from one that has imported the command line and its checks and nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SERVER = """
import json, os, sys
import unlearn_cli.cli.app, unlearn_cli.recipes.forgetting.precheck
from unlearn_cli.cli import main

for line in sys.stdin:
    words, *files = json.loads(line)
    child = os.fork()
    if not child:
        for number, file in enumerate(files, start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
        sys.argv = ["unlearn", *words]
        try:
            main()
        except SystemExit as stop:
            print("\\0", stop.code, *sys.modules, flush=True)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    print(flush=True)
"""


class Fresh(NamedTuple):
    """How a command ended in a new process, and which modules it had imported by then."""

    exit_code: int
    stdout: str
    stderr: str
    modules: frozenset[str]


Run = Callable[[Sequence[str]], Fresh]


@contextmanager
def fresh_processes(folder: Path) -> Iterator[Run]:
    """A function that runs `unlearn WORDS` in a new process, without the Hub."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdin and server.stdout

        def run(words: Sequence[str]) -> Fresh:
            out, err = folder / "stdout", folder / "stderr"
            out.write_text(""), err.write_text("")
            print(json.dumps([list(words), str(out), str(err)]), file=server.stdin, flush=True)
            assert server.stdout.readline() == "\n", "the server of processes has ended"
            stdout, _, end = out.read_text().partition("\0")
            code, *modules = end.split()
            return Fresh(int(code), stdout, err.read_text(), frozenset(modules))

        yield run
        server.stdin.close()
