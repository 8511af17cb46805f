"""Settings of `unlearn clean`."""

from __future__ import annotations

from unlearn_cli.config.groups import RunOptions, ShownOptions
from unlearn_cli.config.option import option


class CleanConfig(ShownOptions, RunOptions):
    """Settings of `unlearn clean`."""

    dry_run: bool = option(False, "list what would be removed, and stop", "Output", runtime=True)
