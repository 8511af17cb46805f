"""The workflow in docs/examples is one that GitHub Actions can read.

Its commands are those of docs/guides/ci.md, in their order, and `test_command_lines` runs the commands of every guide.
"""

from __future__ import annotations

import shlex

import yaml

from tests.docs.test_command_lines import ROOT, command_lines, of

WORKFLOW = yaml.safe_load((ROOT / "docs" / "examples" / "unlearn.yml").read_text(encoding="utf-8"))
GUIDE = ROOT / "docs" / "guides" / "ci.md"


def steps():
    return [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def commands() -> list[list[str]]:
    lines = [step["run"].replace('"$REQUEST"', "2026-114") for step in steps() if "run" in step]
    return [shlex.split(line)[1:] for line in lines if line.startswith("unlearn ")]


def test_it_has_what_a_workflow_needs():
    assert {"name", True, "jobs"} <= set(WORKFLOW)  # YAML reads `on` as true
    for job in WORKFLOW["jobs"].values():
        assert job["runs-on"] and job["steps"]
    for step in steps():
        assert ("run" in step) != ("uses" in step), step
        assert "uses" not in step or "@" in step["uses"]
    assert [words[0] for words in commands()] == ["forget", "evaluate", "relearn-attack", "verify", "report", "clean"]


def test_an_input_reaches_no_shell_but_by_the_environment():
    assert not [step for step in steps() if "${{" in step.get("run", "")]


def test_its_commands_are_those_of_the_guide_which_are_run():
    assert list(command_lines(GUIDE))[: len(commands())] == commands()
    assert of(GUIDE)[: len(commands())] == commands()  # the lines that are run
