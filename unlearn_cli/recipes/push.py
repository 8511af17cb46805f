"""`unlearn push`: upload a run folder to the Hub, without the forget rows."""

from __future__ import annotations

from collections.abc import Collection
from glob import escape
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, get_token

from unlearn_cli.attack_report import read_attack
from unlearn_cli.config import PushConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data.hub_errors import hub_error, offline_upload
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.run_files import check_files
from unlearn_cli.recipes.storage.lock import check_free, check_links
from unlearn_cli.recipes.storage.sharing import ATTACKS, is_shared, is_stale
from unlearn_cli.report import FILE, read_report


def files(run: Path, artifact_files: Collection[str], *, samples: bool) -> list[str]:
    """Files to upload, relative to the run folder. Files that unlearn did not write are left out."""
    names = (path.relative_to(run).as_posix() for path in sorted(run.rglob("*")) if path.is_file())
    return [name for name in names if is_shared(name, artifact_files, samples=samples)]


def check_upload(repo: str) -> None:
    """Check that an upload is possible, before hours of training.

    Raises:
        UnlearnError: offline, or no token.
    """
    if constants.HF_HUB_OFFLINE:
        raise offline_upload(repo)
    if get_token() is None:
        raise UnlearnError("no token for the Hub", "`hf auth login`, or HF_TOKEN")


def _named_rows(run: Path, chosen: Collection[str]) -> list[str]:
    """Ids of rows in the reports to upload, without those that are numbers: an id may be the name of a person."""
    of_attacks = {name for name in chosen if name.startswith(f"{ATTACKS}/")}
    reports = [read_report(run / name) for name in chosen if Path(name).name == FILE and name not in of_attacks]
    attacks = [read_attack(run / name) for name in of_attacks if Path(name).name == FILE]
    worst = [report.target.worst for report in reports if report.target]
    worst += [recovery.worst for attack in attacks for recovery in attack.recovery.values()]
    return sorted({row for rows in worst for row in rows if not row.partition("#")[0].isdigit()})


def run(config: PushConfig, reporter: Reporter) -> dict[str, Any]:
    """Upload the run. Returns the repository's address (None after a dry run) and the names of the files.

    Raises:
        UnlearnError: the folder has no finished run, or a file is not as the run wrote it; the repository is public without
            --public; or the Hub refuses.
    """
    report = read_report(config.run)
    if report.command != "forget" or report.artifact is None:
        raise UnlearnError(f"{config.run} has no artifact", "a finished run of `unlearn forget` is expected")
    check_files(config.run, report)
    check_links(config.run)
    check_free(config.run)  # another process may be half way through an evaluation
    chosen = files(config.run, report.artifact.files, samples=config.include_samples)
    if Path(report.config["model"]).is_dir() and report.artifact.kind != "model":
        reporter.note(
            "the base is a folder on this machine: to load this, others have to change its path in adapter_config.json"
        )
    if named := _named_rows(config.run, chosen):
        reporter.note(
            f"the reports and the card name {len(named)} rows by their ids ({', '.join(named[:3])}): a reader of the upload "
            "sees them. Rows without a column `id` have numbers instead"
        )
    if subject := report.config.get("about"):
        reporter.note(f"the report and the card name what was forgotten ({subject}), in the settings and the command line")
    if config.include_samples:
        reporter.note("measured/ is uploaded too: it contains the rows to forget")
    if config.dry_run:
        reporter.say(f"{len(chosen)} files would go to {config.repo} ({'public' if config.public else 'private'})")
        return {"repo": config.repo, "address": None, "private": not config.public, "files": chosen}
    with hub_error(config.repo, "model", upload=True):
        api = HfApi()
        address = api.create_repo(config.repo, private=not config.public, exist_ok=True)
        about = api.model_info(config.repo)
        private = bool(about.private)
        if not private and not config.public:
            raise UnlearnError(f"{config.repo} exists already and is public", "--public, if the upload may be public")
        stale = sorted(one.rfilename for one in about.siblings or () if is_stale(one.rfilename, chosen))
        if stale:
            reporter.note(f"{len(stale)} files of an earlier upload are removed ({stale[0]}, ...); the history keeps them")
        reporter.say(f"uploading {len(chosen)} files to {config.repo}")
        message = f"{report.config.get('method')}: {report.data['forget'].rows} rows forgotten ({report.status})"
        api.upload_folder(
            repo_id=config.repo,
            folder_path=config.run,
            allow_patterns=[escape(name) for name in chosen],
            delete_patterns=stale or None,
            commit_message=message,
        )
    return {"repo": config.repo, "address": str(address), "private": private, "files": chosen}
