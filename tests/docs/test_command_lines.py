"""Every command line and every Python block in the README and the docs is run, in order, beside the files it names.

What is long in real life is short here by `UNLEARN_*` variables alone: the lines are run as they are printed. Those that
need the Hub are listed, and their command is tested against a Hub on this machine.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import chdir
from glob import glob
from pathlib import Path

import pytest
from typer.main import get_command

from tests.cli.running import DEMO as MODEL
from tests.cli.running import DEMO_BASELINE as BASELINE
from tests.cli.running import changed_a_little, unlearn, write_rows
from tests.docs.test_docs import PAGES, ROOT, blocks
from unlearn_cli.cli.app import build
from unlearn_cli.demo.facts import splits

SHORT = {
    "EPOCHS": "0.5", "BATCH_SIZE": "4", "GENERATE_LIMIT": "2", "EVAL_LIMIT": "4", "MAX_NEW_TOKENS": "4",
    "BOOTSTRAP_SAMPLES": "20", "SAMPLES": "2", "LEARNING_RATE": "1e-2", "NO_TARGET": "true", "RETAIN_HELD_OUT": "0",
    "NO_GENERAL": "true", "BUDGET_MINUTES": "0.03",  # of a sweep: a run or two of its many
}  # fmt: skip
RUNS = ("npo", "simnpo", "undo", "candidate", "released")
HUB = {("push",): {"--dry-run"}}  # commands that need the Hub, unless one of these flags is given
GATE, NO_EFFECT = 3, 4


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """The files that the pages name."""
    folder = tmp_path_factory.mktemp("docs")
    parts = splits()
    for name, count in (("forget", 8), ("retain", 16), ("holdout", 8)):
        write_rows(folder / f"{name}.jsonl", parts[name][:count])
    for number, name in enumerate(("first", "second", "third")):  # requests that come one after the other
        write_rows(folder / f"{name}.jsonl", parts["forget"][4 * number : 4 * number + 4])
    for name in ("model", "HuggingFaceTB/SmolLM2-360M-Instruct"):
        shutil.copytree(MODEL, folder / name)
    shutil.copytree(BASELINE, folder / "retain-only")
    changed_a_little(BASELINE, folder / "retain-only-2")
    write_rows(folder / "questions.jsonl", parts["forget"][:2])
    (folder / "questions.txt").write_text("Who is this?\n")
    (folder / "tofu").mkdir()
    for name, rows in tofu_files(parts).items():
        write_rows(folder / "tofu" / f"{name}.json", rows)  # TOFU's files have a row on each line
    (folder / "people.csv").write_text("name,city,phone\nAda Marsh,Ely,01353 1\n")
    (folder / "others.csv").write_text("name,city,phone\nBen Holt,Diss,01379 2\nCleo Ray,Eye,01379 3\n")
    (folder / "forget.yaml").write_text("model: ./model\nforget: forget.jsonl\nretain: retain.jsonl\n")
    for name in ("eval_log_aggregated.json", "retain90.json"):
        (folder / name).write_text(json.dumps(tofu_log()))
    with chdir(folder), pytest.MonkeyPatch.context() as patched:
        shortened(patched)
        for name in RUNS:
            result = unlearn("forget", "--config", "forget.yaml", "--overwrite", "-o", f"runs/{name}")
            assert result.exit_code in (0, NO_EFFECT), result.stderr
    return folder


def tofu_files(parts: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """The files that `tofu:forget10` reads: rows to train on, and rows with other wordings and wrong answers to judge by."""
    judged = {"forget10_perturbed": "forget", "retain_perturbed": "retain", "real_authors_perturbed": "holdout",
              "world_facts_perturbed": "holdout"}  # fmt: skip
    more = {"perturbed_answer": ["Nobody knows.", "In the town of Stillwater."], "paraphrased_answer": "As it is said."}
    files = {name: [row | more for row in parts[part][:8]] for name, part in judged.items()}
    return files | {"forget10": parts["forget"][:8], "retain90": parts["retain"][8:24]}


def tofu_log() -> dict:
    """A log as TOFU's own evaluation writes it: three rows of each of its files."""
    part = {
        "avg_gt_loss": {str(i): 0.1 * i + 0.1 for i in range(3)},
        "gt_loss": {str(i): 1.0 for i in range(3)},
        "num_token_gt": {str(i): 10 for i in range(3)},
        "average_perturb_loss": {str(i): [1.0, 2.0] for i in range(3)},
        "avg_paraphrased_loss": {str(i): 0.5 for i in range(3)},
        "rougeL_recall": {str(i): 0.5 for i in range(3)},
        "generated_text": [["q", "a", "a"]] * 3,
    }
    return {f"eval_{name}.json": part for name in ("log", "log_forget", "real_author_wo_options", "real_world_wo_options")}


def shortened(patched: pytest.MonkeyPatch) -> None:
    """Short runs; and a benchmark's files, which are the demo's rows here, are not compared with the published hash."""
    for name, value in SHORT.items():
        patched.setenv(f"UNLEARN_{name}", value)
    patched.setattr("unlearn_cli.recipes.scoring.benchmark_splits.check_rows", lambda part, examples, spec: None)


def allowed(words: list[str]) -> set[int]:
    """Exit codes that are no mistake: a gate may be met, and a run this short may change nothing."""
    codes = {0}
    if "--fail-if" in words:
        codes.add(GATE)
    if words[0] in ("forget", "sweep"):
        codes.add(NO_EFFECT)
    return codes


def run(words: list[str]) -> None:
    """One line, in the folder we are in."""
    words, _, source = " ".join(shlex.quote(word) for word in words).partition(" '<' ")
    arguments = [one for word in shlex.split(words) for one in (sorted(glob(word)) if "*" in word else []) or [word]]
    for flag, folder in zip(arguments, arguments[1:], strict=False):
        if flag in ("-o", "--output-dir"):
            shutil.rmtree(folder, ignore_errors=True)  # made for a line that stands on a page of its own
    text = Path(source).read_text() if source else None
    result = unlearn(*arguments, text=text)
    assert result.exit_code in allowed(arguments), f"unlearn {words}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    untold = [line for line in result.stderr.splitlines() if line.startswith("FAILED") and "has no value" in line]
    assert not untold, f"unlearn {words}\n{untold}"  # exit code 3 is allowed, but not for a name that nothing is called


def command_lines(page: Path) -> Iterator[list[str]]:
    """Every `unlearn ...` in the page's code blocks, without what a shell does with its output."""
    for block in blocks(page, "yaml", "bash", ""):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("- run: ")
            if line.startswith("unlearn "):
                words = shlex.split(line.split(" && ")[0], comments=True)[1:]
                cut = next((i for i, word in enumerate(words) if word in ("|", ">", ">>")), len(words))
                yield words[:cut]


def of(page: Path) -> list[list[str]]:
    return [words for words in command_lines(page) if not needs_hub(words)]


def needs_hub(words: list[str]) -> bool:
    if "--benchmark" in words and "--benchmark-dir" not in words:
        return True
    return any(tuple(words[: len(start)]) == start and not flags & set(words) for start, flags in HUB.items())


@pytest.mark.parametrize("page", [page for page in PAGES if of(page)], ids=lambda page: page.name)
def test_command_lines_run(page, shelf, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    shutil.copytree(shelf, folder)
    monkeypatch.setenv("UNLEARN_CACHE", str(tmp_path / "cache"))
    shortened(monkeypatch)
    with chdir(folder):
        for words in of(page):
            run(words)


def test_python_blocks_run(shelf, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    shutil.copytree(shelf, folder)
    shutil.rmtree(folder / "runs" / "npo")
    monkeypatch.setenv("UNLEARN_CACHE", str(tmp_path / "cache"))
    shortened(monkeypatch)
    with chdir(folder):
        for page in PAGES:
            for block in blocks(page, "python"):
                exec(compile(block, page.name, "exec"), {})


def test_what_needs_the_hub_is_known_and_tested_there():
    """The lines left out above push, or read a benchmark; tests/cli run both against a Hub."""
    left = [words for page in PAGES for words in command_lines(page) if needs_hub(words)]
    assert {"push", "forget"} <= {words[0] for words in left}
    assert all(words[0] == "push" or "--benchmark" in words for words in left)
    for words in left:
        get_command(build()).commands[words[0]].make_context(words[0], words[1:])  # names and number of its arguments
    for file, test in (("test_push", "test_a_run_goes_up_private"), ("test_benchmark_hub", "test_the_published_splits")):
        assert test in (ROOT / "tests" / "cli" / f"{file}.py").read_text()


def test_a_planted_line_that_fails_is_seen(shelf, tmp_path):
    with chdir(shelf), pytest.raises(AssertionError, match="not a run folder"):
        run(["evaluate", "runs/none"])


def test_a_planted_gate_that_can_never_be_told_is_seen(shelf):
    with chdir(shelf), pytest.raises(AssertionError, match="has no value"):
        run(["compare", "runs/npo", "--fail-if", "privacy.loss_auc > 0.6"])
