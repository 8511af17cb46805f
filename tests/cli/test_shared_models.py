"""The shared models: one that has memorized TOFU rows, and one that never saw the forget rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import unlearn

SHARED = Path(__file__).parents[3] / "shared"
pytestmark = pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="../shared is not there")
DATA = SHARED / "data" / "tofu-mini"
FEW = ("--eval-limit", 24, "--generate-limit", 2, "--max-new-tokens", 8, "--bootstrap-samples", 20)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Both models on the same rows: the memorizing one beside the retain-only one, and the latter by itself."""
    folder = tmp_path_factory.mktemp("shared")
    rows = ["--forget", DATA / "forget_perturbed.jsonl", "--holdout", DATA / "holdout.jsonl", *FEW]
    full, other = SHARED / "models" / "tofu-mini-full", SHARED / "models" / "tofu-mini-retain90"
    one = unlearn("evaluate", "--model", full, "--baseline", other, *rows, "-o", folder / "full", "--json")
    two = unlearn("evaluate", "--model", other, *rows, "-o", folder / "other", "--json")
    assert one.exit_code == two.exit_code == 0, one.stderr + two.stderr
    return folder, json.loads(one.stdout)["scores"], json.loads(two.stdout)["scores"]


def test_what_was_memorized_is_seen(evaluated):
    _, full, other = evaluated
    assert full["forget"]["forget_quality"]["after"]["value"] < 0.01
    assert full["forget"]["forget_quality"]["after"]["details"]["sign"] == -1
    assert full["privacy"]["privleak"]["after"]["value"] < -95
    for metric in ("loss_auc", "min_k_auc", "min_k_plus_plus_auc", "zlib_auc"):
        assert full["privacy"][metric]["after"]["value"] > 0.95, metric
        assert 0.25 < other["privacy"][metric]["after"]["value"] < 0.75, metric
        assert full["privacy"][metric]["baseline"]["value"] == other["privacy"][metric]["after"]["value"]


def test_the_retain_only_model_against_itself(evaluated, tmp_path):
    folder, _, _ = evaluated
    flags = ["--measured", folder / "other", "--baseline", folder / "other", "-o", tmp_path / "out", "--json"]
    scores = json.loads(unlearn("evaluate", *flags).stdout)["scores"]
    assert scores["forget"]["forget_quality"]["after"]["value"] == 1.0
    assert scores["privacy"]["privleak"]["after"]["value"] == 0.0


def test_tofu_by_name(tmp_path):
    """Four splits from the published files, and the utility over three of them; a file that was changed is refused."""
    tofu = SHARED / "data" / "tofu"
    flags = ["--model", SHARED / "models" / "tofu-mini-retain90", "--benchmark", "tofu:forget01", *FEW, "--eval-limit", 4]
    result = unlearn("evaluate", *flags, "--benchmark-dir", tofu, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    scores = json.loads(result.stdout)["scores"]
    assert set(scores) == {"forget", "retain", "real_authors", "world_facts", "utility", "aggregate"}
    assert len(scores["utility"]["model_utility"]["after"]["details"]) == 9
    (tmp_path / "copy").mkdir()
    for file in tofu.glob("*_perturbed.json"):
        (tmp_path / "copy" / file.name).write_bytes(file.read_bytes().replace(b"author", b"writer", 1))
    changed = unlearn("evaluate", *flags, "--benchmark-dir", tmp_path / "copy", "-o", tmp_path / "out2")
    assert changed.exit_code == 2 and "does not hold the published rows" in changed.stderr
