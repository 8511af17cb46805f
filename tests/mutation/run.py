"""How many planted mistakes the tests find: python -m tests.mutation.run GROUP [SAMPLE] [--seed S] [--file STEM].

A group is a part of the package and the tests that are its own. Each mutant is tried in a fork that has the libraries loaded
and this package not; it is killed if a test fails, an import fails, or it takes more than `TIME` of the processor. Survivors
are listed.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.util
import os
import random
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "unlearn_cli"
TIME = 90  # seconds of the processor: a busy machine kills nothing


class Group(NamedTuple):
    """Files, and the tests of one file."""

    files: list[Path]
    tests: Callable[[Path], list[str]]


def _files(folder: str, *names: str) -> list[Path]:
    chosen = [PACKAGE / folder / f"{name}.py" for name in names] or sorted((PACKAGE / folder).glob("*.py"))
    return [path for path in chosen if path.name != "__init__.py"]


def _of_method(path: Path) -> list[str]:
    """Its own tests, the laws of procedures about memory and steps, and the reference, which has the defaults."""
    text, name = path.read_text(encoding="utf-8"), path.stem.replace("_", "-")
    procedures = "tests/laws/test_procedures.py"
    steps = f"{procedures}::test_the_schedule_is_that_of_the_settings"
    if path.stem == "_distillation":
        return ["tests/methods/test_weight_distortion.py", "tests/methods/test_undo.py", f"{steps}[undo]"]
    laws = [f"{procedures}::test_sets_of_weights_are_counted[{name}]"] if "@procedure(" in text else []
    laws += [f"{steps}[{name}]"] if laws and "strength=" not in text else []
    shown = "tests/docs/test_docs.py::test_the_generated_reference_is_current[catalogue.md]"
    return [f"tests/methods/test_{path.stem}.py", *laws, shown]


def _of_comparison(path: Path) -> list[str]:
    own = ROOT / "tests" / "evaluation" / f"test_{path.stem}.py"
    pages = [f"tests/cli/test_compare{part}.py" for part in COMPARE]
    return [str(own)] if own.is_file() else ["tests/recipes/comparison", *pages]


COMPARE = ("", "_comparability", "_judging", "_output")
GROUPS = {
    "methods": Group(_files("methods"), _of_method),
    "metrics": Group(_files("metrics"), lambda path: ["tests/metrics", "tests/evaluation/test_score.py"]),
    "forward": Group(
        _files("models", "forward"),
        lambda path: ["tests/models/test_forward.py",
                      "tests/models/test_architectures.py::test_the_chunked_head_equals_the_plain_one[llama]"],
    ),
    "gates": Group(
        _files("recipes/scoring", "gates", "outcome") + _files("recipes/checking", "expressions") + _files("expressions"),
        lambda path: ["tests/recipes/scoring", "tests/expressions"],
    ),
    "comparison": Group(
        _files("recipes/comparison") + _files("evaluation", "paired", "baseline"),
        _of_comparison,
    ),
}  # fmt: skip


class Planted(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module from a mutant's source."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """See `MetaPathFinder`."""
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_filename(self, name: str) -> str:
        """See `SourceLoader`."""
        return str(self.path)

    def get_data(self, path: Any) -> bytes:
        """See `SourceLoader`."""
        return self.source.encode()

    def path_mtime(self, path: Any) -> float:
        """No bytecode is kept or used."""
        raise OSError


def survives(path: Path, source: str, tests: list[str]) -> bool:
    """Whether all tests pass with another source of a file."""
    child = os.fork()
    if not child:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (TIME, TIME))
        signal.alarm(20 * TIME)  # of one that waits for ever
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        sys.dont_write_bytecode = True
        sys.meta_path.insert(0, Planted(path, source))
        import pytest

        code = 99
        try:
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", *tests]))
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("sample", nargs="?", type=int, default=0, help="mutants to try; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", help="stem of one file of the group")
    given = parser.parse_args()
    os.chdir(ROOT)
    import hypothesis  # noqa: F401 - this and the following are loaded once, before the forks
    import peft  # noqa: F401
    import pydantic  # noqa: F401
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch.nn.attention.varlen
    import transformers  # noqa: F401
    import typer  # noqa: F401

    torch.set_num_threads(1)
    group = GROUPS[given.group]
    files = [path for path in group.files if given.file in (None, path.stem)]
    every = [(path, mutant) for path in files for mutant in mutants(path.read_text(encoding="utf-8"))]
    chosen = random.Random(given.seed).sample(every, min(given.sample or len(every), len(every)))
    for path in dict.fromkeys(path for path, _ in chosen):
        if not survives(path, path.read_text(encoding="utf-8"), group.tests(path)):
            raise SystemExit(f"{path}: its tests fail, or there are none, without a mutant: {' '.join(group.tests(path))}")
    alive: list[tuple[Path, Mutant]] = []
    for number, (path, mutant) in enumerate(chosen, start=1):
        if survives(path, mutant.source, group.tests(path)):
            alive.append((path, mutant))
            print(f"survived: {path.relative_to(ROOT)}:{mutant.line}: {mutant.change}", flush=True)
        if number % 20 == 0:
            print(f"{number} of {len(chosen)}, {len(alive)} survived", flush=True)
    killed = len(chosen) - len(alive)
    print(f"{given.group}: {len(every)} mutants, {len(chosen)} tried, {killed} killed ({killed / len(chosen):.0%}), "
          f"{len(alive)} survived")  # fmt: skip


if __name__ == "__main__":
    main()
