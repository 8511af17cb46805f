"""Scores of TOFU's own logs of Llama-2-7B models, against the published analysis; and of a few rows made here."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.metrics.test_metrics import measured
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.logs import METRICS, SPLITS, read_log
from unlearn_cli.evaluation.score import score
from unlearn_cli.report import Score

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="../shared/golden is not there")


@cache
def scores(name: str):
    return score(METRICS, log(name), samples=2, seed=0)


def forget_quality(name: str, baseline: str) -> Score:
    scored = score(["forget_quality"], log(name), samples=2, seed=0, beside={"baseline": log(baseline)})
    return scored["forget"]["forget_quality"]


@cache
def log(name: str):
    return read_log(GOLDEN / f"tofu-llama2-7b-{name}.json")


# Rows of weight decay 0.01, and of 0 where the log says so: which one it is shows in the first number.
UTILITY = {
    "full": {
        0.989498: (0.988889, 0.472735, 0.460303, 0.915500, 0.599579, 0.422244, 0.910256, 0.548730, 0.626780),
        0.989527: (0.985655, 0.474699, 0.455482, 0.933000, 0.596229, 0.418562, 0.882479, 0.539033, 0.622677),
    },
    "retain90": {
        0.989162: (0.980401, 0.467019, 0.445926, 0.943000, 0.585254, 0.418657, 0.897436, 0.548497, 0.620268),
        0.988897: (0.975811, 0.470977, 0.434087, 0.923000, 0.570681, 0.414326, 0.897436, 0.544198, 0.613745),
    },
    "retain95": {
        0.988158: (0.975974, 0.463869, 0.419236, 0.955000, 0.548537, 0.400234, 0.899573, 0.525473, 0.601562),
        0.988267: (0.979889, 0.462922, 0.416730, 0.953000, 0.544175, 0.402494, 0.886752, 0.527928, 0.600577),
    },
    "retain99": {
        0.990745: (0.989977, 0.469488, 0.452206, 0.928000, 0.595669, 0.410844, 0.884615, 0.540450, 0.619325),
        0.990596: (0.988945, 0.464641, 0.459313, 0.928000, 0.603727, 0.412170, 0.882479, 0.538977, 0.620744),
    },
}
# P, ROUGE-L recall, truth ratio, its arithmetic form, 1 / (1 + R) on the forget rows.
FORGET = {
    0.990805: (0.985436, 0.517147, 0.531157, 0.661426),
    0.990939: (0.985450, 0.515985, 0.530370, 0.661136),
    0.149304: (0.402208, 0.673356, 0.679594, 0.555240),
    0.147563: (0.408244, 0.674019, 0.679652, 0.554261),
    0.152370: (0.395807, 0.670271, 0.679647, 0.555578),
    0.154716: (0.398000, 0.674147, 0.682764, 0.555966),
    0.178486: (0.392881, 0.687658, 0.698203, 0.550355),
    0.179521: (0.397237, 0.684941, 0.696952, 0.551036),
}


# One log is enough for a mistake in a formula; the others take seconds.
NAMES = [name if name == "retain90" else pytest.param(name, marks=pytest.mark.slow) for name in UTILITY]


def nearest(table: dict[float, tuple], value: float) -> tuple:
    key = min(table, key=lambda known: abs(known - value))
    assert key == pytest.approx(value, abs=1e-6)
    return table[key]


@needs_golden
@pytest.mark.parametrize("name", NAMES)
def test_model_utility_and_its_nine_parts(name: str) -> None:
    result = scores(name)["utility"]["model_utility"]
    first, *others = result.details.values()
    *expected, utility = nearest(UTILITY[name], first)
    assert others == pytest.approx(expected, abs=1e-6)
    assert result.value == pytest.approx(utility, abs=1e-6)


@needs_golden
@pytest.mark.parametrize("name", NAMES)
def test_forget_rows(name: str) -> None:
    result = scores(name)["forget"]
    expected = nearest(FORGET, result["probability"].value)
    names = ("rouge_l", "truth_ratio", "truth_ratio_arith", "truth_ratio_prob")
    assert [result[m].value for m in names] == pytest.approx(expected, abs=1e-6)


@needs_golden
def test_forget_quality() -> None:
    """Full against retain90: D 0.38 and p 1.096624e-19, or 0.396667 and 1.834066e-21; too little is forgotten."""
    result = forget_quality("full", "retain90")
    published = {0.380000: 1.096624e-19, 0.396667: 1.834066e-21}
    distance = min(published, key=lambda known: abs(known - result.details["D"]))
    assert result.details["D"] == pytest.approx(distance, abs=1e-6)
    assert result.value == pytest.approx(published[distance], rel=1e-5)
    assert result.details["log10_p"] == pytest.approx(math.log10(result.value))
    assert result.details["sign"] == -1.0


@needs_golden
def test_a_model_against_itself() -> None:
    assert forget_quality("retain90", "retain90").value == 1.0


def row(right: float, wrong: list[float], own: float | None = None) -> dict:
    log = {"avg_gt_loss": right, "average_perturb_loss": wrong, "generated_text": ["q", "said", "said"]}
    return log if own is None else {**log, "avg_paraphrased_loss": own}


def write(path: Path, *, listed: bool = False) -> Path:
    """Two rows in each split: the paraphrase at loss 1 and wrong answers at 2 and 3, or the other way round."""
    log = {}
    for name in SPLITS:
        own = (1.0, 2.0) if name in ("eval_log_forget.json", "eval_log.json") else (None, None)
        rows = [row(0.5, [2.0, 3.0], own[0]), row(0.5, [1.0, 1.0], own[1])]
        columns = {key: [r[key] for r in rows] for key in rows[0]}
        log[name] = columns if listed else {key: {str(i): v for i, v in enumerate(c)} for key, c in columns.items()}
    path.write_text(json.dumps(log))
    return path


@pytest.mark.parametrize("listed", [False, True])
def test_rows_made_here(tmp_path: Path, *, listed: bool) -> None:
    """log R = 1 - 2.5 = -1.5 and 2 - 1 = 1 on forget and retain rows: e^-1.5 and e^-1; 1 - e^-1.5 and 0.

    On real authors the right answer is the true one, loss 0.5: log R = -2 and -0.5.
    """
    scores = score(METRICS, read_log(write(tmp_path / "log.json", listed=listed)), samples=2, seed=0)
    assert scores["forget"]["truth_ratio"].value == pytest.approx((math.exp(-1.5) + math.exp(-1)) / 2)
    assert scores["retain"]["truth_ratio"].value == pytest.approx((1 - math.exp(-1.5)) / 2)
    assert scores["real_authors"]["truth_ratio"].value == pytest.approx(1 - (math.exp(-2) + math.exp(-0.5)) / 2)
    prob = (1 / (1 + math.exp(-1.5)) + 1 / (1 + math.e)) / 2
    assert scores["forget"]["truth_ratio_prob"].value == pytest.approx(prob)
    normalized = (1 / (1 + math.exp(-1.5) + math.exp(-2.5)) + 1 / (1 + 2 * math.exp(-0.5))) / 2
    assert scores["world_facts"]["normalized_probability"].value == pytest.approx(normalized)
    parts = scores["utility"]["model_utility"]
    assert len(parts.details) == 9
    assert parts.value == pytest.approx(9 / sum(1 / v for v in parts.details.values()))
    alone = scores["forget"]["forget_quality"]
    assert alone.value is None and "--baseline" in alone.reason


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"eval_log.json": {"avg_gt_loss": [1]}}'])
def test_what_is_no_log(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UnlearnError):
        read_log(tmp_path / "x.json")


ROUGE = {  # the forget rows' recall with and without stems, F1 with and without
    0.985436: (0.985344, 0.986448, 0.986369),
    0.985450: (0.985265, 0.985951, 0.985773),
    0.402208: (0.396283, 0.397035, 0.391260),
    0.408244: (0.401497, 0.397830, 0.391321),
    0.395807: (0.387839, 0.390018, 0.382167),
    0.398000: (0.389634, 0.386728, 0.378398),
    0.392881: (0.391702, 0.379464, 0.378259),
    0.397237: (0.392459, 0.385430, 0.380260),
}


@needs_golden
@pytest.mark.parametrize("name", NAMES)
def test_rouge_in_four_forms(name: str) -> None:
    forget = {"forget": read_log(GOLDEN / f"tofu-llama2-7b-{name}.json")["forget"]}
    plain = {"rouge_l": {"stem": False}, "rouge_l_f1": {"stem": False}}
    stemmed, unstemmed = (
        score(["rouge_l", "rouge_l_f1"], forget, samples=2, seed=0, parameters=given)["forget"] for given in ({}, plain)
    )
    expected = nearest(ROUGE, stemmed["rouge_l"].value)
    result = (unstemmed["rouge_l"].value, stemmed["rouge_l_f1"].value, unstemmed["rouge_l_f1"].value)
    assert result == pytest.approx(expected, abs=1e-6)


LATTICE = {  # rows -> steps of D -> p
    40: {3: 9.999246e-01, 8: 4.045874e-01, 12: 5.414108e-02, 17: 1.270814e-03, 40: 1.860340e-23},
    200: {20: 2.704744e-01, 27: 5.213909e-02, 77: 1.326106e-13, 78: 5.8673e-14, 200: 1.942643e-119},
    300: {30: 9.956252e-02, 37: 2.077154e-02, 114: 1.096624e-19, 119: 1.834066e-21, 300: 1.480298e-179},
    400: {38: 5.405291e-02, 45: 1.260423e-02, 150: 1.983447e-25, 400: 1.063590e-239},
}


@pytest.mark.parametrize(("rows", "steps"), [(n, k) for n, table in LATTICE.items() for k in table])
def test_forget_quality_on_its_lattice(rows: int, steps: int) -> None:
    """Two sets of n equal ratios, one of them with k replaced by larger ones: D = k/n."""
    ratios = np.arange(rows, dtype=np.float64)
    moved = np.where(ratios < steps, ratios + rows, ratios)

    def split(values: np.ndarray):
        return replace(measured([[-1.0]] * rows), perturbed_logps=values[:, None] / rows - 3)

    scores = score(
        ["forget_quality"], {"forget": split(moved)}, samples=1, seed=0, beside={"baseline": {"forget": split(ratios)}}
    )
    result = scores["forget"]["forget_quality"]
    assert result.details["D"] == pytest.approx(steps / rows)
    assert result.value == pytest.approx(LATTICE[rows][steps], rel=1e-5)
    assert result.details["log10_p"] == pytest.approx(math.log10(LATTICE[rows][steps]), abs=1e-4)


def test_open_unlearning(tmp_path: Path) -> None:
    """The same two rows as in TOFU's form: equal scores; ids sort as numbers."""

    def by_index(values: list) -> dict:
        return {"agg_value": 0.0, "value_by_index": {str(i): values[i] for i in (1, 0)}}

    log = {}
    for prefix in ("forget", "retain", "ra", "wf"):
        log[f"{prefix}_Q_A_Prob"] = by_index([{"prob": 0.0, "avg_loss": 0.5}] * 2)
        wrong = [[2.0, 3.0], [1.0, 1.0]]
        log[f"{prefix}_Q_A_PERT_Prob"] = by_index([{"prob": [0, 0], "avg_loss": w} for w in wrong])
        log[f"{prefix}_Q_A_ROUGE"] = by_index([{"input": "q", "generation": "said", "ground_truth": "said"}] * 2)
        if prefix in ("forget", "retain"):
            log[f"{prefix}_Q_A_PARA_Prob"] = by_index([{"prob": 0.0, "avg_loss": own} for own in (1.0, 2.0)])
    (tmp_path / "TOFU_EVAL.json").write_text(json.dumps(log))
    ours = score(METRICS, read_log(tmp_path / "TOFU_EVAL.json"), samples=2, seed=0)
    assert ours == score(METRICS, read_log(write(tmp_path / "log.json")), samples=2, seed=0)


@pytest.mark.parametrize(
    "log",
    [
        {"forget_Q_A_Prob": {"agg_value": 0.5}},
        {"forget_Q_A_Prob": 0.5},
        {"forget_Q_A_Prob": {"value_by_index": {"0": {"prob": 0.5}}}},
        {"forget_Q_A_Prob": {"value_by_index": {"0": {"avg_loss": 1}}}, "forget_Q_A_PERT_Prob": {"value_by_index": {}}},
    ],
)
def test_broken_logs_of_open_unlearning(tmp_path: Path, log: dict) -> None:
    (tmp_path / "x.json").write_text(json.dumps(log))
    with pytest.raises(UnlearnError):
        read_log(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ({}, "is not a log of TOFU or open-unlearning"),
        ({"forget_Q_A_Prob": {"agg_value": 0.5}}, "forget_Q_A_Prob has no value_by_index"),
        ({"forget_Q_A_Prob": 0.5}, "forget_Q_A_Prob has no value_by_index"),
        ({"ra_Q_A_Prob": {"value_by_index": {"0": {"prob": 0.5}}}}, "ra rows lack 'avg_loss'"),
        ({"eval_log_forget.json": {"avg_gt_loss": {"0": 1.0}}}, "forget has no 'generated_text'"),
    ],
)
def test_a_log_without_its_rows_is_refused(tmp_path: Path, log: dict, message: str) -> None:
    (tmp_path / "log.json").write_text(json.dumps(log))
    with pytest.raises(UnlearnError, match=message) as refused:
        read_log(tmp_path / "log.json")
    assert refused.value.hint
