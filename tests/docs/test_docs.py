"""What the README and the docs say is so."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_generated_reference_is_current():
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))["catalogue"]()
    assert (ROOT / "docs" / "reference" / "catalogue.md").read_text(encoding="utf-8") == made, "run docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readme_opens_with_the_two_lines():
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert blocks[0].strip() == "pip install . && unlearn demo"
    assert blocks[1].strip() == 'pip install ".[test]" && pytest'


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_in_the_docs_exist(page):
    from typer.main import get_command

    from unlearn_cli.cli.app import build

    known = {"--extra-index-url", "--check", "--repo-type"}
    for command in get_command(build()).commands.values():
        known |= {flag for parameter in command.params for flag in getattr(parameter, "opts", [])} | {"--help"}
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", page.read_text(encoding="utf-8"))):
        assert flag in known, f"{page.name}: {flag}"
