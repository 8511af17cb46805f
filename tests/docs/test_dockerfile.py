"""The Dockerfile, linted: what hadolint and the docs of Docker ask for, as far as a file of this size can break it."""

import re
import tomllib

import pytest

from tests.docs.test_docs import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
KNOWN = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "ENTRYPOINT", "CMD", "LABEL", "ARG"}


def instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction and its arguments, with continued lines joined and comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def complaints(text: str) -> list[str]:
    """What is wrong with a Dockerfile, by the number of hadolint's rule where it has one."""
    parts = instructions(text)
    words = [word for word, _ in parts]
    of = {word: [rest for name, rest in parts if name == word] for word in set(words)}
    runs, folders = of.get("RUN", []), of.get("WORKDIR", [])
    said = {
        "an unknown instruction": bool(set(words) - KNOWN),
        "DL3006, DL3007: the base has no tag, or `latest`": any(
            ":" not in base or base.endswith(":latest") for base in of.get("FROM", [""])
        ),
        "DL3000: WORKDIR is not absolute": any(not folder.startswith("/") for folder in folders),
        "DL3002: the last user is root": of.get("USER", ["root"])[-1] in ("root", "0"),
        "DL3003: cd instead of WORKDIR": any(re.match(r"cd\s", run) for run in runs),
        "DL3004: sudo": any("sudo " in run for run in runs),
        "DL3009, DL3015: apt leaves its lists or recommends": any(
            "apt-get install" in run and not ("--no-install-recommends" in run and "rm -rf /var/lib/apt/lists" in run)
            for run in runs
        ),
        "DL3020: ADD instead of COPY": "ADD" in words,
        "DL3025: ENTRYPOINT or CMD is no JSON list": any(
            not rest.startswith("[") for word, rest in parts if word in ("ENTRYPOINT", "CMD")
        ),
        "DL3042: pip keeps its cache": any("pip install" in run and "--no-cache-dir" not in run for run in runs),
        "a secret in the image": bool(re.search(r"(?i)(token|password|secret)\s*=", text)),
    }
    return [what for what, wrong in said.items() if wrong]


def test_the_dockerfile_has_no_fault():
    assert complaints(TEXT) == []


@pytest.mark.parametrize("old, new, rule", [
    ("FROM python:3.12-slim-bookworm", "FROM python", "DL3006"),
    ("USER unlearn", "USER root", "DL3002"),
    ("WORKDIR /work", "WORKDIR work", "DL3000"),
    ("COPY unlearn_cli", "ADD unlearn_cli", "DL3020"),
    ("--no-cache-dir ", "", "DL3042"),
    ('ENTRYPOINT ["unlearn"]', "ENTRYPOINT unlearn", "DL3025"),
    ("PYTHONUNBUFFERED=1", "HF_TOKEN=hf_1", "secret"),
    ("RUN pip", "RUN apt-get install -y git && pip", "DL3009"),
])  # fmt: skip
def test_a_planted_fault_is_seen(old, new, rule):
    assert old in TEXT
    assert any(rule in said for said in complaints(TEXT.replace(old, new)))


def test_what_it_copies_is_there_and_not_ignored():
    """.dockerignore leaves everything out but what is named; all that the package's metadata names must be in."""
    sources = [name for word, rest in instructions(TEXT) if word == "COPY" for name in rest.split()[:-1]]
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / name).exists() for name in sources) and set(sources) == let_in
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {project["readme"], *project["license-files"], "pyproject.toml", "unlearn_cli"} <= let_in


def test_its_python_is_one_that_the_package_supports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = re.search(r"^FROM python:3\.(\d+)", TEXT, re.M)
    least = re.search(r"3\.(\d+)", project["requires-python"])
    assert version and least and int(version[1]) >= int(least[1])


def test_its_variables_and_commands_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "unlearn" in project["scripts"] and 'ENTRYPOINT ["unlearn"]' in TEXT
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "unlearn_cli").rglob("*.py"))
    variables = re.findall(r"(UNLEARN_\w+)=", TEXT)
    assert variables and all(name in code for name in variables)
