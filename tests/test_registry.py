"""Names: the package's own, other distributions', and files."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from tests.cli.running import DEMO, QUICK, data_arguments, read_report, unlearn
from unlearn_cli import registry
from unlearn_cli.contract import METHODS, RETAIN_TERMS
from unlearn_cli.data.benchmarks._benchmark import BENCHMARKS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.catalogue.entries import KINDS, names, page, page_dumps
from unlearn_cli.recipes.catalogue.published import flags


@pytest.mark.parametrize("spelling", ["grad-diff", "grad_diff", " Grad-Diff "])
def test_either_spelling(spelling):
    assert METHODS.get(spelling).name == "grad-diff"


def test_an_unknown_name_answers_with_the_nearest():
    with pytest.raises(UnlearnError) as caught:
        METHODS.get("simpno")
    assert "did you mean 'simnpo'" in caught.value.hint


def test_another_distribution_can_add_a_method(monkeypatch):
    """An entry point is listed like the package's own, and loaded when it is asked for."""
    point = EntryPoint("their_own", "unlearn_cli.methods.npo:npo", METHODS.package)
    requested = []

    def installed(*, group):
        requested.append(group)
        return [point] if group == METHODS.package else []

    registry._installed.cache_clear()
    monkeypatch.setattr(registry, "entry_points", installed)
    try:
        assert "their-own" in METHODS.names()
        assert METHODS.get("their_own") is METHODS.get("npo")
        assert METHODS.summary("their-own") == METHODS.summary("npo")
    finally:
        registry._installed.cache_clear()
    assert METHODS.package in requested


def test_summaries_are_read_without_importing():
    code = (
        "import sys\nfrom unlearn_cli.recipes.catalogue.entries import KINDS, lines\nassert all(map(lines, KINDS))\n"
        "heavy = {'torch', 'numpy', 'scipy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_summaries_are_the_first_lines(kind):
    """What `unlearn list` prints is the first line of what `unlearn show` prints."""
    for name in KINDS[kind].names():
        assert KINDS[kind].summary(name) == KINDS[kind].get(name).documentation.splitlines()[0]


def test_a_name_that_two_kinds_share_shows_both():
    text = page("nll")
    assert text.startswith("nll (retain term)\n") and "\nnll (metric)\n" in text
    assert page("npo").startswith("npo\n")


def test_everything_that_is_shown_is_json_too():
    for name in [*(name for kind in KINDS for name in names(kind)), *BENCHMARKS.names()]:
        entries = json.loads(page_dumps(name))
        assert {entry["name"].replace("-", "_") for entry in entries} == {name.replace("-", "_")}
    assert [entry["kind"] for entry in json.loads(page_dumps("nll"))] == ["retain term", "metric"]
    npo = json.loads(unlearn("show", "npo", "--json").stdout)[0]
    assert npo["parameters"]["beta"]["default"] == METHODS.get("npo").parameters["beta"].default
    assert npo["flags"] == flags(METHODS.get("npo")) and npo["defaults"]["epochs"] == METHODS.get("npo").defaults.epochs


def test_a_file_of_ones_own_needs_no_paper_and_no_defaults(tmp_path):
    """It is shown, and a run with it starts with the usual defaults."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from unlearn_cli.contract import method\n\n\n@method()\ndef mine(policy):\n"
        "    return policy.averaged(policy.token_logps)\n"
    )
    shown = unlearn("show", file)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.startswith("mine\n\nneeds: policy\ndefaults: retain term nll")
    requested = unlearn(
        "forget", *data_arguments(tmp_path, DEMO), "--method", file, *QUICK, "--output-dir", tmp_path / "run"
    )
    report = read_report(tmp_path / "run")
    assert requested.exit_code == 0, requested.stderr
    assert (report["config"]["retain_weight"], report["config"]["epochs"]) == (1.0, None)


def test_none_can_be_written_for_a_parameter_that_may_be_none():
    assert RETAIN_TERMS.get("hidden-mse").resolve({"layer": "none"}) == RETAIN_TERMS.get("hidden-mse").resolve({})
    with pytest.raises(UnlearnError):
        METHODS.get("npo").resolve({"beta": "none"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_default_of_a_parameter_can_be_given(kind):
    """What a report or `unlearn show` says is read again: no bound excludes the default."""
    for entry in map(KINDS[kind].get, KINDS[kind].names()):
        for name, parameter in getattr(entry, "parameters", {}).items():
            assert entry.resolve({name: parameter.default})[name] == parameter.default, f"{entry.name} -p {name}"
