"""`unlearn report RUN`: the record of a run as one page, for people who did not run it. Loads no torch."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from unlearn_cli.atomic import write_atomically
from unlearn_cli.config import RecordConfig
from unlearn_cli.console import Reporter
from unlearn_cli.errors import EXIT_FAILED, UnlearnError
from unlearn_cli.recipes.auditing import chain
from unlearn_cli.recipes.auditing.claim import Claim, judge
from unlearn_cli.recipes.auditing.evidence import Evidence, gather
from unlearn_cli.recipes.auditing.page import content
from unlearn_cli.recipes.auditing.people import Person, Queries, subjects, verdicts
from unlearn_cli.recipes.auditing.verification import reading
from unlearn_cli.recipes.storage.lock import locked
from unlearn_cli.recipes.storage.output_files import check_file, write
from unlearn_cli.rendering.documents import record_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
PRINT = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-pdf-header-footer")
PRINT_SECONDS = 120


def run(config: RecordConfig, command_line: list[str], reporter: Reporter) -> dict[str, Any]:
    """Read the evidence, judge it, and write the page. Returns the claim and the verdicts on people as plain values.

    Raises:
        UnlearnError: the folder has no run, a file cannot be written, or no browser can print the PDF.
    """
    if not (config.html or config.pdf or config.json_output):
        raise UnlearnError("no output is given for the record", "--html FILE, --pdf FILE, or --json")
    for flag in ("html", "pdf"):
        if path := getattr(config, flag):
            check_file(f"--{flag}", path)
    printer = browser() if config.pdf else None
    with reading(reporter) as advance:
        evidence = gather(config, advance)
    claim = judge(evidence)
    who = subjects(config.subject_id, evidence.run.data["forget"], evidence.run.config.get("limit"))
    people = verdicts(evidence, claim, who, Queries(config.queries, config.confidence))
    page = record_page(**content(evidence, claim, people, config))
    write(config.html, page, reporter)
    if config.pdf and printer:
        print_page(page, config.pdf, printer)
    _say(claim, people, reporter)
    _add_to_lineage(config, command_line, reporter)
    return _summary(evidence, claim, people)


def browser() -> str:
    """The path of a browser that can print.

    Raises:
        UnlearnError: none is installed.
    """
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise UnlearnError(
        "--pdf needs a browser that can print", f"install Chromium ({BROWSERS[0]}), or print the page of --html yourself"
    )


def print_page(page: str, path: Path, printer: str) -> None:
    """Print the page to a PDF.

    Raises:
        UnlearnError: the browser failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "record.html", Path(folder) / "record.pdf"
        source.write_text(page, encoding="utf-8")
        command = [printer, *PRINT, f"--user-data-dir={folder}/profile", f"--print-to-pdf={target}", source.as_uri()]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=PRINT_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnlearnError(f"--pdf: {printer} failed: {error}", "print the page of --html", EXIT_FAILED) from None
        if result.returncode or not target.is_file():
            why = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UnlearnError(f"--pdf: {printer} failed: {why}", "print the page of --html", EXIT_FAILED)
        write_atomically(path, partial(shutil.copyfile, target))


def _say(claim: Claim, people: list[Person], reporter: Reporter) -> None:
    reporter.say(f"claim: {claim.wording}. {claim.sentence}")
    for condition in claim.missing:
        reporter.say(f"  not stronger, because this does not hold: {condition.text} ({condition.shown})")
    for person in people:
        reporter.say(f"{person.name}: {person.verdict}")


def _add_to_lineage(config: RecordConfig, command_line: list[str], reporter: Reporter) -> None:
    """Add the record to the lineage, so that `verify` sees whether it was edited."""
    files = [path for path in (config.html, config.pdf) if path is not None]
    for path in files:
        reporter.say(f"record: {path}")
    if not files:
        return
    try:
        with locked(config.run):
            chain.add_records(config.run, files, command_line)
    except UnlearnError as error:  # the run may be on a read-only disk
        reporter.note(f"the record is not in the run's lineage: {error.message}")


def _summary(evidence: Evidence, claim: Claim, people: list[Person]) -> dict[str, Any]:
    return {
        "run": str(evidence.folder),
        "claim": claim.wording,
        "sentence": claim.sentence,
        "adversary": claim.adversary,
        "conditions": [asdict(condition) for condition in claim.conditions],
        "people": [asdict(person) for person in people],
        "files_unchanged": evidence.files.whole if evidence.files else None,
    }
