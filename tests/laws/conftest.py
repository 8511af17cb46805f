"""One finished run for all laws about what may happen to a command from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.running import data_arguments, unlearn
from tests.hub_server import FakeHub
from tests.laws.commands import STEPS, Place
from tests.laws.killing import whole


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("kill")
    data = data_arguments(folder)
    unlearn("--version")  # puts the application together, which forks then have
    done, _ = whole("forget", *data, *STEPS, "-o", folder / "run", said=folder / "said")
    assert done.code in (0, 4), done
    with FakeHub({"model": {}}) as hub:
        hub.uploads = folder / "hub"
        yield Place(data, folder / "run", hub)
