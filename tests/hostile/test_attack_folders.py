"""A run folder of a stranger with hostile reports and curves of attacks: one clear error with a hint, or it is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import QUICK, data_arguments, unlearn
from tests.hostile.strategies import deep
from unlearn_cli.recipes.attacking.curves import read_curve

ATTACK = ("--attack", "scale", "-p", "percent=50", "--generate-limit", -1, "--bootstrap-samples", 20)
Change = Callable[[dict], object]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stranger")
    assert unlearn("forget", *data_arguments(folder), *QUICK, "--max-steps", 1, "-o", folder / "run").exit_code in (0, 4)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("UNLEARN_CACHE", str(folder / "cache"))
        assert unlearn("relearn-attack", folder / "run", *ATTACK).exit_code == 0
    return folder


@pytest.fixture
def run(attacked, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("UNLEARN_CACHE", str(attacked / "cache"))
    shutil.copytree(attacked / "run", tmp_path / "run")
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def changed(path: Path, change: Change) -> None:
    content = json.loads(path.read_text())
    replaced = change(content)
    path.write_text(json.dumps(content if replaced is None else replaced))


def answer(*arguments: object) -> int:
    """The exit code of a command that ends as one should."""
    done = unlearn(*arguments)
    assert done.exit_code in (0, 2, 3), done.stderr
    assert "error: " in done.stderr and "hint: " in done.stderr if done.exit_code == 2 else "Traceback" not in done.stderr
    return done.exit_code


REPORTS: dict[str, Change] = {
    "a list": lambda report: [report],
    "nothing": lambda report: {},
    "no recovery": lambda report: report.update(recovery={}),
    "a metric that no attack shows": lambda report: report.update(shown_metric="../x"),
    "another metric than its attack's": lambda report: report.update(shown_metric="rouge_l"),
    "curves of nobody": lambda report: report.update(curves=[]),
    "deep": lambda report: report.update(config={"baseline": deep(500)}),
    "a baseline that is a number": lambda report: report["config"].update(baseline=7),
    "control characters": lambda report: report.update(verdict="\x1b[2J", attack="\x1b]0;x\x07", run="../../x"),
    "an attack that nobody has": lambda report: report.update(attack="<script>"),
}


@pytest.mark.parametrize("name", REPORTS)
def test_reports_of_attacks(run: Path, name: str) -> None:
    """Commands that read them answer; those that do not read them are not disturbed."""
    changed(run / "attacks" / "scale" / "report.json", REPORTS[name])
    before, page = contents(run), run.parent / "page.html"
    answer("report", "show", run / "attacks" / "scale")
    answer("compare", run, "--html", page)
    assert answer("verify", run) == 3, "the lineage names another file"
    assert contents(run) == before
    answer("report", run, "--html", page)


CURVES: dict[str, Change] = {
    "a list": lambda curve: [curve],
    "no points": lambda curve: curve.update(points=[]),
    "a point of nothing": lambda curve: curve.update(points=[{}]),
    "no metric": lambda curve: curve["points"][0].update(forget={}),
    "words": lambda curve: curve["points"][0]["forget"].update(probability=["a"]),
    "another metric": lambda curve: curve["points"][0]["retain"].update(x=[1.0]),
    "deep": lambda curve: curve.update(points=deep(500)),
    "other rows": lambda curve: curve["points"][0].update(
        forget={n: v * 2 for n, v in curve["points"][0]["forget"].items()}
    ),
    "other places": lambda curve: curve["points"][0].update(at=99),
}
REFUSED = {"other rows", "other places"}  # of curves that could be ours


@pytest.mark.parametrize("name", sorted(CURVES.keys() - REFUSED))
def test_what_is_no_curve_is_computed_again(attacked: Path, tmp_path: Path, name: str) -> None:
    (curve,) = (attacked / "run" / "attacks" / "scale" / "curves").glob("*.json")
    path = Path(shutil.copy(curve, tmp_path))
    assert read_curve(path) is not None
    changed(path, CURVES[name])
    assert read_curve(path) is None


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_curve_of_something_else_is_refused(run: Path, name: str) -> None:
    (curve,) = (run / "attacks" / "scale" / "curves").glob("*.json")
    changed(curve, CURVES[name])
    before = contents(run)
    assert answer("relearn-attack", run, *ATTACK) == 2
    assert contents(run) == before, "nothing is written"


def test_weights_and_links_below_the_attacks(run: Path, tmp_path: Path) -> None:
    """An adapter there is never loaded, and a link that leads out is refused before anything is written."""
    (run / "attacks" / "scale" / "adapter_model.safetensors").write_bytes(b"\xff" * 64)
    (run / "attacks" / "scale" / "adapter_config.json").write_text("{")
    assert answer("chat", run, "--prompt", "Who?", "--max-new-tokens", 1) == 0
    assert answer("evaluate", run, "--generate-limit", 1, "--max-new-tokens", 1, "--metrics", "probability") == 0
    (run / "attacks" / "scale" / "report.json").unlink()
    (tmp_path / "mine.json").write_text("mine")
    (run / "attacks" / "scale" / "report.json").symlink_to(tmp_path / "mine.json")
    for command in (("relearn-attack", run, *ATTACK), ("evaluate", run, "--generate-limit", 1)):
        assert answer(*command) == 2
    assert (tmp_path / "mine.json").read_text() == "mine"
