"""Every command and every option that the code can print is pasted: it must be one of the real command line.

All string literals of the package are read, and lists of words that begin with `unlearn`, so it does not matter on which
way a hint reaches its error. What stands in capitals is a placeholder; these are the ones of `--help`, and the model that
nobody can have is answered as one. Lists whose words are only known at run time (`*words`) are pasted by the tests of their
own files, which are named here.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.cli.comparing import both, write_run
from tests.cli.running import MODEL, unlearn, write_rows
from unlearn_cli.cli import app as application
from unlearn_cli.cli.app import build
from unlearn_cli.cli.options import _choices
from unlearn_cli.config import AttackConfig, CompareConfig, EvaluateConfig, ForgetConfig, SweepConfig
from unlearn_cli.recipes.catalogue.entries import KINDS
from unlearn_cli.values import kinds

PACKAGE = Path(application.__file__).parents[1]
ELSEWHERE = re.compile(
    r"\b(?:pip install|hf (?:download|auth|cache)|git|lm-eval|iconv|accelerate|ray logs)\b[^;`]*"
)  # other tools' lines
VALUE = "VALUE"  # stands for what is only known when the text is made
PLACEHOLDERS = {"RUN", "RUN2", "DIR", "FILE", "MODEL", "FOLDER_OR_HUB_ID", "EXPR", "KIND", "NAME", VALUE}
OPTION = re.compile(r"(?<![\w/-])(--[a-z][a-z0-9-]*)(?:[= ]([\w./+:-]+))?")
WORDS = {  # what may follow an option in a sentence, where its value could stand
    "and", "or", "is", "are", "takes", "names", "to", "at", "needs", "wants", "out", "the", "in", "for", "with", "a",
    "starts",
}  # fmt: skip
KINDS_OF_VALUE = {
    "--attack": "relearn",
    "-c": "config",
    "--config": "config",
    "--fail-if": "EXPR",
    "-f": "FILE",
    "--forget": "FILE",
    "-m": "MODEL",
    "--model": "MODEL",
    "list": "KIND",
}
OTHERS = {"--help", "--version", "--repo-type", "--out"}  # of all commands, of `hf`, and of the script that builds the demo
OTHERS |= {  # of Chromium
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-pdf-header-footer", "--user-data-dir",
    "--print-to-pdf",
}  # fmt: skip
SETTINGS = (ForgetConfig, EvaluateConfig, CompareConfig, AttackConfig, SweepConfig)


def text_of(node: ast.AST) -> str | None:
    """A literal's text; parts of an f-string that are not literal are a value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else VALUE for part in node.values).replace(
            VALUE * 2, VALUE
        )
    return None


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Where each literal of a file stands, and its text; docstrings and parts of f-strings are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    skipped |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        text = text_of(node)
        if text is not None and id(node) not in skipped:
            yield f"{path.relative_to(PACKAGE)}:{node.lineno}", text


def composed(path: Path) -> Iterator[tuple[str, list[str] | None]]:
    """Where each list of the words of a command stands, and its words; None if some are known at run time only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        elements = [text_of(one) or "" for one in node.elts] if isinstance(node, ast.List) else [""]
        if elements[:1] == ["unlearn"] or (re.match(r"unlearn [a-z-]+$", elements[0]) if elements else False):
            words = [text_of(element) or VALUE for element in node.elts if not isinstance(element, ast.Starred)]
            whole = len(words) == len(node.elts)
            yield f"{path.relative_to(PACKAGE)}", " ".join(words).split()[1:] if whole else None


@cache
def every_text() -> list[tuple[str, str]]:
    return [one for path in sorted(PACKAGE.rglob("*.py")) for one in texts(path)]


def lines(text: str) -> Iterator[list[str]]:
    """Lines to paste: in backticks or the whole text, with more than the command's name."""
    whole = [text] if re.match(r"unlearn [a-z-]+ \S", text) else []
    examples = re.findall(r"^  (unlearn .*)$", text, re.M)
    after_colon = re.findall(r": (unlearn [a-z-]+ [^;`]+)$", text) if f"{VALUE}:{VALUE}" not in text else []
    for line in [*re.findall(r"`(unlearn [^`]+)`", text), *(whole or examples or after_colon)]:
        line = re.split(r", or |: ", line)[0] if whole else line
        words = shlex.split(line)
        cut = next((i for i, word in enumerate(words) if word in ("|", ">", ">>", "<")), len(words))
        if len(words[:cut]) > 2:
            yield words[1:cut]


@cache
def options() -> set[str]:
    group = get_command(build())
    groups = [one for one in group.commands.values() if hasattr(one, "commands")]
    commands = [*group.commands.values(), *(command for one in groups for command in one.commands.values())]
    return {flag for command in commands for parameter in command.params for flag in parameter.opts} | OTHERS


@cache
def fields() -> dict[str, object]:
    return {
        (field.json_schema_extra or {}).get("flag", "--" + name.replace("_", "-")): field
        for settings in SETTINGS
        for name, field in settings.model_fields.items()
    }


def wrong_options(text: str) -> list[str]:
    """Options that no command has, and values that an option with a list of words does not take."""
    known, declared, wrong = options(), fields(), []
    for flag, value in OPTION.findall(ELSEWHERE.sub("", text)):
        if flag not in known:
            wrong.append(flag)
        field = declared.get(flag)
        words = set(_choices(field)) if field is not None else set()
        if float in kinds(getattr(field, "annotation", None)) and re.fullmatch(r"[\d.e-]+", value or ""):
            continue
        if (kind := (field.json_schema_extra or {}).get("names") if field is not None else None) is not None:
            words = {name for name in KINDS[kind].names()} | {name.replace("_", "-") for name in KINDS[kind].names()}
        value = value.rstrip(".,:;")
        if words and value and value not in words | WORDS | {VALUE} and not value.startswith(VALUE):
            wrong.append(f"{flag} {value}")
    return wrong


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> dict[str, str]:
    """What stands for each placeholder."""
    folder = tmp_path_factory.mktemp("hints")
    rows = write_rows(folder / "rows.jsonl", [{"question": "Who?", "answer": "Ann."}])
    run = write_run(folder / "run", both(0.2, 0.9), forget=str(rows))
    write_run(folder / "run2", both(0.3, 0.9))
    config = folder / "forget.yaml"
    config.write_text(f"model: {MODEL}\nforget: {rows}\n")
    return {
        "RUN": str(run), "RUN2": str(folder / "run2"), "DIR": str(folder / "new"), "FILE": str(rows), "MODEL": MODEL,
        "FOLDER_OR_HUB_ID": MODEL, VALUE: str(run), "EXPR": "forget.probability > 0.3", "KIND": "methods",
        "config": str(config),
    }  # fmt: skip


def pasted(words: list[str], shelf: dict[str, str]) -> str | None:
    """What the real command line says against a line, short of doing the work; None if it takes it."""
    pairs = zip(["", *words], words, strict=False)
    kinds = [KINDS_OF_VALUE.get(option, word) if word == VALUE else word for option, word in pairs]
    given = [shelf.get(word, word) for word in kinds]
    with pytest.MonkeyPatch.context() as patched:
        for module in application.WITH_SETTINGS:
            patched.setattr(module, "run", lambda *_: 0)
        result = CliRunner().invoke(build(), given)
    return None if result.exit_code == 0 else result.stderr or str(result.exception)


def test_every_option_in_a_text_exists():
    wrong = {where: faults for where, text in every_text() if (faults := wrong_options(text))}
    assert not wrong


def test_every_line_can_be_pasted(shelf):
    pasting = [(where, words) for where, text in every_text() if "Examples" not in text for words in lines(text)]
    # The demo's lines name files in its own folder, which are not here.
    pasting = [(where, words) for where, words in pasting if not any(f"{VALUE}/" in word for word in words)]
    assert len(pasting) > 3
    wrong = {f"{where}: {shlex.join(words)}": said for where, words in pasting if (said := pasted(words, shelf))}
    assert not wrong


# Files with lists of which some words are known at run time only, and the test that pastes what they print. The command
# line of a report (`*report.command_line`) is one that ran.
PASTED_BY = {
    "recipes/scoring/mending.py": "recipes/scoring/test_verdict.py",
    "recipes/data_check.py": "cli/test_preparing.py",
    "recipes/comparison/runs.py": "cli/test_compare_judging.py",
    "recipes/comparison/comparability.py": "cli/test_compare_comparability.py",
    "recipes/auditing/page.py": "", "recipes/comparison/page.py": "", "rendering/documents.py": "", "lineage.py": "",
}  # fmt: skip


def test_every_composed_line_can_be_pasted(shelf):
    lists = [one for path in sorted(PACKAGE.rglob("*.py")) for one in composed(path)]
    assert any(words for _, words in lists)
    wrong = {f"{where}: {shlex.join(words)}": said for where, words in lists if words and (said := pasted(words, shelf))}
    assert not wrong
    assert {where for where, words in lists if words is None} == set(PASTED_BY)
    tests = Path(__file__).parents[1]
    assert all("pasted(" in (tests / file).read_text(encoding="utf-8") for file in PASTED_BY.values() if file)


def test_a_placeholder_is_one_of_help():
    """Capitals in a line to paste or after an option."""
    for where, text in every_text():
        said = [word for words in lines(text) if "Examples" not in text for word in words]
        said += [value for _, value in OPTION.findall(ELSEWHERE.sub("", text))]
        assert {word for word in said if re.fullmatch(r"[A-Z][A-Z_]{2,}\d?", word)} <= PLACEHOLDERS, where


def test_a_pasted_placeholder_is_not_looked_for_on_the_hub(tmp_path):
    for name in ("MODEL", "FOLDER_OR_HUB_ID"):
        result = unlearn("evaluate", "--model", name, "--forget", tmp_path / "x.jsonl", "--json")
        assert result.exit_code == 2 and "stands for" in result.stderr and "hf download" not in result.stderr, result.stderr


@pytest.mark.parametrize(
    "text", ["try --batchsize 1", "leave out --load-in-3bit", "--optim adamm", "a report: `unlearn show npo --full-table`"]
)
def test_a_planted_option_is_seen(text, shelf):
    assert wrong_options(text) or any(pasted(words, shelf) for words in lines(text))


@pytest.mark.parametrize(
    "text", ["`unlearn evaluate --full-table` shows them", "unlearn forgett RUN", "`unlearn merge RUN --nowhere`"]
)
def test_a_planted_line_is_seen(text, shelf):
    assert [words for words in lines(text) if pasted(words, shelf)]


def _without_hint(text: str) -> list[int]:
    """Lines that make an error of the user's without a next step."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    errors = [call for call in calls if getattr(call.func, "id", "") == "UnlearnError"]
    return [call.lineno for call in errors if len(call.args) < 2 and not call.keywords]


def test_every_error_has_a_next_step():
    """But for the command line's own: an interruption, and errors that come with their own exit code."""
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "cli" / "options.py"]
    assert {path.name: lines for path in files if (lines := _without_hint(path.read_text(encoding="utf-8")))} == {}


def test_a_planted_error_without_a_next_step_is_seen():
    assert _without_hint('raise UnlearnError("no")') == [1] and _without_hint('raise UnlearnError("no", "do this")') == []


def _parts(text: str) -> Iterator[str]:
    """The literal messages and hints of the errors that a file makes."""
    for call in ast.walk(ast.parse(text)):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "UnlearnError":
            yield from filter(None, map(text_of, [*call.args[:2], *(word.value for word in call.keywords)]))


STYLE = {
    "ends like a sentence": r"(?<!\.\.)[.!]$",
    "begins like a sentence": r"^(?:A|An|The|This|No|It|You|[A-Z][a-z]+) [a-z]+ (?:is|are|has|have|must|cannot|was)\b",
    "names a place of one machine": r"/(?:home|Users|root|tmp|mnt)/|localhost|https?://(?!huggingface\.co)",
    "begs or blames": r"\b(?:sorry|oops|illegal|bad input|wrong input|your fault)\b",
}


def test_messages_and_hints_have_one_style():
    """No capital at the start, no full stop at the end: what is wrong, and a step, not sentences."""
    texts_of = {path: list(_parts(path.read_text(encoding="utf-8"))) for path in PACKAGE.rglob("*.py")}
    assert sum(map(len, texts_of.values())) > 600
    wrong = [
        (path.name, what, text)
        for path, parts in texts_of.items()
        for text in parts
        for what, pattern in STYLE.items()
        if re.search(pattern, text)
    ]
    assert not wrong


@pytest.mark.parametrize("text", ["it is gone.", "The file is gone", "see /home/ann/x", "sorry, no rows"])
def test_a_planted_style_is_seen(text):
    planted = list(_parts(f"raise UnlearnError({text!r}, 'do this')"))
    assert any(re.search(pattern, part) for pattern in STYLE.values() for part in planted)
