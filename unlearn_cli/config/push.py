"""Settings of `unlearn push`."""

from __future__ import annotations

from unlearn_cli.config.groups import RunOptions, ShownOptions
from unlearn_cli.config.option import Repository, option


class PushConfig(ShownOptions, RunOptions):
    """Settings of `unlearn push`."""

    repo: Repository = option(
        "", "repository on the Hub, org/name; made if it is not there", "Model", metavar="REPO", required=True
    )
    public: bool = option(False, "visible to everybody; otherwise private", "Output", consent="set")
    include_samples: bool = option(
        False, "upload measured/ too: forget questions, true answers and what the model said", "Output", consent="set"
    )
    dry_run: bool = option(False, "list what would be uploaded, and stop", "Output", runtime=True)
