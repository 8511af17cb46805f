"""Names of methods, retain terms, metrics and formats: the stems of their files, which are imported on use.

A registry lists its names without importing the files, so a typing error is answered before torch is loaded. The
file `grad_diff.py` is `grad-diff` on the command line; either spelling is accepted. Other distributions add entries
through the entry-point group that has the package's name. A path that ends in `.py` is an entry of the user's own.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from unlearn_cli.errors import UnlearnError

Entry = TypeVar("Entry")

ALIASES = {  # names that other tools, or earlier versions, have for our options
    "lr": "learning_rate", "num_train_epochs": "epochs", "per_device_train_batch_size": "batch_size",
    "model_name_or_path": "model", "lora_rank": "lora_r", "target_modules": "lora_target_modules",
    "output": "output_dir", "num_epochs": "epochs", "grad_accum": "gradient_accumulation_steps",
    "max_seq_length": "max_length", "4bit": "load_in_4bit",
    "8bit": "load_in_8bit", "forget_data": "forget", "retain_data": "retain", "neighbours": "neighbors",
}  # fmt: skip


MANY = 30  # more names than these are not listed in a hint


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely stands for, or None."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(kind: str, name: str, known: Iterable[str], *, where: str | None = None) -> UnlearnError:
    """The error for an unknown name; the hint has the nearest name, and `where` or the names if they are few."""
    names = sorted(known)
    guess = closest(name, names)
    if where is None and not (guess and len(names) > MANY):
        where = f"known: {', '.join(names)}"
    hint = [f"did you mean '{guess}'?"] if guess else []
    return UnlearnError(f"unknown {kind} '{name}'", " ".join([*hint, *([where] if where else [])]))


@cache
def _installed(group: str) -> dict[str, EntryPoint]:
    return {point.name.replace("_", "-"): point for point in entry_points(group=group)}


@cache
def _stems(package: str) -> frozenset[str]:
    """Names of a package's files as the command line spells them. A run asks for names hundreds of times."""
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return frozenset(module.name.replace("_", "-") for module in modules if not module.name.startswith("_"))


def is_file(name: str) -> bool:
    """Whether a name is the path of a file."""
    return name.strip().endswith(".py")


@cache
def _from_file(kind: str, path: Path) -> Any:
    """The one declared function in a file.

    Raises:
        UnlearnError: the file does not exist, it fails while it runs, or it declares none or several functions.
    """
    if not path.is_file():
        raise UnlearnError(f"{kind} file not found: {path}", "a Python file is expected: docs/contributing.md shows one")
    spec = importlib.util.spec_from_file_location(f"unlearn_user_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # the path of an existing .py file
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # type hints of its functions are resolved there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UnlearnError(
            f"{path} cannot be loaded: {type(error).__name__}: {error}",
            f"python {path} shows where; docs/contributing.md has a {kind} file that works",
        ) from error
    declared = [x for x in vars(module).values() if getattr(getattr(x, "function", None), "__module__", "") == spec.name]
    if len(declared) != 1:
        raise UnlearnError(
            f"{path} declares {len(declared)} functions; one {kind} is expected",
            "docs/contributing.md shows one: a function with @method(...) from unlearn_cli.contract",
        )
    return declared[0]


@dataclass(frozen=True)
class Registry(Generic[Entry]):
    """The modules of one package, each with one decorated function of the same name, and the entries of plug-ins.

    `Registry[Metric]("metric", "unlearn_cli.metrics").get("rouge-l")` is a `Metric`.

    Args:
        kind: the name of an entry in messages, in the singular ("method").
        package: dotted name of the package. Its file stems are the names.
    """

    kind: str
    package: str

    def names(self) -> list[str]:
        """Names as the command line spells them, sorted; imports no entry."""
        return sorted(_stems(self.package) | set(_installed(self.package)))

    def has(self, name: str) -> bool:
        """Whether an entry of this name exists."""
        spelled = name.strip().lower().replace("_", "-")
        return spelled in _stems(self.package) or spelled in _installed(self.package)

    def canonical(self, name: str) -> str:
        """`name` in the command line's spelling.

        Raises:
            UnlearnError: no entry has this name; the hint gives the nearest name.
        """
        if not self.has(name):
            many = len(self.names()) > MANY
            entries = f"{self.kind.replace(' ', '-')}s"
            where = f"`unlearn list {entries}` shows all" if many else None
            raise unknown(self.kind, name, self.names(), where=where)
        return name.strip().lower().replace("_", "-")

    def summary(self, name: str) -> str:
        """The first line of an entry's docstring, read without importing it.

        Raises:
            UnlearnError: no entry has this name.
        """
        return next(iter((ast.get_docstring(self._parsed(name)) or "").splitlines()), "")

    def declared(self, name: str, keyword: str) -> Any:
        """A literal that an entry's decorator is given by keyword, read without importing it; None where it has none.

        Raises:
            UnlearnError: no entry has this name.
        """
        for function in (node for node in self._parsed(name).body if isinstance(node, ast.FunctionDef)):
            for decorator in (node for node in function.decorator_list if isinstance(node, ast.Call)):
                for given in decorator.keywords:
                    if given.arg == keyword and isinstance(given.value, ast.Constant):
                        return given.value.value
        return None

    def _parsed(self, name: str) -> ast.Module:
        spec = importlib.util.find_spec(self._module(self.canonical(name)))
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else "")

    def _module(self, spelled: str) -> str:
        point = _installed(self.package).get(spelled)
        return point.module if point else f"{self.package}.{spelled.replace('-', '_')}"

    def get(self, name: str) -> Entry:
        """Import one entry's file and return its declared function. A path that ends in `.py` is loaded as a file.

        Raises:
            UnlearnError: no entry has this name, or the user's own file cannot be used.
        """
        if is_file(name):
            return _from_file(self.kind, Path(name.strip()).expanduser().resolve())
        spelled = self.canonical(name)
        if spelled in _installed(self.package):
            return _installed(self.package)[spelled].load()
        return getattr(importlib.import_module(self._module(spelled)), spelled.replace("-", "_"))
