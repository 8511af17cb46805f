"""`unlearn data check` and `unlearn init`: from a table to a run."""

import json
import shlex

import pytest
import yaml

from tests.cli.running import MODEL, unlearn
from tests.laws.test_hints import pasted
from unlearn_cli.config import ForgetConfig, resolve
from unlearn_cli.config.recipes import RECIPES
from unlearn_cli.data.guess import guess_columns
from unlearn_cli.demo.facts import splits
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes import data_check
from unlearn_cli.recipes.data_check import DataFacts, FileFacts

FACTS = "name,city\nAnn Lee,Oslo\nBob Ray,\n"


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ([{"Question": "Who", "Answer": "Ann"}], {"question": "Question", "answer": "Answer"}),
        ([{"Q": "Who", "note": "a long note of somebody", "reply": "Ann"}], {"question": "Q", "answer": "reply"}),
        ([{"id2": "7", "asked": "Who?", "said": "Ann it is"}, {"asked": "Why?", "said": "So"}],
         {"question": "asked", "answer": "said"}),
        ([{"name": "Ann", "city": "Oslo"}], {}),  # facts
        ([{"body": "Once upon a time."}], {"text": "body"}),
    ],
)  # fmt: skip
def test_columns_are_guessed_by_name_and_by_what_stands_in_them(rows, columns):
    assert guess_columns(rows) == columns


@pytest.fixture
def checked(tmp_path):
    """A table with other column names, JSON lines with a repeated row and one of the table, and a table of facts."""
    table = write(tmp_path / "a.csv", "asked,said\nWho?,Ann.\nWho?,Bob Ray.\nWhere?,In Oslo.\n")
    rows = [{"question": "Who?", "answer": "Ann."}, *2 * [{"question": "Why?", "answer": "So.", "by": "x"}]]
    lines = write(tmp_path / "b.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return table, lines, write(tmp_path / "facts.csv", FACTS)


def test_a_check_says_what_is_in_each_file_and_in_two(checked):
    table, lines, facts = checked
    result = unlearn("data", "check", table, lines)
    assert result.exit_code == 0, result.stderr
    said = result.stdout
    assert f"{table} (forget): 3 rows, format question-answer" in said
    assert "columns guessed: --columns question=asked,answer=said" in said
    assert "answers: 1 to 2 words, 2 in the median" in said
    assert "one question, several answers: a.csv:2, a.csv:3" in said
    assert "same as another row: b.jsonl:2, b.jsonl:3" in said and "not read: by (2 rows)" in said and "few rows" in said
    assert "1 row is in both" in said and "a.csv:2 = b.jsonl:1" in said
    assert "1 question is in the forget and in the retain rows, with different answers" in said
    assert "work against each other: a.csv:3, b.jsonl:1" in said
    assert said.splitlines()[-1] == "next: remove these rows from one of the two files, then check again"
    same = unlearn("data", "check", table, table).stdout
    assert same.splitlines()[-1] == "next: give each file once: first the rows to forget, then the rows to keep"
    alone = unlearn("data", "check", lines).stdout
    assert alone.splitlines()[-1] == f"next: unlearn init -m MODEL -f {lines}"
    assert not pasted(["init", "-m", "MODEL", "-f", str(lines)], {"MODEL": MODEL})
    *_, known = data_check.lines(DataFacts([FileFacts("a b.csv", "forget")], {}, []), MODEL, ["answer=said"])
    assert known == f"next: unlearn forget --dry-run -m {MODEL} -f 'a b.csv' --columns answer=said"
    assert not pasted(["forget", "--dry-run", "-m", MODEL, "-f", str(lines), "--columns", "answer=said"], {})
    twice = json.loads(unlearn("data", "check", facts, table, table, "--json").stdout)
    unusable = twice["files"][0]
    assert "is a table of facts" in unusable["error"] and "--ask 'What is the city of {name}?" in unusable["hint"]
    assert len(next(iter(twice["in_both"].values()))) == 3
    assert unlearn("data", "check", facts, table).exit_code == 2


def test_rows_that_the_model_does_not_know_are_named(tmp_path):
    known = [{key: row[key] for key in ("question", "answer")} for row in splits()["retain"][:2]]
    rows = [*known, {"question": "Where was Nobody Atall born?", "answer": "Zanzibar fjord xylophone."}]
    path = write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    result = unlearn("data", "check", path, "-m", MODEL)
    assert result.exit_code == 0, result.stderr
    assert f"known to {MODEL}: 2 of 3 rows; not: rows.jsonl:3 (" in result.stdout
    assert "the model words its answer otherwise" in result.stdout
    line = result.stdout.splitlines()[-1].removeprefix("next: ")
    assert not pasted(shlex.split(line)[1:], {MODEL: MODEL, str(path): str(path)})


def test_both_tables_of_facts_become_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, person in (("ada", "Ada Marsh,Ely"), ("others", "Ben Holt,Diss")):
        write(tmp_path / f"{name}.csv", f"name,city\n{person}\n")
    ask = "Where does {name} live? => {name} lives in {city}."
    result = unlearn("init", "-m", MODEL, "-f", "ada.csv", "-r", "others.csv", "--ask", ask)
    assert result.exit_code == 0, result.stderr
    settings = yaml.safe_load((tmp_path / "forget.yaml").read_text())
    assert (settings["forget"], settings["retain"]) == ("ada-rows.jsonl", "others-rows.jsonl")
    row = json.loads((tmp_path / "others-rows.jsonl").read_text())
    own = {"id": "others-1-1", "person": "others-1"}
    assert row == {**own, "question": "Where does Ben Holt live?", "answer": "Ben Holt lives in Diss."}


def test_a_table_of_facts_becomes_a_run(tmp_path, monkeypatch):
    """Every command that init prints is taken; the last one is for the run."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "people.csv", FACTS.replace("Ray,", "Ray,Rome") + "Cy Fox,\n")
    write(tmp_path / "keep.csv", "Question,Answer\nWho is Tom?,A cook.\n")
    ask = "Where does {name} live? => {name} lives in {city}."
    options = ("-m", MODEL, "-f", "people.csv", "-r", "keep.csv", "--ask", ask, "--recipe", "quick")
    result = unlearn("init", *options)
    assert result.exit_code == 0 and result.stdout == "forget.yaml\n", result.stderr
    assert "1 of 3 rows are left out: a column is empty there" in result.stderr
    rows = [json.loads(line) for line in (tmp_path / "people-rows.jsonl").read_text().splitlines()]
    assert rows[1].items() > {"question": "Where does Bob Ray live?", "answer": "Bob Ray lives in Rome."}.items()
    settings = yaml.safe_load((tmp_path / "forget.yaml").read_text())
    assert settings["columns"] == {"retain.question": "Question", "retain.answer": "Answer"} and settings["seed"] == 42
    commands = [shlex.split(line) for line in result.stderr.splitlines() if line.startswith("  unlearn ")]
    assert commands[3][:3] == ["unlearn", "evaluate", "runs/people-rows"]
    assert commands[0] == ["unlearn", "data", "check", "people-rows.jsonl", "keep.csv", "-m", MODEL]
    planned = unlearn(*commands[1][1:], "--no-general")
    assert planned.exit_code == 0, planned.stderr
    assert "people-rows.jsonl" in planned.stderr + planned.stdout and "not read" not in planned.stderr
    again = unlearn("init", *options)
    assert again.exit_code == 2 and "forget.yaml exists already" in again.stderr and "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "missing --model and --forget"),  # nobody can be asked
        (("-m", "m", "-f", "facts.csv"), "is a table of facts"),
        (("-m", "m", "-f", "facts.csv", "--ask", "Where?"), "is no question with its answer"),
        (("-m", "m", "-f", "facts.csv", "--ask", "{who}? => x"), "no column 'who'"),
    ],
)
def test_what_init_cannot_use_is_refused_in_words(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "facts.csv", FACTS)
    result = unlearn("init", *options)
    assert result.exit_code == 2 and message in result.stderr and "hint:" in result.stderr
    assert not (tmp_path / "forget.yaml").exists()


def test_without_rows_to_keep_the_file_says_so_and_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.csv", "question,answer\nWho?,Ann.\n")
    assert unlearn("init", "-m", "my model", "-f", "a.csv", "--load-in-4bit", "-o", "out").exit_code == 0
    settings = yaml.safe_load((tmp_path / "forget.yaml").read_text())
    assert settings == {"model": "my model", "load_in_4bit": True, "forget": "a.csv", "retain": "auto",
                        "recipe": "balanced", "output_dir": "out", "seed": 42}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_settings_and_what_is_given_wins(name, tmp_path):
    settings, sources = resolve(ForgetConfig, {"recipe": name}, None)
    for key, value in RECIPES[name].items():
        assert getattr(settings, key) == value and sources[key] == f"recipe {name}"
    file = write(tmp_path / "c.yaml", f"recipe: {name}\nmax_steps: 7\n")
    settings, sources = resolve(ForgetConfig, {"generate_limit": 3}, file)
    assert (settings.max_steps, settings.generate_limit, sources["generate_limit"]) == (7, 3, "flag")


def test_a_recipe_for_a_method_is_not_for_another():
    with pytest.raises(UnlearnError, match="the recipe durable is for rehearsal"):
        resolve(ForgetConfig, {"recipe": "durable", "method": "npo"}, None)
    assert resolve(ForgetConfig, {"recipe": "durable", "method": "rehearsal"}, None)[0].parameters["rounds"] == 250
    assert resolve(ForgetConfig, {"recipe": "quick", "method": "simnpo"}, None)[0].method == "simnpo"
