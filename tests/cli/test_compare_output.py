"""Where `unlearn compare` writes, how its table fits, and what its page survives."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from tests.cli.comparing import around, both, compared, refused, write_run
from tests.cli.running import unlearn
from unlearn_cli.recipes.comparison.page import _samples
from unlearn_cli.recipes.comparison.runs import read_entries
from unlearn_cli.report import UNUSABLE, Score
from unlearn_cli.report_parts import Trajectory


@pytest.fixture
def two(tmp_path) -> list[Path]:
    return [write_run(tmp_path / "a", both(0.2, 0.9)), write_run(tmp_path / "b", both(0.3, 0.95, 1), seed=1)]


def many(folder: Path, count: int, **more) -> list[Path]:
    """Runs as a sweep names them."""
    return [
        write_run(folder / f"npo-learning_rate={n}e-4-seed=0", both(0.6 - i / 40, 0.9, i), learning_rate=n * 1e-4, **more)
        for i, n in enumerate(range(1, count + 1))
    ]


def test_the_table_is_on_stdout(two):
    result = unlearn("compare", *two, "--fail-if", "retain.probability < 0")
    assert "0.200*" in result.stdout and "ok: " in result.stderr and "0.200" not in result.stderr
    assert unlearn("compare", *two, "-q").stdout == ""


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ("privacy.loss_auc > 2", "privacy.loss_auc.after has no value: the report has no 'privacy'"),
        ("forget.nll > 2", "forget.nll.after has no value: it was not scored"),
        ("few-shot.recovery > 2", "not attacked: attacks/few-shot/report.json does not exist"),
    ],
)
def test_a_gate_on_what_no_run_has_fails_with_the_reason(two, gate, why):
    """The metric is known, only not measured here; and the reason is told even if quiet."""
    for flags in ([], ["-q"]):
        result = unlearn("compare", *two, *flags, "--fail-if", gate)
        assert result.exit_code == 3 and why in result.stderr, result.stderr


@pytest.mark.parametrize("flags", [["--json"], ["--csv", "-"], ["--markdown", "-"]])
def test_stdout_holds_one_document(two, flags):
    result = unlearn("compare", *two, *flags)
    assert "0.200*" in result.stderr and "0.200*" not in result.stdout
    assert flags != ["--json"] or json.loads(result.stdout)


@pytest.mark.parametrize("flags", ["--json --csv -", "--json --markdown -", "--csv - --markdown -"])
def test_two_documents_do_not_share_stdout(two, flags):
    assert "would both write to stdout" in refused(*two, *flags.split())


def test_folders_are_made_and_unwritable_ones_refused_before_the_work(two, tmp_path):
    page = tmp_path / "new" / "folder" / "page.html"
    assert unlearn("compare", *two, "--html", page).exit_code == 0 and page.is_file()
    for flag in ("--html", "--csv", "--markdown"):
        message = refused("nothing-here", flag, two[0] / "report.json" / "x.html")  # a folder cannot be made in a file
        assert "cannot be written" in message and "bug" not in message
    assert "a file is needed" in refused(*two, "--html", tmp_path)
    assert "a file is needed" in refused(*two, "--html", "-")


@pytest.mark.parametrize("count", [2, 6, 12])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_runs_are_rows_and_no_number_is_cut(tmp_path, monkeypatch, width, count):
    monkeypatch.setenv("COLUMNS", str(width))
    runs = many(tmp_path, count)
    text = unlearn("compare", *runs).stdout
    lines = text.splitlines()
    assert max(map(len, lines)) <= width and "…" not in text
    for i in range(count):
        shown = f"{0.6 - i / 40:.3f}"
        assert re.search(rf"(?<![\d.]){re.escape(shown)}(?!\d)", text), text
        # One line of scores for each run, under its name, what is left of it, or a number that the key explains.
        name = f"npo-learning_rate={i + 1}e-4-seed=0"
        starts = (name, f"learning_rate={i + 1}e-4", str(i + 1))
        line = next(line for line in lines if shown in line)
        assert line.startswith(starts), line
        assert name in text or "all names begin with npo- and end with seed=0" in text
    assert "* best" in lines  # a line of its own


def test_a_star_shows_a_difference(tmp_path):
    a, b = write_run(tmp_path / "a", both(0.2, 0.98004)), write_run(tmp_path / "b", both(0.2, 0.98, 1), seed=1)
    text = unlearn("compare", a, b).stdout
    assert "0.98004*" in text and "0.98000" in text


def test_markdown_says_what_its_marks_mean(two, tmp_path):
    unlearn("compare", *two, "--markdown", tmp_path / "t.md")
    text = (tmp_path / "t.md").read_text()
    assert "0.200\\*" in text and "\\* best" in text and "baseline" not in text


def test_settings_of_one_method_are_told_under_the_table(tmp_path):
    a = write_run(tmp_path / "a", both(0.2, 0.9), method="npo", parameters={"beta": 0.1})
    b = write_run(tmp_path / "b", both(0.3, 0.9, 1), method="rmu", parameters={"layer": 7})
    c = write_run(tmp_path / "c", both(0.4, 0.9, 2), method="rmu", parameters={"layer": 7})
    both_methods = " ".join(unlearn("compare", a, b, c).stdout.split())
    assert "only npo has beta 0.1" in both_methods and "only rmu has layer 7" in both_methods
    assert both_methods.count("layer") == 1
    write_run(tmp_path / "c", both(0.4, 0.9, 2), method="rmu", parameters={"layer": 3})
    differing = " ".join(unlearn("compare", a, b, c).stdout.split())
    assert "only rmu has" not in differing and "only npo has beta 0.1" in differing
    one_method = " ".join(unlearn("compare", b, c).stdout.split())
    assert "layer" in one_method and "only" not in one_method
    assert [run["settings"]["layer"] for run in compared(a, b, c)["runs"]] == [None, 7, 3]


@pytest.mark.parametrize("status", UNUSABLE)
def test_a_run_that_did_not_end_well_is_never_the_best(tmp_path, monkeypatch, status):
    """By every number the first run is the best of three; neither star nor front nor color goes to it, and it is named."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    runs = [write_run(tmp_path / name, both(*values, i)) for i, (name, values) in enumerate(THREE.items())]
    report = json.loads((runs[0] / "report.json").read_text()) | {"status": status}
    (runs[0] / "report.json").write_text(json.dumps(report))
    summary = compared(*runs, "--sort", "forget.probability")
    assert summary["metrics"]["forget.probability"]["best"] == ["b"] and summary["metrics"]["retain.probability"][
        "best"
    ] == ["c"]
    assert summary["front"]["runs"] == ["b", "c"] and [run["name"] for run in summary["runs"]] == ["b", "c", "a"]
    assert summary["runs"][-1]["values"]["forget.probability"]["difference"] is None
    page, pull = tmp_path / "p.html", tmp_path / "t.md"
    result = unlearn("compare", *runs, "--html", page, "--markdown", pull)
    message = f"Did not end well, so not judged: a ({status.replace('_', ' ')})."
    for text in (result.stdout, pull.read_text(), page.read_text()):
        assert text.count(message) == 1 and text.index(message) < text.index("0.050")
        assert "0.050*" not in text and "0.050\\*" not in text
    assert '<tr role="row" class="failed">' in page.read_text() and "Gray: did not end well" in page.read_text()
    line = next(line for line in result.stdout.splitlines() if "0.050" in line)
    assert "\x1b[2m" in line and "\x1b[1m" not in line


THREE = {"a": (0.05, 0.99), "b": (0.2, 0.9), "c": (0.3, 0.95)}


def test_one_run_is_left_where_the_other_did_not_end_well(two):
    report = json.loads((two[0] / "report.json").read_text()) | {"status": "no_effect"}
    (two[0] / "report.json").write_text(json.dumps(report))
    summary = compared(*two)
    assert summary["front"]["runs"] == [] and not any(metric["best"] for metric in summary["metrics"].values())
    grouped = compared(*two, "--group-by", "seed")
    assert [run["name"] for run in grouped["runs"]] == ["a + 1"] and grouped["front"]["runs"] == []


def test_every_form_has_the_same_notes(tmp_path):
    """One comparison with every kind of note."""
    a, b = write_run(tmp_path / "a", both(0.05, 0.9)), write_run(tmp_path / "b", both(0.3, 0.95, 1), sha={"retain": "other"})
    c = write_run(tmp_path / "c", both(0.4, 0.9, 2))
    (c / "rows.jsonl").unlink()
    (c / "report.json").write_text(json.dumps(json.loads((c / "report.json").read_text()) | {"status": "diverged"}))
    for folder, rate in ((a, 1e-4), (b, 1e-3)):
        attack = folder / "attacks" / "relearn"
        attack.mkdir(parents=True)
        parameters = {"learning_rate": rate}
        recovery = {"start": 0, "max": 0.5, "ci": None, "at": 1, "parameters": parameters, "gain": None, "points": []}
        (attack / "report.json").write_text(json.dumps({
            "attack": "relearn", "along": "step", "run": "r", "verdict": "", "upper_bound": True, "config": {},
            "environment": {}, "forget_sha256": "f", "judged_rows": 1, "attacker_rows": 1, "overlap": 0, "seconds": 1.0,
            "curves": [{"role": "unlearned", "parameters": parameters, "points": []}], "recovery": {"probability": recovery},
        }))  # fmt: skip
    base = write_run(tmp_path / "never", {"forget.probability": Score(value=0.1, ci=(0.08, 0.12), n=50, target="min")})
    page, pull = tmp_path / "p.html", tmp_path / "t.md"
    flags = [a, b, c, "--allow-different", "--baseline", base]
    result = unlearn("compare", *flags, "--html", page, "--markdown", pull)
    notes = compared(*flags)["notes"]
    kinds = (
        "Did not end well",
        "Over-forgotten",
        "measured differently",
        "attacked differently",
        "no values of single rows",
    )
    assert all(any(kind in note for note in notes) for kind in kinds), notes
    plain = re.sub(r"\\([*~|])", r"\1", pull.read_text())
    for text in (plain, html.unescape(page.read_text()), result.stdout, result.stderr):
        assert all(" ".join(text.split()).count(note) == 1 for note in notes), text


def test_settings_of_a_run_are_no_difference_to_an_evaluation(tmp_path):
    """An evaluation has no method and no learning rate; among several runs they still count."""
    run = write_run(tmp_path / "run", both(0.2, 0.9), method="npo", parameters={"beta": 0.1})
    other = write_run(tmp_path / "other", both(0.2, 0.9, 1), method="npo", parameters={"beta": 0.2})
    never = write_run(tmp_path / "never", both(0.1, 0.9, 2), command="evaluate")
    result = unlearn("compare", run, never)
    assert "only npo has" not in result.stdout and "learning_rate" not in result.stdout
    assert compared(run, never)["runs"][0]["settings"] == {}
    assert [one["settings"] for one in compared(run, other, never)["runs"]] == [{"beta": 0.1}, {"beta": 0.2}, {"beta": None}]


def test_the_file_of_a_sweep_is_no_run(two, tmp_path):
    """`unlearn compare sweep/*` names it as well."""
    (tmp_path / "sweep.json").write_text("{}")
    assert len(compared(*two, tmp_path / "sweep.json")["runs"]) == 2


def test_the_page_draws_the_first_rows_in_their_order(tmp_path):
    runs = many(tmp_path, 12, training=trained())
    assert unlearn("compare", *runs, "--sort", "forget.probability", "--html", tmp_path / "page.html").exit_code == 0
    text = (tmp_path / "page.html").read_text()
    drawn = text.partition("Forgetting on the way")[2].partition("</figure>")[0]
    assert drawn.count("<title>") == 8 and "<title>npo-learning_rate=12e-4-seed=0</title>" in drawn
    left = text.partition("Left out: ")[2].partition("</p>")[0]
    assert left.startswith("npo-learning_rate=4e-4-seed=0") and left.count("npo-") == 4


def trained() -> dict:
    points = [Trajectory(step=s, scores={"forget": {"probability": 0.5}}).model_dump() for s in (1, 2)]
    return {
        "steps": 2, "steps_planned": 2, "epochs": 1, "effective_batch": 1, "retain_rows_per_step": 1, "tokens": 1,
        "tokens_per_second": 1, "real_token_share": 1, "seconds_per_step": 1, "forget_loss": None, "retain_loss": None,
        "grad_norm_max": None, "reference_seconds": 0, "activation_checkpointing": False, "trajectory": points,
    }  # fmt: skip


def test_the_page_survives_what_cannot_be_drawn(two, tmp_path):
    """NaN, infinity, a line that a killed run left half written, and a single step."""
    losses = [1.0, float("nan"), float("inf"), 2.0]
    lines = [json.dumps({"step": i, "forget_loss": v, "retain_loss": 1.0}) for i, v in enumerate(losses)]
    (two[0] / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 4, "forg')
    (two[1] / "metrics.jsonl").write_text(json.dumps({"step": 0, "forget_loss": 1e300, "retain_loss": None}) + "\n")
    result = unlearn("compare", *two, "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.stderr
    text = (tmp_path / "page.html").read_text()
    assert "Training: forget loss" in text and not re.search(r'(?:[xy]|points)="[^"]*(?:nan|inf)', text)


def test_the_front_is_drawn_to_a_file(tmp_path):
    """With short names beside the points, with long ones in a key, and with a run that failed."""
    pytest.importorskip("matplotlib")
    runs = [*many(tmp_path, 2), *(write_run(tmp_path / name, both(*v, i)) for i, (name, v) in enumerate(THREE.items()))]
    report = json.loads((runs[-1] / "report.json").read_text()) | {"status": "diverged"}
    (runs[-1] / "report.json").write_text(json.dumps(report))
    for shown in (runs, runs[2:]):
        result = unlearn("compare", *shown, "--plot", tmp_path / "new" / "front.svg")
        assert result.exit_code == 0 and "drawn: " in result.stderr, result.stderr
        assert (tmp_path / "new" / "front.svg").read_text().count("<use") > 6
        (tmp_path / "new" / "front.svg").unlink()


def test_one_row_has_an_axis(tmp_path):
    values = {"forget.probability": np.array([0.5]), "retain.probability": around(0.9)}
    summary = compared(*(write_run(tmp_path / name, values) for name in ("a", "b")), "--html", tmp_path / "page.html")
    assert summary["metrics"]["forget.probability"]["best"] == ["a", "b"]
    assert "nan" not in (tmp_path / "page.html").read_text().partition("<figure>")[2]


def with_before(run: Path, **values: float) -> Path:
    """A run whose report knows the model before unlearning."""
    report = json.loads((run / "report.json").read_text())
    for split, value in values.items():
        report["scores"][split]["probability"]["before"] = Score(value=value, n=50).model_dump(mode="json")
    (run / "report.json").write_text(json.dumps(report))
    return run


def test_the_model_before_unlearning_has_a_line_where_all_runs_have_the_same(two, tmp_path):
    for run in two:
        with_before(run, forget=0.987, retain=0.876)
    for text in (unlearn("compare", *two).stdout, unlearn("compare", *two, "--markdown", "-").stdout):
        line = next(line for line in text.splitlines() if line.lstrip("| ").startswith("before"))
        assert "0.987" in line and "0.876" in line
    assert compared(*two)["metrics"]["forget.probability"]["before"] == 0.987
    with_before(two[0], forget=0.5)
    summary = compared(*two)["metrics"]
    assert summary["forget.probability"]["before"] is None and summary["retain.probability"]["before"] == 0.876


def test_the_page_leads_with_warnings_and_ends_with_a_glossary(tmp_path):
    runs = [with_before(write_run(tmp_path / name, both(*v, i)), forget=0.987) for i, (name, v) in enumerate(THREE.items())]
    report = json.loads((runs[0] / "report.json").read_text()) | {"status": "collapsed"}
    (runs[0] / "report.json").write_text(json.dumps(report))
    assert unlearn("compare", *runs, "--html", tmp_path / "p.html").exit_code == 0
    text = html.unescape((tmp_path / "p.html").read_text()).replace("\u200b", "")
    assert "<title>3 runs on the model “m”: 50 rows to forget</title>" in text and "2026-01-01." in text
    warnings, summary, scores, glossary = map(
        text.index, ('class="warnings"', 'class="summary"', "<h2>Scores</h2>", "<h2>Glossary</h2>")
    )
    assert warnings < text.index("Did not end well") < summary < scores < glossary
    assert "Best trade-offs between forget.probability and retain.probability: b (0.200, 0.900), c (0.300, 0.950)." in text
    rows = re.findall(r'<span class="run">(.*?)</span>', text[scores:glossary])
    assert rows[:4] == ["b\u00a0◆", "c\u00a0◆", "a", "before"]  # the wrecked run is the last of the runs
    for word in ("forget.probability", "retain.probability", "before"):
        assert f"<dt>{word}</dt>" in text[glossary:]
    meaning = re.search(r"<dt>forget.probability</dt><dd>(.*?)</dd>", text)[1]
    assert f'<abbr title="{meaning}">' in text and "Less is better." in meaning


def test_a_phone_gets_a_card_for_each_metric_with_all_runs_in_it(two, tmp_path):
    assert unlearn("compare", *two, "--html", tmp_path / "p.html").exit_code == 0
    scores = (tmp_path / "p.html").read_text().partition('<div class="cards">')[2].partition("</div>")[0]
    cards = scores.split("<caption>")[1:]
    assert len(cards) == 2 and all(card.count('<th scope="row">') == 2 for card in cards)
    assert "0.200" in cards[0] and "0.300" in cards[0] and "0.900" in cards[1] and "0.950" in cards[1]


def test_a_long_answer_is_folded_and_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "unlearn_cli.recipes.comparison.page._samples",
        lambda entries, count: [{"question": "q", "truth": "short", "answers": [{"run": "a", "text": "word " * 200}]}],
    )
    write_run(tmp_path / "a", both(0.2, 0.9))
    assert unlearn("compare", tmp_path / "a", "--html", tmp_path / "p.html", "--include-samples", 1).exit_code == 0
    samples = (tmp_path / "p.html").read_text().partition('<dl class="sample">')[2].partition("</dl>")[0]
    assert samples.count('<details class="long">') == 1 and "word " * 200 in samples and "<dd>short</dd>" in samples


def test_an_empty_answer_is_an_answer(tmp_path, monkeypatch):
    measured = SimpleNamespace(ids=("r",), prompts=("why?",), references=("so",), generations=("",), split="forget")
    monkeypatch.setattr("unlearn_cli.recipes.comparison.page.measured_forget_rows", lambda entry, moment: measured)
    (entry,) = read_entries([write_run(tmp_path / "a", {"forget.rouge_l": np.array([0.5])})])
    monkeypatch.setattr(type(entry), "ids", lambda self, split: {"r"})
    monkeypatch.setattr(type(entry), "values", lambda self, metric, ids: np.array([0.5]))
    assert _samples([entry], 1)[0]["answers"] == [{"run": "a", "text": "(empty answer)"}]
    measured.generations = (None,)
    assert _samples([entry], 1)[0]["answers"][0]["text"] == "(not generated)"


def test_the_recipe_of_the_guide_works(tmp_path, monkeypatch):
    """Its comparisons, run: the comment is there whatever the gates say, and these are about the candidate alone."""
    guide = Path(__file__).parents[2] / "docs" / "guides" / "compare.md"
    recipe = yaml.safe_load(guide.read_text().partition("```yaml\n")[2].partition("```")[0])
    steps = recipe["jobs"]["forgetting"]["steps"]
    comment = next(step for step in steps if "gh pr comment" in step.get("run", ""))
    assert "GH_TOKEN" in comment["env"] and recipe["permissions"]["pull-requests"] == "write"
    assert not any("--fail-if" in step.get("run", "") for step in steps[: steps.index(comment)])
    monkeypatch.chdir(tmp_path)
    for name, retain, recovery in (("candidate", 0.9, 0.2), ("released", 0.1, 0.9)):
        path = write_run(Path("runs") / name, both(0.2, retain))
        report = json.loads((path / "report.json").read_text())
        report["scores"]["retain"]["probability"]["before"] = Score(value=0.9, n=50).model_dump(mode="json")
        report["attacks"] = {"relearn": {"verdict": "", "recovery": recovery, "upper_bound": True}}
        (path / "report.json").write_text(json.dumps(report))
    commands = [shlex.split(step["run"])[1:] for step in steps if step.get("run", "").startswith("unlearn compare")]
    assert [unlearn(*arguments).exit_code for arguments in commands] == [0, 0] and Path("comment.md").is_file()
    shutil.move("runs/released", "runs/rejected")
    shutil.move("runs/candidate", "runs/released")
    shutil.move("runs/rejected", "runs/candidate")
    assert [unlearn(*arguments).exit_code for arguments in commands] == [0, 3]


def test_a_refused_command_leaves_no_trace(two, tmp_path):
    """Neither folders for its files nor, beside them, a file of the user's that is called FILE.part."""
    mine = tmp_path / "page.html.part"
    mine.write_text("mine")
    for target in (tmp_path / "page.html", tmp_path / "new" / "folder" / "page.html"):
        refused("nothing-here", "--html", target)
    assert unlearn("compare", *two, "--html", tmp_path / "page.html").exit_code == 0
    assert mine.read_text() == "mine" and not (tmp_path / "new").exists()
