"""The form of a Hub data set on the command line: hf:org/name[/config][@revision][:split]."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unlearn_cli.errors import UnlearnError

PREFIX = "hf:"

# A split may be a slice or a sum as `datasets` writes them: train[:10%], train+test.
_SPEC = re.compile(
    r"hf:(?P<repo>\w[\w.-]*(?:/\w[\w.-]*)?)(?:/(?P<config>[^/@:\s]+))?(?:@(?P<revision>[^@:\s]+))?"
    r"(?::(?P<split>\w[\w.-]*(?:\[[^\[\]\s]*\])?(?:\+\w[\w.-]*(?:\[[^\[\]\s]*\])?)*))?",
    re.ASCII,
)


@dataclass(frozen=True)
class HubSpec:
    """One split of a data set on the Hub."""

    repo: str  # org/name, or a bare name for data sets from before organizations existed
    config: str | None
    revision: str | None  # branch, tag or commit
    split: str

    @property
    def split_names(self) -> list[str]:
        """The splits without slices: "train[:10]+test" has train and test."""
        return [part.partition("[")[0] for part in self.split.split("+")]

    def written(self, *, config: str | None = None, split: str | None = None) -> str:
        """The specification with another configuration or split, in the form that users type."""
        config, revision = config or self.config, self.revision
        return (
            f"{PREFIX}{self.repo}"
            + (f"/{config}" if config else "")
            + (f"@{revision}" if revision else "")
            + f":{split or self.split}"
        )


def parse_hub_spec(spec: str) -> HubSpec:
    """The parts of a specification. The default split is `train`.

    Raises:
        UnlearnError: `spec` is malformed.
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise UnlearnError(
            f"'{spec}' does not name a data set of the Hub",
            "write hf:org/name:split or hf:org/name/config@revision:split",
        )
    return HubSpec(match["repo"], match["config"], match["revision"], match["split"] or "train")
