"""What a shell may complete: names of files in the registries, and the words a setting may be. Imports no entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unlearn_cli.recipes.catalogue import KINDS, named

Complete = Callable[[str], list[str]]


def words(known: Sequence[str], *, several: bool = False) -> Complete:
    """Complete one of these, or with `several` the last of a list with commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",") if several else ("", "", "")
        return [before + comma + word for word in known]

    return complete


def names(kind: str, *, several: bool = False) -> Complete:
    """Complete the names of a kind, as `unlearn list KIND` has them."""
    return lambda incomplete: words(named(kind), several=several)(incomplete)


def every_name(incomplete: str) -> list[str]:
    """Complete any name that `unlearn show` knows."""
    return [name for kind in KINDS for name in named(kind)]
