"""Run the body of a command that has no settings, with the same treatment of errors as the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_cli.console import Reporter


def execute_plain(run: Callable[[Reporter], None]) -> None:
    """Call `run(reporter)`; what it raises becomes words on stderr and an exit code."""
    from unlearn_cli.cli.options import execute  # noqa: PLC0415 - pydantic, which the overview does not need
    from unlearn_cli.config import Options  # noqa: PLC0415

    execute(lambda: (Options(), {}), lambda _config, _sources, _argv, reporter: run(reporter), debug=False)
