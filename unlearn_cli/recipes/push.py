"""`unlearn push`: a run folder on the Hub, without the rows that were to be forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from unlearn_cli.config import PushConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data.hub_errors import hub_error
from unlearn_cli.errors import UnlearnError
from unlearn_cli.report import read_report

# What a run folder holds beside its artefact: only what has no text of the rows goes.
SHARED = {"report.json", "README.md", "unlearn.json", "metrics.jsonl"}
HELD_BACK = {"plan.json", "alternatives.json", "measured", "reference", "checkpoints", "attacks", "evaluation", "tracking"}
ARTEFACT = (".safetensors", ".json", ".jinja", ".model", ".txt")
SAMPLES = {"measured", "rows.jsonl"}  # texts, and the ids of rows, which may be names


def files(run: Path, *, samples: bool) -> list[str]:
    """Names of what is uploaded, relative to the run folder."""
    chosen = []
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run)
        if not path.is_file() or path.name.startswith("."):
            continue
        first = name.parts[0]
        report = first == "attacks" and path.name == "report.json"
        artefact = first in SHARED or (first not in HELD_BACK and path.suffix in ARTEFACT)
        if artefact or report or (samples and first in SAMPLES):
            chosen.append(name.as_posix())
    return chosen


def run(config: PushConfig, sources: dict[str, str], reporter: Reporter) -> dict[str, Any]:
    """Upload; returns the repository's address (None after a dry run) and the names of the files.

    Raises:
        UnlearnError: no run, no repository, a public one that is not meant to be, or the Hub refuses.
    """
    report = read_report(config.run)
    if report.command != "forget" or report.artifact is None:
        raise UnlearnError(f"{config.run} holds no artefact", "a finished run of `unlearn forget` is expected")
    if config.repo.count("/") != 1:
        raise UnlearnError(f"'{config.repo}' is no repository", "unlearn push RUN org/name")
    chosen = files(config.run, samples=config.include_samples)
    if Path(report.config["model"]).is_dir() and report.artifact.kind != "model":
        reporter.note(
            "the base is a folder on this machine: others need its path in adapter_config.json changed to load this"
        )
    if config.include_samples:
        reporter.note("measured/ goes along: it holds the rows that were to be forgotten")
    if config.dry_run:
        reporter.say(f"{len(chosen)} files would go to {config.repo} ({'public' if config.public else 'private'})")
        return {"repo": config.repo, "address": None, "private": not config.public, "files": chosen}
    with hub_error(config.repo, "model"):
        api = HfApi()
        address = api.create_repo(config.repo, private=not config.public, exist_ok=True)
        private = bool(api.model_info(config.repo).private)
        if not private and not config.public:
            raise UnlearnError(f"{config.repo} is there already, and public", "--public if that is meant")
        reporter.say(f"uploading {len(chosen)} files to {config.repo}")
        message = f"{report.config['method']}: {report.data['forget'].rows} rows forgotten ({report.status})"
        api.upload_folder(repo_id=config.repo, folder_path=config.run, allow_patterns=chosen, commit_message=message)
    return {"repo": config.repo, "address": str(address), "private": private, "files": chosen}
