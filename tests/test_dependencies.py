"""What the package imports is what pyproject.toml declares."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
# Never imported by name: backends that libraries look for themselves.
UNSEEN = {"accelerate", "httpx2", "trackio", "wandb", "tensorboard", "lm-eval", "matplotlib", "bitsandbytes"}


def normal(name):
    """A distribution's name without the rest of a requirement."""
    return re.match(r"[\w.-]+", name)[0].lower().replace("_", "-")


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = [one for extra in project["optional-dependencies"].values() for one in extra]
    return {normal(one) for one in project["dependencies"]}, {normal(one) for one in optional}


def imported():
    """Top-level names of packages of others that any file imports, with one file that does."""
    imports = {}
    for path in sorted((ROOT / "unlearn_cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            imports |= {name.split(".")[0]: path.name for name in names}
    return {name: path for name, path in imports.items() if name not in sys.stdlib_module_names | {"unlearn_cli"}}


@pytest.fixture(scope="module")
def owners():
    """Name of a package -> the distributions that it is in; all that is installed is read for it."""
    return packages_distributions()


def test_what_is_imported_is_declared(owners):
    always, optional = declared()
    missing = {}
    for name, path in imported().items():
        known = {normal(owner) for owner in owners.get(name, [name])}
        if not known & (always | optional):
            missing[name] = path
    assert missing == {}


def test_what_is_declared_is_used(owners):
    used = {normal(owner) for name in imported() for owner in owners.get(name, [name])}
    assert declared()[0] - used - UNSEEN == set()


def test_the_lock_file_pins_what_is_declared():
    """By hash, within the declared ranges, and from no place by name."""
    text = (ROOT / ".ci" / "requirements.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+)==([^ ;\\]+)", text, re.M)
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if entry.strip()]
    assert len(pins) == len(entries) and all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--(index|extra|find)", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(one) for one in (*project["dependencies"], *project["optional-dependencies"]["test"])]
    versions = {}
    for name, version in pins:
        versions.setdefault(normal(name), []).append(version)
    for one in wanted:
        pinned = versions.get(normal(one.name), [])
        assert pinned and all(one.specifier.contains(version) for version in pinned), f"{one}: uv pip compile, see .ci/lock"
