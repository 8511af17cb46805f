"""Controls of the attack on the shared models: it must bring back what was only hidden, and nothing where nothing was."""

from __future__ import annotations

import json

import pytest

from tests.cli.running import unlearn, write_rows
from tests.cli.test_shared_models import DATA, SHARED

pytestmark = pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="../shared is not there")
ROWS = 48


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Refusals taught to the memorizing model, then thirty steps on half of the forget rows."""
    folder = tmp_path_factory.mktemp("controls")
    forget = [json.loads(line) for line in (DATA / "forget.jsonl").read_text().splitlines()[:ROWS]]
    retain = [json.loads(line) for line in (DATA / "retain.jsonl").read_text().splitlines()[:ROWS]]
    rows = ["--forget", write_rows(folder / "f.jsonl", forget), "--retain", write_rows(folder / "r.jsonl", retain)]
    few = ["--eval-limit", 12, "--generate-limit", 4, "--max-new-tokens", 16, "--bootstrap-samples", 50]
    full, other = SHARED / "models" / "tofu-mini-full", SHARED / "models" / "tofu-mini-retain90"
    flags = ["--method", "idk", "--retain-weight", 1, "--max-steps", 40, "-o", folder / "run", "--offline"]
    code = unlearn("forget", "--model", full, *rows, *few, *flags).exit_code
    assert code in (0, 4), "refusals at this weight may cost too much (4); the attack is judged here, not the run"
    result = unlearn("relearn-attack", folder / "run", "--baseline", other, *few, "-p", "steps=0+30", "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["attacks"]["relearn"]


def curve(report: dict, role: str, metric: str) -> list[float]:
    (role_curve,) = (c for c in report["curves"] if c["role"] == role)
    return [point["forget"][metric] for point in role_curve["points"]]


def test_refusals_alone_are_undone(attacked):
    """The judged rows were in no step of the attack."""
    before, after = curve(attacked, "unlearned", "probability")
    assert before < 0.6 and after > before + 0.2 and after > 0.7
    assert attacked["recovery"]["probability"]["max"] > 0.7
    said = curve(attacked, "unlearned", "rouge_l")
    assert said[1] > said[0] + 0.1


def test_where_nothing_was_nothing_comes_back(attacked):
    assert max(curve(attacked, "baseline", "probability")) < 0.05
    assert attacked["recovery"]["probability"]["gain"] < 0.05
    assert min(curve(attacked, "original", "probability")) > 0.9
