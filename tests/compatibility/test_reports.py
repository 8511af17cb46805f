"""Reports of every schema that there was stay readable: shown, compared, and used as a config."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import unlearn
from tests.compatibility.shapes import KINDS, REPORTS, present
from unlearn_cli.config import ForgetConfig, resolve
from unlearn_cli.report import SCHEMA_VERSION, read_report

RUNS = sorted(REPORTS.glob("run-*.json"))
ATTACKS = sorted(REPORTS.glob("attack-*.json"))


def placed(report: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copy(report, folder / "report.json")
    return folder


@pytest.mark.parametrize("report", RUNS, ids=lambda path: path.stem)
def test_a_run_of_an_earlier_release(tmp_path: Path, report: Path) -> None:
    run = placed(report, tmp_path / "run")
    assert read_report(run).scores["forget"]["probability"].after.value == 0.5
    for command in (("report", "show", run), ("report", "show", run, "--json"), ("compare", run)):
        done = unlearn(*command)
        assert done.exit_code == 0 and "0.5" in done.stdout, done.stderr
    assert resolve(ForgetConfig, {}, run / "report.json")[0].method == "npo"


@pytest.mark.parametrize("report", ATTACKS, ids=lambda path: path.stem)
def test_an_attack_of_an_earlier_release(tmp_path: Path, report: Path) -> None:
    run = placed(RUNS[-1], tmp_path / "run")
    attack = placed(report, run / "attacks" / "relearn")
    for command in (("report", "show", attack), ("compare", run)):
        done = unlearn(*command)
        assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_the_present_schema_has_its_report(kind: str) -> None:
    assert present(kind), "python -m tests.compatibility.shapes"


def test_reports_of_all_releases_compare_with_each_other(tmp_path: Path) -> None:
    runs = [placed(report, tmp_path / report.stem) for report in RUNS]
    done = unlearn("compare", *runs, "--json")
    assert done.exit_code == 0 and len(json.loads(done.stdout)["runs"]) == len(RUNS), done.stderr


def test_a_report_of_the_next_major_version_is_refused(tmp_path: Path) -> None:
    report = json.loads(RUNS[-1].read_text()) | {"schema_version": "2.0"}
    (tmp_path / "report.json").write_text(json.dumps(report))
    done = unlearn("report", "show", tmp_path)
    assert done.exit_code == 2 and f"has schema version 2.0; this program reads {SCHEMA_VERSION}" in done.stderr
    assert "hint: " in done.stderr
