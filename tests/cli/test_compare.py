"""`unlearn compare` on runs of the demo's model."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import BASELINE, QUICK, data_arguments, unlearn


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """npo with two seeds, one of them attacked; grad-diff; an evaluation of the baseline."""
    folder = tmp_path_factory.mktemp("compare")
    data = data_arguments(folder)
    folders = {}
    for name, flags in {
        "npo-0": ["--method", "npo", "--seed", 0, "--eval-every", 2],
        "npo-1": ["--method", "npo", "--seed", 1],
        "diff": ["--method", "grad-diff"],
    }.items():
        folders[name] = folder / name
        assert unlearn("forget", *data, *QUICK, *flags, "-o", folders[name]).exit_code in (0, 4)
    few = ["--generate-limit", 2, "--max-new-tokens", 8, "--bootstrap-samples", 20, "--skip-original", "-p", "steps=0+2"]
    assert unlearn("relearn-attack", folders["npo-0"], *few).exit_code == 0
    folders["never"] = folder / "never"
    flags = ["--forget", data[3], "--retain", data[5], *QUICK[4:], "-o", folders["never"]]
    assert unlearn("evaluate", "--model", BASELINE, *flags).exit_code == 0
    return folders


def compared(*arguments: object) -> dict:
    result = unlearn("compare", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def three(runs: dict[str, Path]) -> list[Path]:
    return [runs["npo-0"], runs["npo-1"], runs["diff"]]


def test_values_are_those_of_the_reports(runs):
    summary = compared(*three(runs))
    for run, path in zip(summary["runs"], three(runs), strict=True):
        scores = json.loads((path / "report.json").read_text())["scores"]
        assert run["name"] == path.name
        for metric in ("forget.probability", "retain.rouge_l"):
            split, _, name = metric.partition(".")
            assert run["values"][metric]["value"] == scores[split][name]["after"]["value"]
    assert set(summary["runs"][0]["settings"]) >= {"method", "seed"} and "output_dir" not in summary["runs"][0]["settings"]
    assert [p["step"] for p in summary["runs"][0]["trajectory"]] == [2]
    assert summary["runs"][0]["values"]["relearn.recovery"]["value"] is not None
    assert summary["runs"][1]["values"]["relearn.recovery"]["value"] is None


def test_order_changes_no_value(runs):
    one, two = compared(*three(runs)), compared(*reversed(three(runs)))
    assert {r["name"]: r for r in one["runs"]} == {r["name"]: r for r in two["runs"]}
    assert sorted(one["front"]["runs"]) == sorted(two["front"]["runs"])


def test_the_best_and_what_is_noise(runs):
    summary = compared(*three(runs))
    values = {run["name"]: run["values"]["forget.probability"] for run in summary["runs"]}
    best = min(values, key=lambda name: values[name]["value"])
    assert summary["metrics"]["forget.probability"]["best"] == [best] and values[best]["best"]
    for name, value in values.items():
        if name != best:
            difference = value["difference"]
            assert difference["rows"] == 8
            assert difference["to_best"] == pytest.approx(value["value"] - values[best]["value"], abs=1e-6)
            assert (difference["verdict"] == "no difference") == (difference["ci"][0] <= 0 <= difference["ci"][1])


def test_seeds_become_one_row(runs):
    summary = compared(*three(runs), "--group-by", "seed")
    group = next(run for run in summary["runs"] if len(run["members"]) == 2)
    both = [json.loads((runs[n] / "report.json").read_text())["scores"] for n in ("npo-0", "npo-1")]
    values = [scores["forget"]["probability"]["after"]["value"] for scores in both]
    assert group["values"]["forget.probability"]["value"] == pytest.approx(sum(values) / 2)
    assert group["values"]["forget.probability"]["spread"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert "seed" not in group["settings"]


def test_the_baseline_beside_them(runs):
    summary = compared(*three(runs), "--baseline", runs["never"])
    theirs = json.loads((runs["never"] / "report.json").read_text())["scores"]["forget"]["probability"]["after"]["value"]
    assert summary["metrics"]["forget.probability"]["baseline"] == theirs


def changed(path: Path, folder: Path, change) -> Path:
    copy = folder / f"other-{path.name}"
    shutil.copytree(path, copy)
    report = json.loads((copy / "report.json").read_text())
    change(report)
    (copy / "report.json").write_text(json.dumps(report))
    return copy


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda r: r["data"]["forget"].update(sha256="0" * 64), "rows"),
        (lambda r: r["config"].update(max_new_tokens=9), "max_new_tokens"),
        (lambda r: r["model"].update(chat_template_sha256="x"), "template"),
    ],
)
def test_what_was_measured_otherwise_is_not_mixed(runs, tmp_path, change, word):
    other = changed(runs["npo-1"], tmp_path, change)
    refused = unlearn("compare", runs["npo-0"], other)
    assert refused.exit_code == 2 and word in refused.stderr and "--allow-different" in refused.stderr
    marked = compared(runs["npo-0"], other, "--allow-different")
    assert len({run["measured"] for run in marked["runs"]}) == 2
    assert any("measured differently" in note for note in marked["notes"])


def test_formats_of_the_table(runs, tmp_path):
    result = unlearn("compare", *three(runs), "--csv", "-", "--quiet", "--metrics", "forget.probability,retain.probability")
    lines = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [line["run"] for line in lines] == ["npo-0", "npo-1", "diff"]
    assert float(lines[0]["forget.probability"]) >= 0 and lines[0]["front"] in "01"
    unlearn("compare", *three(runs), "--markdown", tmp_path / "t.md")
    text = (tmp_path / "t.md").read_text()
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1 and "| npo-0" in text and "forget.probability ↓" in text


def test_sorting(runs):
    summary = compared(*three(runs), "--sort", "retain.probability")
    values = [run["values"]["retain.probability"]["value"] for run in summary["runs"]]
    assert values == sorted(values, reverse=True)


def test_gates_are_asked_of_every_run(runs):
    gated = unlearn("compare", *three(runs), "--fail-if", "retain.probability >= 0")
    assert gated.exit_code == 3
    assert all(f"{name}: retain.probability is 0.9" in gated.stderr for name in ("npo-0", "npo-1", "diff"))
    assert unlearn("compare", *three(runs), "--fail-if", "retain.probability < 0").exit_code == 0
    missing = unlearn("compare", *three(runs), "--fail-if", "relearn.recovery > 99")
    assert missing.exit_code == 3 and "npo-1" in missing.stderr  # it was never attacked


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "nothing to compare"),
        (["--metrics", "forget.probabilty"], "did you mean 'forget.probability'"),
        (["--front", "forget.probability"], "takes two"),
        (["--plot", "x.gif"], ".png"),
    ],
)
def test_what_cannot_be_asked(runs, flags, message):
    given = three(runs) if flags else []
    result = unlearn("compare", *given, *flags)
    assert result.exit_code == 2 and (message in result.stderr or "unlearn-cli[plot]" in result.stderr), result.stderr
    assert unlearn("compare", runs["diff"], runs["diff"]).exit_code == 2


def test_no_torch_is_imported(runs, tmp_path):
    code = (
        "import sys\nfrom unlearn_cli.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy"
    )
    flags = ["compare", *map(str, three(runs)), "--html", str(tmp_path / "page.html"), "--quiet"]
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "compare.html"
    result = unlearn("compare", *three(runs), "--baseline", runs["never"], "--html", path, "--include-samples", 2)
    assert result.exit_code == 0, result.stderr
    return path


def test_the_page_needs_nothing_else(page):
    text = page.read_text()
    assert "<script" not in text and "http://" not in text and "https://" not in text and "url(" not in text
    assert text.count('role="img" aria-label="') >= 4
    titles = ("Forgetting against utility", "Does it come back?", "Forgetting on the way", "Training: forget loss")
    for title in (*(f"<h3>{title}</h3>" for title in titles), "<h2>Answers that leak most</h2>"):
        assert title in text


def forget_texts_on(page: Path, run: Path) -> list[str]:
    """Questions and answers of the forget rows that stand on a page, as its reader sees them: nothing escaped."""
    text = html.unescape(page.read_text())
    rows = map(json.loads, (run / "measured" / "after-forget.jsonl").read_text().splitlines())
    return [words for row in rows for words in (row["prompt"], row["gold"]) if words in text]


def test_the_page_holds_no_forget_text_unless_asked(runs, page, tmp_path):
    unlearn("compare", *three(runs), "--html", tmp_path / "page.html")
    assert forget_texts_on(tmp_path / "page.html", runs["npo-0"]) == []
    assert len(forget_texts_on(page, runs["npo-0"])) >= 4  # two questions and their answers, with --include-samples 2


def test_quotes_do_not_hide_forget_text(runs, tmp_path):
    """Answers with signs that HTML escapes are found as well, so none leaks unseen."""
    path = tmp_path / "page.html"
    path.write_text("<p>It&#39;s &lt;b&gt; &amp; c</p>")
    (tmp_path / "measured").mkdir()
    row = {"prompt": "not there", "gold": "It's <b> & c"}
    (tmp_path / "measured" / "after-forget.jsonl").write_text(json.dumps(row))
    assert forget_texts_on(path, tmp_path) == [row["gold"]]


def test_scores_and_settings_are_tables_of_their_own(page):
    text = re.sub("</?span>|\u200b", "", html.unescape(page.read_text()))
    scores, settings = (
        text.partition(f"<h2>{title}</h2>")[2].partition("</table>")[0] for title in ("Scores", "Settings that differ")
    )
    assert "retain.probability" in scores and ">method<" not in scores and "baseline" in scores
    assert ">method<" in settings and "probability" not in settings and "baseline" not in settings


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_page_in_a_browser(page, tmp_path, width):
    """It renders without an error and without a sideways scroll: a probe in a copy writes what it sees into the title."""
    probe = (
        "<script>window.onload=()=>{const s=[...document.querySelectorAll('figure > svg')];"
        "document.title=JSON.stringify({wide:document.documentElement.scrollWidth,inner:window.innerWidth,"
        "charts:s.length,flat:s.filter(x=>x.getBoundingClientRect().height<80).length,"
        "rows:document.querySelectorAll('tbody tr').length,"
        "cut:[...document.querySelectorAll('.runs')].filter(x=>x.scrollWidth>x.clientWidth).length,"
        "cards:[...document.querySelectorAll('.cards')].every(x=>getComputedStyle(x).display==='block'),"
        "tables:[...document.querySelectorAll('.runs')].every(x=>getComputedStyle(x).display==='block'),"
        "net:performance.getEntriesByType('resource').length})}</script></body>"
    )
    copy = tmp_path / "probe.html"
    copy.write_text(page.read_text().replace("</body>", probe))
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run([CHROMIUM, *flags, copy.as_uri()], capture_output=True, text=True, timeout=120)
    title = done.stdout.partition("<title>")[2].partition("</title>")[0].replace("&quot;", '"')
    seen = json.loads(title)
    assert seen["wide"] <= max(seen["inner"], width) and seen["net"] == 0
    assert seen["cut"] == 0 and seen["cards"] == (width == 390) and seen["tables"] == (width != 390)
    assert seen["charts"] >= 4 and seen["flat"] == 0 and seen["rows"] >= 4
