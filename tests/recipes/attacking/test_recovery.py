"""The verdict on an attack in words."""

from __future__ import annotations

import numpy as np
import pytest

from unlearn_cli.attack_report import SCORED, RecoveryReport
from unlearn_cli.config import AttackConfig
from unlearn_cli.contract import ATTACKS
from unlearn_cli.contract import attack as declare
from unlearn_cli.recipes.attacking import claims
from unlearn_cli.recipes.attacking.curves import CurvePoint, Curves, CurveSpec
from unlearn_cli.recipes.attacking.recovery import recovery_by_metric, verdict
from unlearn_cli.recipes.attacking.settings import ConfiguredAttack


def result(at: float | str, **more: object) -> RecoveryReport:
    base = {"start": 0.05, "max": 0.34, "ci": (0.2, 0.45), "at": at, "parameters": {}, "gain": 0.03, "points": []}
    return RecoveryReport(**{**base, **more})


@pytest.mark.parametrize(
    ("attack", "at", "where"),
    [
        ("quantize", 4, "in 4 bits"),
        ("quantize", "nf4", "in nf4;"),
        ("relearn", 15, "within 15 steps"),
        ("prompts", "prefix", "with the wording 'prefix'"),
        ("few-shot", 4, "with 4 shots"),
        ("sample", 8, "in the best of 8 draws"),
        ("prune", 50, "at 50 percent"),
        ("ablate", 25, "at 25 percent of the depth"),
        ("logit-lens", 3, "at block 3"),
        ("ask", 12, "under 12 other questions"),
    ],
)
def test_where_it_came_back(attack: str, at: float | str, where: str) -> None:
    text = verdict(ATTACKS.get(attack), result(at), upper_bound=False)
    by = ", by rouge_l," if attack == "sample" else ""
    assert text.startswith(f"{attack}: 34% (20% to 45%) of the original knowledge{by} is there ") and where in text
    assert text.endswith("; 5% was never forgotten; the baseline gains 3%")


def test_what_was_forgotten_whole_is_not_mentioned() -> None:
    text = verdict(ATTACKS.get("quantize"), result(4, start=0.001), upper_bound=False)
    assert "never forgotten" not in text and text.endswith("; the baseline gains 3%")


def test_a_single_row_has_no_interval() -> None:
    """It was printed as "(34% to 34%)"."""
    text = verdict(ATTACKS.get("quantize"), result(4, ci=None), upper_bound=False)
    assert text.startswith("quantize: 34% (one row, so no interval) of the original knowledge is there in 4 bits")


def test_an_upper_bound_is_called_that() -> None:
    text = verdict(ATTACKS.get("relearn"), result(15, parameters={"learning_rate": 2e-3}), upper_bound=True)
    assert text == (
        "relearn: at most 34% (20% to 45%) of the original knowledge is there within 15 steps at learning rate 0.002, "
        "at most 5% before the attack; these are upper bounds, because no baseline was attacked in the same way"
    )


def curves(of_rows: dict[str, list[float]], under_attack: dict[str, list[float]]) -> Curves:
    """Each model's scores of the forget rows before the attack, and of the attack's own rows under it."""
    filled = Curves()
    for values, attack in ((of_rows, None), (under_attack, ATTACKS.get("ask"))):
        for role, scores in values.items():
            spec = CurveSpec(role, attack)  # type: ignore[arg-type]
            filled.add(spec, [CurvePoint(len(scores), dict.fromkeys(SCORED, np.array(scores)), {})])
    return filled


@pytest.mark.parametrize(("baseline", "value"), [("b", 0.5), (None, 0.625)])
def test_an_attack_with_rows_of_its_own_is_judged_on_them(baseline: str | None, value: float) -> None:
    """Means on two rows: unlearned 0.5, original 0.8, baseline 0.2: (0.5 - 0.2) / (0.8 - 0.2); without one 0.5 / 0.8. The
    three forget rows count for the start alone, and the control, 0.65, is judged alike."""
    plain = {"unlearned": [0.1] * 3, "original": [0.9] * 3, "baseline": [0.1] * 3, "control": [0.2] * 3}
    under_attack = {"unlearned": [0.4, 0.6], "original": [0.7, 0.9], "baseline": [0.1, 0.3], "control": [0.55, 0.75]}
    if baseline is None:
        del plain["baseline"], under_attack["baseline"]
    config = AttackConfig(run="r", baseline=baseline or (), control="c", bootstrap_samples=20)
    one = ConfiguredAttack(ATTACKS.get("ask"), [{}])
    report = recovery_by_metric(curves(plain, under_attack), one, config)["probability"]
    assert report.max == pytest.approx(value) and report.at == 2
    assert report.start == pytest.approx(0.0 if baseline else 0.1 / 0.9)
    control = claims.positive_control(curves(plain, under_attack), one, config)
    assert control is not None and control.max == pytest.approx(0.75 if baseline else 0.65 / 0.8)


@pytest.mark.parametrize(("name", "back"), [("sample", 0.75), ("few-shot", 0.0)])
def test_control_is_judged_by_what_the_attack_shows(name: str, back: float) -> None:
    """ROUGE-L comes back to 0.7 of 0.9 from 0.1, the probability stays at the baseline's."""
    attack, filled = ATTACKS.get(name), Curves()
    setting = attack.resolve({})
    for role, end in {"unlearned": 0.7, "control": 0.7, "original": 0.9, "baseline": 0.1}.items():
        for at, spec in ((0, CurveSpec(role)), (4, CurveSpec(role, attack, setting))):
            scores = dict.fromkeys(SCORED, np.full(3, 0.9 if role == "original" else 0.1))
            scores["rouge_l"] = np.full(3, end if at or role == "original" else 0.1)
            filled.add(spec, [CurvePoint(at, scores, {})])
    config = AttackConfig(run="r", baseline=("b",), control="c", bootstrap_samples=20)
    one = ConfiguredAttack(attack, [setting])
    control = claims.positive_control(filled, one, config)
    assert control is not None and control.max == pytest.approx(back) and control.succeeded == bool(back)
    assert recovery_by_metric(filled, one, config)[attack.shows].max == pytest.approx(back)


def test_the_worst_row_is_named_behind_a_small_mean() -> None:
    """Of four rows from 0.1, where the original has 0.9: at step 5 one is back whole, at step 9 another by half, and the
    mean is 0.25 and 0.125. Each row counts at its own worst step; two that stay come after them, by their order."""
    attack, filled = ATTACKS.get("relearn"), Curves()
    setting = attack.resolve({"steps": "0+5+9"})
    low, high, ids = np.full(4, 0.1), np.full(4, 0.9), ["a", "b", "c", "d"]
    back = {0: low, 5: np.array([0.1, 0.9, 0.1, 0.1]), 9: np.array([0.1, 0.1, 0.5, 0.1])}
    for role, scores in {"unlearned": back, "original": high, "baseline": low}.items():
        points = [
            CurvePoint(at, dict.fromkeys(SCORED, scores[at] if isinstance(scores, dict) else scores), {}) for at in back
        ]
        filled.add(CurveSpec(role), points[:1])
        filled.add(CurveSpec(role, attack, setting), points)
    config = AttackConfig(run="r", baseline=("b",), bootstrap_samples=20)
    report = recovery_by_metric(filled, ConfiguredAttack(attack, [setting]), config, ids)["probability"]
    assert report.max == pytest.approx(0.25) and report.at == 5
    assert list(report.worst) == ["b", "c", "a", "d"]
    assert list(report.worst.values()) == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert verdict(attack, report, upper_bound=False).endswith(". The worst row is b: 100% of it comes back")
    assert verdict(attack, report, upper_bound=True).endswith(". The worst row is b: at most 100% of it comes back")


def test_control_is_averaged_over_seeds_like_the_run() -> None:
    """From 0.1 two seeds end at 0.5 and 0.1, where the original has 0.9 and the baseline 0.1: 0.5 and 0 of it, on average
    0.25, for the run and for its control, which is the same model."""
    attack, filled = ATTACKS.get("relearn"), Curves()
    settings = [attack.resolve({"steps": "0+5", "seed": seed}) for seed in (0, 1)]
    for role, start in {"unlearned": 0.1, "control": 0.1, "original": 0.9, "baseline": 0.1}.items():
        filled.add(CurveSpec(role), [CurvePoint(0, dict.fromkeys(SCORED, np.full(3, start)), {})])
        for setting, end in zip(settings, (0.5, 0.1) if role in ("unlearned", "control") else (start, start), strict=True):
            points = [CurvePoint(at, dict.fromkeys(SCORED, np.full(3, value)), {}) for at, value in ((0, start), (5, end))]
            filled.add(CurveSpec(role, attack, setting), points)
    config = AttackConfig(run="r", baseline=("b",), control="c", bootstrap_samples=20)
    one = ConfiguredAttack(attack, settings)
    control = claims.positive_control(filled, one, config)
    assert recovery_by_metric(filled, one, config)["probability"].max == pytest.approx(0.25)
    assert control is not None and control.max == pytest.approx(0.25) and control.at == 5


def test_an_attack_shows_a_metric_that_is_reported() -> None:
    with pytest.raises(TypeError, match="shows='bleu' is none of probability"):
        declare(along="step", shows="bleu")


def test_several_baselines_are_a_mean_and_each_alone() -> None:
    """Relearned to 0.6 where the original has 0.9. Baselines reach 0.2 and 0.4 from 0.1 each: the mean is
    (0.6 - 0.3) / (0.9 - 0.1) = 0.375, against each 0.4 / 0.8 = 0.5 and 0.2 / 0.8 = 0.25."""
    attack, filled = ATTACKS.get("relearn"), Curves()
    setting = attack.resolve({"steps": "0+5"})
    starts = {"unlearned": 0.1, "original": 0.9, "baseline 1": 0.1, "baseline 2": 0.1}
    ends = {"unlearned": 0.6, "original": 0.9, "baseline 1": 0.2, "baseline 2": 0.4}
    for role, start in starts.items():
        first, last = (CurvePoint(at, dict.fromkeys(SCORED, np.full(3, v)), {}) for at, v in ((0, start), (5, ends[role])))
        filled.add(CurveSpec(role), [first])
        filled.add(CurveSpec(role, attack, setting), [first, last])
    config = AttackConfig(run="r", baseline=("one", "two"), bootstrap_samples=20)
    report = recovery_by_metric(filled, ConfiguredAttack(attack, [setting]), config)["probability"]
    assert report.max == pytest.approx(0.375) and report.against == pytest.approx([0.5, 0.25]) and report.at == 5
    assert report.gain == pytest.approx(0.25), "0.1 and 0.3 of 0.8"
    said = verdict(attack, report, upper_bound=False)
    assert said.endswith("2 baselines gain on average 25%, and measured from each of them recovery is 25% to 50%")
    assert [curve.role for curve in filled.reports(attack, [setting])] == ["unlearned", "original", "baseline", "baseline"]
