"""Options by the names they have in files and in other tools; every list as JSON."""

import json

import pytest

from tests.cli.running import unlearn
from unlearn_cli.config import ForgetConfig, resolve
from unlearn_cli.registry import ALIASES


@pytest.mark.parametrize("flag", ["--learning_rate", "--lr", "--learning-rate"])
@pytest.mark.parametrize("form", ["{} -1", "{}=-1"])
def test_an_option_is_known_by_its_usual_names(flag, form):
    result = unlearn("forget", *form.format(flag).split())
    assert result.exit_code == 2 and "--learning-rate" in result.stderr and "No such option" not in result.stderr


def test_aliases_name_options_and_hide_none():
    assert set(ALIASES.values()) <= set(ForgetConfig.model_fields)
    assert not set(ALIASES) & set(ForgetConfig.model_fields)


def test_a_file_knows_the_same_names(tmp_path):
    (tmp_path / "c.yaml").write_text("lr: 1e-3\nnum-train-epochs: 2\n")
    settings = resolve(ForgetConfig, {}, tmp_path / "c.yaml")[0]
    assert settings.learning_rate == 1e-3 and settings.epochs == 2


@pytest.mark.parametrize("kind", ["retain-terms", "robust-rules", "metrics", "attacks", "benchmarks", "metric"])
def test_every_list_is_json_too(kind):
    entries = json.loads(unlearn("list", kind, "--json").stdout)
    lines = unlearn("list", kind).stdout.splitlines()
    assert [entry["name"] for entry in entries] == [line.split()[0] for line in lines] and entries
    assert all(entry["summary"] for entry in entries)


@pytest.mark.parametrize(
    "words", [["forget", "--foo"], ["forgt"], ["show"], ["forget", "--epochs", "abc"], ["report", "schema", "x"]]
)
def test_mistakes_in_usage_look_like_every_other_error(words):
    result = unlearn(*words)
    assert result.exit_code == 2 and result.stdout == "", result.stdout
    assert result.stderr.startswith("error: ") and "\nhint: unlearn" in result.stderr and "╭" not in result.stderr


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["forget", "--fail-if", "x"],
            "no such option: --fail-if",
            "--fail-if is an option of `unlearn evaluate`, ",
        ),
        (["evaluate", "--method", "npo"], "no such option: --method", "option of `unlearn forget` and `unlearn sweep`; "),
        (["forget", "--ask", "x"], "no such option: --ask", "--ask is an option of `unlearn init`; unlearn forget --help"),
        (["push", "x", "--repo", "a/b"], "no such option: --repo", "unlearn push --help"),
        (["forget", "--run", "x"], "no such option: --run", "unlearn forget --help"),
        (["forget", "--batchsize", "3"], "did you mean --batch-size or", "unlearn forget --help"),
        (["forgett"], "no such command 'forgett'; did you mean 'forget'?", "unlearn --help"),
        (["data", "chek"], "no such command 'chek'; did you mean 'check'?", "unlearn data --help"),
        (["forget", "--max-steps", "1.5"], "'--max-steps': must be a valid integer", "unlearn forget --help"),
        (["forget", "--learning-rate", "fast"], "--learning-rate 'fast': must be a valid number", "auto: "),
        (["relearn-attack", "x", "--share", "3"], "--share 3.0: must be less than 1", "share of the forget rows"),
        (["chat"], "missing argument 'RUN'", "unlearn chat --help"),
    ],
)
def test_a_mistake_in_usage_is_named_with_the_next_step(words, message, hint):
    error, _, next_step = unlearn(*words).stderr.partition("\nhint: ")
    assert message in error and hint in next_step, error + next_step
    assert hint.startswith("unlearn ") is next_step.startswith("unlearn "), next_step


def test_the_folder_beside_a_missing_one_is_named(tmp_path, monkeypatch):
    (tmp_path / "demo" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    result = unlearn("evaluate", "-m", "demo/mdel", "-f", "x.jsonl", "-o", "out")
    assert result.exit_code == 2 and "did you mean demo/model?" in result.stderr and "hf download" not in result.stderr
