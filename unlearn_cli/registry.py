"""Names of methods, retain terms, metrics and formats: the stems of their files, imported on use.

A registry knows its names without importing anything, so that a typing error is answered before torch is loaded. The
file `grad_diff.py` is `grad-diff` on the command line; either spelling is accepted.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from unlearn_cli.errors import UnlearnError


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely stands for, or None."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(kind: str, name: str, known: Iterable[str], *, where: str | None = None) -> UnlearnError:
    """The error for a name nobody knows, with the nearest one and the list."""
    names = sorted(known)
    guess = closest(name, names)
    hint = f"did you mean '{guess}'? " if guess else ""
    hint += where or f"known: {', '.join(names)}"
    return UnlearnError(f"unknown {kind} '{name}'", hint)


@dataclass(frozen=True)
class Registry:
    """The modules of one package, each holding one decorated function of the same name.

    Args:
        kind: what an entry is called in messages, in the singular ("method").
        package: dotted name of the package whose file stems are the names.
    """

    kind: str
    package: str

    def names(self) -> list[str]:
        """Names as the command line spells them, sorted; imports no entry."""
        package = importlib.import_module(self.package)
        stems = (m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))
        return sorted(stem.replace("_", "-") for stem in stems)

    def canonical(self, name: str) -> str:
        """`name` in the command line's spelling.

        Raises:
            UnlearnError: nobody is called that; the hint has the nearest name.
        """
        spelled = name.strip().lower().replace("_", "-")
        if spelled not in self.names():
            raise unknown(self.kind, name, self.names())
        return spelled

    def get(self, name: str) -> Callable:
        """Import one entry's file and return its function.

        Raises:
            UnlearnError: nobody is called that.
        """
        stem = self.canonical(name).replace("-", "_")
        return getattr(importlib.import_module(f"{self.package}.{stem}"), stem)

    def path(self, name: str) -> Path:
        """The source file behind a name."""
        package = importlib.import_module(self.package)
        return Path(next(iter(package.__path__))) / f"{self.canonical(name).replace('-', '_')}.py"
