"""How a data set of the Hub is written."""

from __future__ import annotations

import pytest

from unlearn_cli.data.hub_spec import HubSpec, parse_hub_spec
from unlearn_cli.data.load import load_split
from unlearn_cli.errors import EXIT_USAGE, UnlearnError


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("hf:locuslab/TOFU:train", HubSpec("locuslab/TOFU", None, None, "train")),
        ("hf:locuslab/TOFU", HubSpec("locuslab/TOFU", None, None, "train")),
        ("hf:locuslab/TOFU/forget10:test", HubSpec("locuslab/TOFU", "forget10", None, "test")),
        ("hf:org/na-me.v1_2/con.fig-1@v1.0:validation", HubSpec("org/na-me.v1_2", "con.fig-1", "v1.0", "validation")),
        ("hf:org/name@refs/convert/parquet:train", HubSpec("org/name", None, "refs/convert/parquet", "train")),
        ("hf:org/name@0123abc", HubSpec("org/name", None, "0123abc", "train")),
        ("hf:squad:validation", HubSpec("squad", None, None, "validation")),
        ("hf:org/name:train[:10%]+test", HubSpec("org/name", None, None, "train[:10%]+test")),
    ],
)
def test_parsed(spec: str, parsed: HubSpec) -> None:
    assert parse_hub_spec(spec) == parsed
    assert parsed.written() in (spec, f"{spec}:train")


def test_split_names() -> None:
    assert parse_hub_spec("hf:a/b:train[:10%]+test").split_names == ["train", "test"]


@pytest.mark.parametrize(
    "spec",
    ["hf:", "hf:org/", "hf:/name", "hf://datasets/org/name", "hf:org/name:", "hf:org/name@:train",
     "hf:org/name/a/b:train", "hf:org/name train", "hf:../x", "hf:org/name:tr ain",
     "hf:org/name:train[", "hf:org/name::train"],
)  # fmt: skip
def test_malformed(spec: str) -> None:
    with pytest.raises(UnlearnError, match="does not name a data set of the Hub") as caught:
        load_split("forget", spec)
    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.hint == "write hf:org/name:split or hf:org/name/config@revision:split"
