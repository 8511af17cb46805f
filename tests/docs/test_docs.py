"""What the README and the docs say is so."""

import ast
import json
import re
import runpy
from pathlib import Path

import pytest
from typer.main import get_command

from unlearn_cli.cli.app import build
from unlearn_cli.contract import METHODS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


GENERATED = ["catalogue.md", "commands.md", "memory.md", "report.md"]


@pytest.mark.parametrize("name", GENERATED)
def test_the_generated_reference_is_current(name):
    pages = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]
    assert sorted(pages) == GENERATED
    page = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    if name == "memory.md":  # the line of one model; the estimates of larger ones take seconds
        assert set(pages[name](["Llama 3.2 1B"]).splitlines()) <= set(page.splitlines()), "run docs/generate.py"
    else:
        assert page == pages[name](), "run docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def blocks(page: Path, *languages: str) -> list[str]:
    """The contents of a page's fenced code blocks in one of these languages; "" is a block without one."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M)
    return [text for language, text in fenced if language in languages]


def test_the_readme_opens_with_the_two_lines():
    first, second, *_ = blocks(ROOT / "README.md", "bash")
    assert first.strip() == "pip install . && unlearn demo"
    assert second.strip() == 'pip install ".[test]" && pytest'


def test_a_block_behind_one_of_another_language_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```text\nshown\n```\nwords\n```bash\nunlearn list methods\n```\n")
    assert blocks(page, "bash", "") == ["unlearn list methods\n"]


OF_OTHERS = {
    "--check", "--methods", "--strict", "--rm", "--gpus", "--user", "--to", "--execute", "--inplace", "--config",
    "--nproc-per-node", "--dist",
}  # fmt: skip


@pytest.fixture(scope="module")
def known_flags() -> set[str]:
    """The flags of all commands, and of other programs."""
    app = get_command(build())
    known = OF_OTHERS | {"--help"} | {flag for parameter in app.params for flag in parameter.opts}
    for command in [*app.commands.values(), *app.commands["report"].commands.values()]:
        known |= {flag for parameter in command.params for flag in getattr(parameter, "opts", [])}
    return known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_in_the_docs_exist(page, known_flags):
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", page.read_text(encoding="utf-8"))):
        assert flag in known_flags, f"{page.name}: {flag}"


OF_THE_READER = re.compile(r"NAME|\bmy_|mine\.py|log_odds")  # placeholders, and files that a reader writes


@pytest.fixture(scope="module")
def code() -> str:
    """Everything that can give a thing its name."""
    folders = ("unlearn_cli", "tests", "docs")
    return "".join(path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py"))


def unknown_names(text: str, code: str) -> list[str]:
    """Names in a page's `code` that look like those of Python, and files, that are nowhere."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M))
    words = {
        word for span in spans if not OF_THE_READER.search(span) for word in re.findall(r"[A-Za-z_]\w*(?:\.py\b)?", span)
    }
    files = {word for word in words if word.endswith(".py")}
    named = {word for word in words - files if "_" in word or re.match(r"[A-Z][a-z]+[A-Z]", word)}
    return sorted([w for w in named if w not in code] + [w for w in files if not any(ROOT.rglob(w))])


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "reference"], ids=lambda page: page.name)
def test_the_names_in_the_docs_are_those_of_the_code(page, code):
    assert unknown_names(page.read_text(encoding="utf-8"), code) == []


def test_a_planted_name_is_seen(code):
    text = "`ForgetConfig` in `config/forget.py`, `Forget" + "Settings` in `config/for" + "getting.py`, `-p my_beta=1`"
    assert unknown_names(text, code) == ["Forget" + "Settings", "for" + "getting.py"]


def test_every_method_has_its_advice_and_its_measured_row():
    guide = (ROOT / "docs" / "guides" / "methods.md").read_text(encoding="utf-8")
    table = json.loads((ROOT / "docs" / "reference" / "methods.json").read_text(encoding="utf-8"))["rows"]
    for name in METHODS.names():
        assert f"`{name}`" in guide, f"docs/guides/methods.md says nothing of {name}"
        assert name in table, f"{name}: python -m tests.benchmarks.method_table --methods {name}"


def test_the_table_is_made_from_its_data():
    script = runpy.run_path(str(ROOT / "tests" / "benchmarks" / "method_table.py"))
    table = json.loads((ROOT / "docs" / "reference" / "methods.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "reference" / "methods.md").read_text(encoding="utf-8")
    assert page == script["render"](table), "run python -m tests.benchmarks.method_table --render"


def test_the_method_shown_to_contributors_works(tmp_path):
    """The diff in docs/contributing.md, taken out and run: the file declares a method, its test passes."""
    text = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    (diff,) = re.findall(r"```diff\n(.*?)```", text, re.S)
    source, test = ("\n".join(line[1:] for line in part.splitlines() if line.startswith("+") and line[1:3] != "++")
                    for part in diff.split("--- /dev/null")[1:])  # fmt: skip
    file = tmp_path / "log_odds.py"
    file.write_text(source)
    method = METHODS.get(str(file))
    assert method.name == "log-odds"
    space: dict = {}
    exec(test.replace('METHODS.get("log-odds")', "log_odds"), {"log_odds": method}, space)
    space["test_worked_example"].__globals__.update(space)
    space["test_worked_example"]()


def test_the_errors_explained_are_those_that_are_raised():
    """Every message in the first column of docs/guides/errors.md is a part of some text in the source."""
    said = [text for path in (ROOT / "unlearn_cli").rglob("*.py") for text in _texts(path)]
    page = (ROOT / "docs" / "guides" / "errors.md").read_text(encoding="utf-8")
    quoted = [part for line in re.findall(r"^\| (`.*?) \|", page, re.M) for part in re.findall(r"`([^`]+)`", line)]
    assert len(quoted) > 40
    assert not [part for part in quoted if not any(part in text for text in said)]


def _texts(path: Path) -> list[str]:
    """The strings of a file, and its f-strings with their values left out."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    filled = [node.values for node in nodes if isinstance(node, ast.JoinedStr)]
    return plain + ["".join(str(v.value) for v in each if isinstance(v, ast.Constant)) for each in filled]


def test_the_number_of_methods_is_current() -> None:
    count = len(METHODS.names())
    assert f"has all {count}," in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"which of the {count} methods" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
