"""Every benchmark end to end from a Hub on the loopback, whose files have the published schemas: forget, then evaluate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, unlearn
from tests.data.benchmark_files import HUB, PERSON, lume
from tests.hub_server import FakeHub
from unlearn_cli.data.benchmarks._benchmark import BENCHMARKS

NAMES = (
    "tofu:forget01@main", "tofu:forget50@main", "muse:news", "muse:news-sust2", "wmdp:cyber", f"rwku:{PERSON}",
    "dusk:listicle", "knowundo:privacy",
)  # fmt: skip
# One process for all of them: the libraries read the Hub's address when they are imported, which takes seconds.
SCRIPT = """
import contextlib, json, pathlib, sys
import unlearn_cli
from unlearn_cli.errors import UnlearnError
from unlearn_cli.report import read_report
names, folder, model = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
few = dict(model=model, generate_limit=1, max_new_tokens=4, bootstrap_samples=10, no_general=True)
said = {}
for number, name in enumerate(names):
    term = "none" if name.startswith("rwku") else "nll"
    run = f"{folder}/{number}"
    train = dict(max_steps=1, batch_size=2, no_target=True, retain_term=term, benchmark=name, output_dir=run)
    with contextlib.suppress(UnlearnError):  # one step may change too little for a run that counts
        unlearn_cli.forget(**few, **train)
    forgot = read_report(pathlib.Path(run))
    evaluated = unlearn_cli.evaluate(benchmark=name, output_dir=f"{run}-evaluated", **few)
    said[name] = {"run": forgot.model_dump(mode="json"), "evaluated": evaluated.model_dump(mode="json")}
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Reports of a run and of an evaluation, by the benchmark's name."""
    folder = tmp_path_factory.mktemp("benchmarks")
    served = {repository: write(folder / repository.replace("/", "--")) for repository, write in HUB.items()}
    with FakeHub({"dataset": served}) as hub:
        for name in BENCHMARKS.names():
            for repository, commit in BENCHMARKS.get(name).revisions.items():
                hub.tags[repository] = {commit}
        command = [sys.executable, "-c", SCRIPT, json.dumps(NAMES), str(folder), MODEL]
        done = subprocess.run(command, capture_output=True, text=True, env=hub.environment(folder / "home"), timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NAMES)
def test_the_published_splits_are_trained_on_and_measured(reports: dict[str, Any], name: str) -> None:
    run, evaluated = reports[name]["run"], reports[name]["evaluated"]
    assert run["config"]["benchmark"] == name and run["training"]["steps"] == 1
    stem, _, variant = name.partition("@")[0].partition(":")
    benchmark = BENCHMARKS.get(stem)
    declared = benchmark.variants.get(variant) or benchmark.any_variant(variant)
    assert set(declared.evaluate) <= set(evaluated["data"])
    for split, part in declared.evaluate.items():
        for metric in part.metrics:
            scored = {**evaluated["scores"].get(split, {}), **evaluated["scores"].get("privacy", {})}
            assert metric in scored or metric == "forget_quality", f"{split}: {metric} is not scored"
    trained = run["data"]["forget"]["spec"]
    assert declared.forget.hub.rpartition(":")[0].split("@")[0] in trained.replace("@main", "").split("@")[0]


def test_the_pinned_commit_is_read_and_reported(reports: dict[str, Any]) -> None:
    commit = BENCHMARKS.get("muse").revisions["muse-bench/MUSE-News"]
    data = reports["muse:news"]["run"]["data"]
    assert f"@{commit}:" in data["forget"]["spec"] and data["forget"]["revision"] == commit
    assert reports["tofu:forget01@main"]["run"]["data"]["forget"]["published"] is None
    assert data["forget"]["pinned"] is True


def test_where_no_commit_is_known_the_report_says_so_and_has_the_one_that_was_read(reports: dict[str, Any]) -> None:
    for name in (f"rwku:{PERSON}", "dusk:listicle", "knowundo:privacy", "tofu:forget01@main"):
        forget = reports[name]["run"]["data"]["forget"]
        assert forget["pinned"] is False and len(forget["revision"]) == 40


def test_a_run_trains_on_no_text_of_the_tests(reports: dict[str, Any]) -> None:
    data = reports["muse:news"]["run"]["data"]
    assert "/raw" in data["forget"]["spec"] and "/raw" in data["retain_trained"]["spec"]
    assert (
        "/privleak" in data["forget_test"]["spec"] and "/sust" in reports["muse:news-sust2"]["run"]["data"]["forget"]["spec"]
    )


def test_tofu_judges_what_training_left_out(reports: dict[str, Any]) -> None:
    """The published rows that judge are rows of the retain set: they are taken out of it."""
    data = reports["tofu:forget01@main"]["run"]["data"]
    assert (data["retain"]["rows"], data["retain_trained"]["rows"]) == (4, 12)
    assert reports["tofu:forget50@main"]["run"]["data"]["forget"]["rows"] == 10


def test_rwku_takes_one_person(reports: dict[str, Any]) -> None:
    data = reports[f"rwku:{PERSON}"]["evaluated"]["data"]
    assert data["forget_level1"]["rows"] == 2 and data["retain_general"]["rows"] == 1
    assert data["retain_factuality"]["rows"] == 1


def test_lume_comes_from_a_folder(tmp_path: Path) -> None:
    few = ("--generate-limit", 1, "--max-new-tokens", 4, "--bootstrap-samples", 10, "--max-steps", 1, "--batch-size", 2)
    flags = ("forget", "--model", MODEL, "--benchmark", "lume:task2", *few, "-o", tmp_path / "run")
    refused = unlearn(*flags)
    assert refused.exit_code == 2 and "lume-llm-unlearning" in refused.stderr
    done = unlearn(*flags, "--benchmark-dir", lume(tmp_path / "lume"))
    assert done.exit_code in (0, 4), done.stderr  # one step may change too little
    data = json.loads((tmp_path / "run" / "report.json").read_text())["data"]
    assert {n: d["rows"] for n, d in data.items() if n.startswith("forget")} == {
        "forget": 6, "forget_passages": 3, "forget_questions": 3,
    }  # fmt: skip


def test_what_publishes_no_rows_to_train_on(tmp_path: Path) -> None:
    result = unlearn("forget", "--model", MODEL, "--benchmark", "wmdp:chem", "-o", tmp_path / "run")
    assert result.exit_code == 2 and "publishes no rows to forget" in result.stderr and "--forget" in result.stderr
