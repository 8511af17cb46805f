"""The marker `cli`, set here for every test that starts a command or trains, so that the fast lane needs no list.

And the coverage of pytest-xdist's workers.
"""

from __future__ import annotations

from pathlib import Path

import coverage
import pytest

TESTS = Path(__file__).parent
FOLDERS = {TESTS / "cli", TESTS / "demo"}
# A module that imports one of these starts a command or a process, or trains.
STARTERS = {"unlearn", "started", "server", "subprocess", "unlearn_cli", "forget", "CliRunner"}


@pytest.hookimpl(tryfirst=True)  # before pytest selects by -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module = getattr(item, "module", None)
        if FOLDERS & set(item.path.parents) or (module and STARTERS & set(vars(module))):
            item.add_marker(pytest.mark.cli)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Save what coverage.py saw, if it runs: pytest-xdist kills a worker that takes more than ten seconds to end."""
    if measuring := coverage.Coverage.current():
        measuring.save()
