"""Neutral text of this project's own, about nothing that anybody would want forgotten."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from unlearn_cli.data.example import Example


@cache
def unrelated() -> tuple[Example, ...]:
    """One raw document for each paragraph of unrelated.txt."""
    text = files("unlearn_cli.data").joinpath("unrelated.txt").read_text(encoding="utf-8")
    paragraphs = [part.strip().replace("\n", " ") for part in text.split("\n\n")]
    return tuple(Example(f"unrelated-{i}", (), part, "text") for i, part in enumerate(p for p in paragraphs if p))
