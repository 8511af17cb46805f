"""Who imports whom, what `--help` may cost, and how names and words are spelled."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "unlearn_cli"
HEAVY = {"torch", "transformers", "peft", "datasets", "numpy", "scipy", "pandas", "bitsandbytes", "pyarrow"}
# Lowest first; a module imports from its own room and from those before it.
LAYERS = [
    {"errors", "quiet", "atomic", "hashing", "limits", "launched"}, {"assignments", "values", "jsonfile"},
    {"registry", "parameters"}, {"display"},
    {"outputs", "measured"}, {"contract"},
    {"expressions"}, {"config", "report_parts", "report", "attack_report", "lineage", "console"}, {"data"},
    {"methods", "retain_terms", "robust", "metrics"}, {"models"},
    {"training", "evaluation"}, {"attacks"}, {"rendering"}, {"demo"}, {"recipes"}, {"cli", "api"}, {"__main__"},
]  # fmt: skip
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    """Dotted names that a file imports, anywhere in it."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name):
    """The top-level room of a dotted name inside the package, or None."""
    parts = name.split(".")
    return parts[1] if parts[0] == "unlearn_cli" and len(parts) > 1 and parts[1] in RANK else None


def violations(path, names):
    own = RANK[path.relative_to(ROOT).parts[0].removesuffix(".py")]
    return [name for name in names if room(name) is not None and RANK[room(name)] > own]


def test_imports_go_one_way():
    upwards = {str(path.relative_to(ROOT)): violations(path, imported(path)) for path in FILES}
    assert {path: names for path, names in upwards.items() if names} == {}


def test_the_page_for_contributors_draws_the_same_layers():
    page = (ROOT.parent / "docs" / "contributing.md").read_text(encoding="utf-8")
    lines = page.partition("```layers\n")[2].partition("```")[0].splitlines()
    assert [set(line.partition("  ")[0].split(", ")) for line in lines] == LAYERS


def test_a_planted_import_is_seen():
    assert violations(ROOT / "methods" / "npo.py", ["unlearn_cli.recipes.forget"])


def test_the_root_of_recipes_has_outlines_of_commands_alone():
    outlines, commands = ({path.stem for path in (ROOT / room).glob("*.py")} for room in ("recipes", "cli"))
    assert outlines <= commands


@pytest.mark.parametrize(("libraries", "rooms"), [({"transformers", "peft", "bitsandbytes"}, {"models", "demo"})])
def test_only_models_import_the_model_libraries(libraries, rooms):
    for path in FILES:
        imports = {name.split(".")[0] for name in imported(path)} & libraries
        where = path.relative_to(ROOT)
        allowed = where.parts[0] in rooms or str(where) in ("training/optimizer.py", "recipes/forgetting/describe.py")
        assert not imports or allowed, f"{where} imports {imports}"


def test_package_inits_are_light():
    for path in ROOT.rglob("__init__.py"):
        assert not {name.split(".")[0] for name in imported(path)} & HEAVY, path


def test_no_file_has_a_name_that_says_nothing():
    assert not [p for p in ROOT.rglob("*.py") if p.stem in ("utils", "common", "base", "helpers", "misc")]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["forget", "--help"], ["evaluate", "--help"], ["--version"], ["forget", "--method"]]
)
def test_help_and_usage_errors_wait_for_nothing_heavy(arguments):
    code = (
        "import sys\nsys.argv = ['unlearn', *sys.argv[1:]]\nfrom unlearn_cli.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('loaded:', *sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    loaded = set(done.stderr.partition("loaded: ")[2].split())
    assert "typer" in loaded, done.stderr
    assert not loaded & HEAVY


def test_no_column_of_a_table_cuts_words():
    """Rich's usual column ends a word that is too long in an ellipsis; ours fold, or hold what is never too long."""
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_column":
                assert {"overflow", "no_wrap"} & {keyword.arg for keyword in node.keywords}, f"{path}:{node.lineno}"


REGISTERED = {"method", "procedure", "retain_term", "robust", "metric", "attack"}  # what they take is what users set
LONGEST = 6


def long_parameter_lists(tree):
    """Names of the functions with more than six parameters, not counting `self`; those of a registry may have more."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            decorators = {getattr(getattr(d, "func", d), "id", "") for d in node.decorator_list}
            given = node.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if a]
            if len([name for name in names if name not in ("self", "cls")]) > LONGEST and not decorators & REGISTERED:
                yield node.name


def test_parameter_lists_are_short():
    assert {str(path): names for path in FILES if (names := list(long_parameter_lists(tree_of(path))))} == {}
    assert list(long_parameter_lists(ast.parse("def f(self, a, b, c, d, e, *f, g): ..."))) == ["f"]  # the planted mistake


VAGUE = {"made", "held", "told", "asked", "far", "found"}


def named(tree: ast.AST) -> set[str]:
    """Names that a module binds: variables, arguments, functions, classes and fields, without leading underscores."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return {name.strip("_") for name in names}


def test_names_say_what_they_hold():
    for path in [*FILES, *sorted((ROOT.parent / "tests").rglob("*.py"))]:
        assert not named(tree_of(path)) & VAGUE, path
    assert named(ast.parse("def f(asked):\n    _made = asked")) & VAGUE == {"asked", "made"}  # the planted mistake


BRITISH = re.compile(
    "(?:optim|normal|initial|memor|recogn|general|minim|maxim|random|organ|standard|factor|token|summar|util|local|final|penal"
    "|regular|quant|serial|special)is(?:e[drs]?|ers?|ing|ation)(?![a-z])|emphasised|colour|neighbour|behaviour|favour|grey(?!w)"
    "|licence|labell|signall|cancell|modell(?:ed|ing)|learnt|spelt|artefact|centre|defence|distils?(?![a-z])",
    re.IGNORECASE,
)


def test_words_are_spelled_in_one_way():
    """The field's, which is that of the United States. The people of the demo have their own; so do titles of papers."""
    folders = [ROOT, ROOT.parent / "tests", ROOT.parent / "docs"]
    texts = [p for folder in folders for suffix in ("py", "md", "jinja") for p in folder.rglob(f"*.{suffix}")]
    for path in [*texts, ROOT.parent / "README.md"]:
        if path.name in ("test_structure.py", "facts.py", "registry.py", "report.py"):
            continue
        words = BRITISH.findall(re.sub('"[^"]*Defence[^"]*"|favourite dish', "", path.read_text(encoding="utf-8")))
        assert not words, f"{path}: {words}"
    assert BRITISH.findall("The Optimiser's behaviour in colour") == [
        "Optimiser",
        "behaviour",
        "colour",
    ]  # the planted mistake
