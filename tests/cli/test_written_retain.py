"""`--retain auto`, which is what happens without --retain: the model writes the rows to keep before it forgets."""

import json

import pytest

from tests.cli.running import DEMO, QUICK, read_report, unlearn, write_rows
from unlearn_cli.data.example import Example
from unlearn_cli.data.written import Secrets
from unlearn_cli.demo.facts import splits


@pytest.fixture(scope="module")
def forget(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    return write_rows(folder / "forget.jsonl", [{k: r[k] for k in ("question", "answer")} for r in splits()["forget"][:4]])


def arguments(forget):
    return ("forget", "--model", DEMO, "--forget", forget, *QUICK)


@pytest.fixture(scope="module")
def written(forget, tmp_path_factory):
    out = tmp_path_factory.mktemp("auto") / "run"
    result = unlearn(*arguments(forget), "-o", out, target=True)
    assert result.exit_code in (0, 4) and (out / "report.json").is_file(), result.stderr
    return result, out


def test_it_is_said_and_in_the_report(written):
    result, out = written
    report, words = read_report(out), " ".join(result.stderr.split())
    assert "no --retain was given: the model wrote the retain rows" in words and "--retain FILE" in words
    assert report["config"]["retain"] == "auto" and report["config_sources"]["retain"] == "default: no --retain"
    assert report["config"]["retain_term"] == "kl" and report["data"]["retain"]["format"] == "written by the model"
    assert "retain_trained" in report["scores"] and "written_retain.json" in report["texts"]


def test_no_row_says_what_a_forget_row_says(written, forget):
    rows = json.loads((written[1] / "written_retain.json").read_text())["rows"]
    given = [json.loads(line) for line in forget.read_text().splitlines()]
    secrets = Secrets([Example("", (("user", r["question"]),), r["answer"], "qa") for r in given])
    kept = [row for some in rows.values() for row in some]
    assert len(kept) >= 8 and all(row["answer"] for row in kept)
    assert not [row for row in kept if secrets.shared_by(row["turns"][-1][1], row["answer"])]


def test_an_evaluation_of_the_run_reads_its_rows(written, tmp_path):
    out = tmp_path / "again"
    result = unlearn("evaluate", written[1], "-o", out, target=True)
    assert result.exit_code == 0, result.stderr
    first, again = read_report(written[1])["scores"], read_report(out)["scores"]
    assert again["retain"]["probability"]["after"]["value"] == first["retain"]["probability"]["after"]["value"]


def test_a_dry_run_shows_what_will_be_asked(forget, tmp_path):
    result = unlearn(*arguments(forget), "--dry-run", "-o", tmp_path / "run", target=True)
    words = " ".join(result.stdout.split()) + " ".join(result.stderr.split())
    assert result.exit_code == 0 and "the model writes them before it is trained" in words
    assert "questions like the forget rows" in words and not (tmp_path / "run").exists()


def test_without_texts_an_evaluation_leaves_them_out(forget, tmp_path):
    run = tmp_path / "run"
    unlearn(*arguments(forget), "--no-text", "-o", run)
    assert not (run / "written_retain.json").exists()
    result = unlearn("evaluate", run, "-o", tmp_path / "again")
    assert result.exit_code == 0 and "keeps no texts" in " ".join(result.stderr.split())
    assert "retain" not in read_report(tmp_path / "again")["scores"]


def test_auto_is_refused_where_nothing_is_written(forget, tmp_path):
    result = unlearn("evaluate", "-m", DEMO, "--forget", forget, "--retain", "auto", "-o", tmp_path / "e")
    assert result.exit_code == 2 and "--retain auto" in result.stderr


def test_rows_to_judge_by_may_be_given(forget, tmp_path):
    judge = write_rows(tmp_path / "judge.jsonl", [{k: r[k] for k in ("question", "answer")} for r in splits()["retain"][:6]])
    unlearn(*arguments(forget), "--retain-eval", judge, "-o", tmp_path / "run")
    data = read_report(tmp_path / "run")["data"]
    assert data["retain"]["rows"] == 6 and data["retain_trained"]["format"] == "written by the model"


def test_documents_without_retain_rows(tmp_path):
    """The model goes on from the beginnings of other documents, and answers everyday prompts: rows of two kinds."""
    forget = write_rows(tmp_path / "forget.jsonl", [{"text": r["answer"]} for r in splits()["forget"][:4]])
    result = unlearn(*arguments(forget), "-o", tmp_path / "run", target=True)
    rows = json.loads((tmp_path / "run" / "written_retain.json").read_text())["rows"]
    styles = {row["style"] for some in rows.values() for row in some}
    assert result.exit_code in (0, 4) and styles == {"text", "qa"}, result.stderr
