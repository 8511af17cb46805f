"""stdout for programs: a reader that goes, a disk that is full, and tables that are what a command was called for."""

import json
import subprocess
from pathlib import Path

import pytest
import typer

from tests.cli.fresh import COMMAND_LINE, server
from tests.cli.running import QUICK, data_arguments, read_report, unlearn
from unlearn_cli.cli.app import build

COMMANDS = ["list attacks", "report schema", "--help", "--version"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipes")
    result = unlearn("forget", *data_arguments(folder), *QUICK, "-o", folder / "run")
    assert (folder / "run" / "report.json").is_file(), result.stderr
    return folder / "run"


def into(stdout, *arguments):
    """Exit code and stderr of `unlearn ARGUMENTS` with its stdout there."""
    done = server(COMMAND_LINE).run(*arguments, stdout=stdout)
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", [*COMMANDS, "report show RUN", "report show RUN --json", "compare RUN --json"])
def test_a_reader_that_has_gone_is_no_bug(command, run):
    process = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    process.wait()  # nobody reads the pipe from here on
    code, said = into(process.stdin, *command.replace("RUN", str(run)).split())
    assert code == 141
    assert "BrokenPipe" not in said and "bug" not in said and "error" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["list attacks", "--help", "--version", "report show RUN"])
def test_a_full_disk_is_told_in_a_line(command, run):
    with open("/dev/full", "w") as full:
        code, said = into(full, *command.replace("RUN", str(run)).split())
    assert code == 1
    assert said.splitlines()[-1] == "error: cannot write to stdout: No space left on device"


def test_the_table_of_a_report_is_on_stdout(run, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    result = unlearn("report", "show", run)
    assert result.exit_code == 0 and "rouge_l" in result.stdout and "rouge_l" not in result.stderr


def test_the_scores_of_a_report_as_json(run):
    shown = json.loads(unlearn("report", "show", run, "--json").stdout)
    assert shown["scores"] == read_report(run)["scores"] and shown["command"] == "forget"


def test_every_command_has_json():
    """The schema is nothing else."""

    def commands(group, before=()):
        for name, command in group.commands.items():
            yield from commands(command, (*before, name)) if hasattr(command, "commands") else [((*before, name), command)]

    every = dict(commands(typer.main.get_command(build())))
    without = [name for name, one in every.items() if not any("--json" in parameter.opts for parameter in one.params)]
    assert len(every) > 15 and without == [("report", "schema")]


def test_the_environment_as_lines_and_as_json():
    facts = json.loads(unlearn("env", "--json").stdout)
    lines = dict(line.split(maxsplit=1) for line in unlearn("env").stdout.splitlines() if line.split()[0] != "cpu")
    assert lines["torch"] == facts["packages"]["torch"] and lines["python"] == facts["python"] and len(lines) > 15
