"""`unlearn verify`: whether the files of a run have the hashes in its lineage. Loads no torch."""

from __future__ import annotations

import shlex
from typing import Any

from rich.table import Table
from rich.text import Text

from unlearn_cli.config import VerifyConfig
from unlearn_cli.console import Reporter
from unlearn_cli.errors import EXIT_FAILED, UnlearnError
from unlearn_cli.recipes.auditing import signing
from unlearn_cli.recipes.auditing.verification import STATES, Verification, reading, verification
from unlearn_cli.recipes.storage.lock import locked

STYLES = {"unchanged": "", "changed": "bold red", "missing": "bold red", "left out": "dim", "added": "bold yellow"}


def run(config: VerifyConfig, reporter: Reporter) -> tuple[dict[str, Any], bool]:
    """Compare every file with its hash, and check or make a signature. Returns the result, and whether all is well.

    Raises:
        UnlearnError: the run has no lineage, a key cannot be used, or --sign-with is given and a file has changed.
    """
    with reading(reporter) as advance:
        checked = verification(config.run, config.place, advance)
    if config.sign_with:
        if not checked.whole:
            raise UnlearnError(
                f"not signed: {_summary(checked)}",
                f"`unlearn verify {shlex.quote(str(config.run))}` lists the files",
                EXIT_FAILED,
            )
        with locked(config.run):
            signing.sign(checked.links[-1], config.sign_with)
    signature = signing.check(checked.links, config.key)
    reporter.say(f"{_summary(checked)}; {checked.read / 1e6:,.1f} MB read in {checked.seconds:.1f} s")
    if checked.count("left out"):
        reporter.say("left out: files with rows, which `unlearn push` does not upload; all of them are absent here")
    for place in checked.not_here:
        reporter.say(f"{place} is not at {checked.places[place]}: --place {place}=DIR says where it is now")
    reporter.say(signature.in_words(len(checked.links)))
    well = checked.whole and signature.state != "bad" and not (config.key and signature.state == "not signed")
    result = checked.as_dict() | {"signature": {"state": signature.state, "links": signature.links, "key": signature.key}}
    return result, well


def states_table(result: dict[str, Any]) -> Table:
    """A row for each file: its state, its place and name, and the first digits of its hash."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("state", "file", "sha256"):
        table.add_column(name, overflow="fold", no_wrap=name != "file")
    for file in result["files"]:
        sha = (file["actual"] or file["expected"] or "")[:12]
        style = STYLES[file["state"]]
        table.add_row(Text(file["state"], style=style), Text(f"{file['place']}/{file['file']}", style=style), sha)
    return table


def _summary(checked: Verification) -> str:
    counts = {state: checked.count(state) for state in STATES}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count or state == "unchanged")
