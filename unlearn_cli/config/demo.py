"""Settings of `unlearn demo`."""

from __future__ import annotations

from pathlib import Path

from unlearn_cli.config.groups import ShownOptions
from unlearn_cli.config.option import option


class DemoConfig(ShownOptions):
    """Settings of `unlearn demo`."""

    keep: Path | None = option(
        None, "leave model, data and run in this folder; default: a temporary one", "Output", metavar="DIR"
    )
