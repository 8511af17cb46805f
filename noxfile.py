"""The tests with the lowest and the highest versions that pyproject.toml allows, and on every Python.

    pip install nox uv && nox -s versions            # both ends, on this Python
    nox -s versions -- tests/cli/test_forget.py      # some tests only
    nox -s pythons

The lowest version of torch is a large download.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["versions"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
QUICK = ["-m", "not slow and not cli"]


def _tested(session: nox.Session, *resolution: str) -> None:
    session.install(".[test]", *resolution)
    session.run("pytest", *(session.posargs or QUICK))


@nox.session
@nox.parametrize("resolution", ["lowest-direct", "highest"])
def versions(session: nox.Session, resolution: str) -> None:
    """With the lowest versions of what is required, and with the highest."""
    _tested(session, "--resolution", resolution)


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """On every Python that is supported."""
    _tested(session)
