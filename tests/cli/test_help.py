"""`--help` on any terminal: names whole, examples that can be pasted, nothing wider than the screen."""

import gc
import re
import shlex
import sys

import pytest
from typer.main import get_command

from tests.cli.running import unlearn
from unlearn_cli.cli import app
from unlearn_cli.cli.app import build
from unlearn_cli.cli.help import broken

COMMANDS = sorted(get_command(build()).commands)
WITH_MANY = ("forget", "evaluate", "compare", "sweep", "relearn-attack")  # options: two levels of help


def shown(monkeypatch, width, *command):
    monkeypatch.setenv("COLUMNS", str(width))
    result = unlearn(*command, "--help-all" if command and command[0] in WITH_MANY else "--help")
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_named_in_full_on_a_page_that_fits(monkeypatch, name, width):
    page = shown(monkeypatch, width, name)
    assert "…" not in page and "<bool>" not in page and "[bold]" not in page
    assert max(map(len, page.splitlines())) <= width
    words = set(re.findall(r"--[\w-]+", page))
    for parameter in get_command(build()).commands[name].params:
        assert parameter.param_type_name == "argument" or words >= {flag for flag in parameter.opts if flag[:2] == "--"}


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_examples_can_be_pasted(monkeypatch, name, width):
    """With backslashes taken for what a shell takes them for, the lines are those of the source."""
    page = shown(monkeypatch, width, name)
    source = (get_command(build()).commands[name].help or "").split("\n")
    wanted = [shlex.split(line) for line in source if line.startswith("  unlearn")]
    whole = page.replace("\\\n", " ").splitlines()
    assert [shlex.split(line) for line in whole if line.startswith("  unlearn")] == wanted


@pytest.mark.parametrize("name", WITH_MANY)
def test_help_shows_the_usual_options_and_names_the_page_with_all(monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "100")
    page = unlearn(name, "--help").stdout
    flags = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", page.partition("\nOptions\n")[2], re.M))
    every = {flag for parameter in get_command(build()).commands[name].params for flag in parameter.opts if flag[:2] == "--"}
    assert 9 <= len(flags) <= 17 and flags <= every | {"--help"} and "--config" in flags
    left = int(re.search(rf"(\d+) more options, in groups: unlearn {name} --help-all", page)[1])
    assert left == len(every | {"--help"}) - len(flags)


def test_paragraphs_fill_the_line(monkeypatch):
    line = "The forget rows are those of the run's report: the attacker gets half, the other half judges. The same attack"
    assert line in shown(monkeypatch, 120, "relearn-attack")


def test_the_overview_names_every_command(monkeypatch):
    page = shown(monkeypatch, 60)
    assert all(f"  {name} " in page for name in COMMANDS) and "--install-completion " in page


def test_a_long_line_is_broken_between_options():
    line = "  unlearn x --first 'a b' c --json | jq .x"
    assert broken(line, 80) == [line]
    assert broken(line, 26) == ["  unlearn x \\", "      --first 'a b' c \\", "      --json | jq .x"]
    assert broken(line, 18)[-2:] == ["      c --json \\", "      | jq .x"]


def test_a_command_seldom_looks_for_garbage_and_not_at_its_end(monkeypatch):
    """Imports leave a million objects that live to the end: to walk through them took a seventh of a short run."""
    usual, frozen = gc.get_threshold(), []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.get_threshold()[0]))
    monkeypatch.setattr(sys, "argv", ["unlearn", "--version"])
    try:
        with pytest.raises(SystemExit):
            app.main()
    finally:
        gc.set_threshold(*usual)
    assert frozen == [app.COLLECT_AFTER]
