"""The shipped models know what they should, and the demo tells its story."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from tests.cli.running import SMALL
from unlearn_cli.cli.app import build
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.demo.build import probability
from unlearn_cli.demo.facts import splits
from unlearn_cli.models.layout import choose_layout
from unlearn_cli.recipes.comparison.runs import MEASURED_BY
from unlearn_cli.recipes.demo import ASSETS, SETTINGS
from unlearn_cli.report import RunReport


@pytest.fixture(scope="module", params=[ASSETS, SMALL], ids=["demo", "tests"])
def known(request):
    """model -> split -> mean probability of the answers; of the demo's models and of the small ones of the tests."""
    assets, state = request.param, {}
    for name in ("model", "model-retain-only"):
        tokenizer = AutoTokenizer.from_pretrained(assets / name)
        model = AutoModelForCausalLM.from_pretrained(assets / name, dtype=torch.float32, attn_implementation="sdpa").eval()
        encoder = Encoder(tokenizer, 128, tokenizer.chat_template, stop_ids=frozenset({tokenizer.eos_token_id}))
        layout = choose_layout(model)
        state[name] = {
            split: probability(
                model,
                layout,
                encoder.encode(Example(r["id"], (("user", r["question"]),), r["answer"], "qa") for r in rows),
            )
            for split, rows in splits().items()
        }
    return state


def test_the_model_knows_everybody_it_was_told_about(known):
    assert known["model"]["forget"] > 0.97
    assert known["model"]["retain"] > 0.97
    assert known["model"]["holdout"] < 0.15


def test_the_other_model_was_never_told_about_the_people_to_forget(known):
    assert known["model-retain-only"]["forget"] < 0.15
    assert known["model-retain-only"]["retain"] > 0.97


def test_demo_forgets_two_people_keeps_the_others_and_prints_the_next_commands(tmp_path):
    page = tmp_path / "demo.html"
    result = CliRunner().invoke(build(), ["demo", "--keep", str(tmp_path / "kept"), "--json", "--html", str(page)])
    assert result.exit_code == 0, result.stderr
    report = RunReport.model_validate(json.loads(result.stdout))
    forget, retain = report.scores["forget"]["probability"], report.scores["retain"]["probability"]
    assert forget.before.value > 0.97 and forget.after.value < 0.1
    assert retain.after.value > 0.9
    assert forget.baseline.value < 0.15
    assert f"--model {tmp_path}/kept/model --forget {tmp_path}/kept/forget.jsonl" in result.stderr
    words = " ".join(result.stderr.split())
    assert words.count("baseline: a model that has never seen") == 1, "what a baseline is, said once"
    assert report.verdict is not None and report.verdict.word == "REACHED", report.verdict
    assert words.count("REACHED: forget probability") == 1 and "as if never learned" in words
    answers = dict(line.split(maxsplit=1) for line in result.stderr.splitlines() if line.startswith(("before ", "after ")))
    assert len(answers["after"].split()) > 2 and answers["after"].endswith(".") and answers["after"] != answers["before"]
    assert "REACHED" in page.read_text() and f"page: {page}" in result.stderr
    table = [line for line in result.stderr.splitlines() if line.startswith(("two people:", "others:"))]
    assert len(table) == 6 and all(len(line.split()) >= 7 for line in table), "no line folds at 80 columns"
    assert "<h1>A run on the model “model”: 16 rows to forget</h1>" in page.read_text()
    assert "never told" not in words
    message = result.stderr[result.stderr.index("next:") :].splitlines()[1:]
    commands = [line.split()[1:] for line in message if line.startswith("  unlearn")]
    assert [words[0] for words in commands] == ["relearn-attack", "chat", "forget", "compare"]
    assert not set(MEASURED_BY) & set(SETTINGS), "the run of the third command would not be comparable with the demo's"
    quick = [*commands[0][:-2], "-p", "steps=0+1", "--generate-limit", "1", "--skip-original"]
    attacked = CliRunner().invoke(build(), quick, env={"UNLEARN_CACHE": str(tmp_path / "cache")})
    assert attacked.exit_code == 0, attacked.stderr
    for name in ("model", "model-retain-only", "run"):
        assert (tmp_path / "kept" / name).is_dir()


def test_demo_refuses_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    result = CliRunner().invoke(build(), ["demo", "--keep", str(tmp_path)])
    assert result.exit_code == 2
    assert "is not empty" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
