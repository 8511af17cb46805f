"""Names in expressions against what a command will measure: what passes, and what is refused before any work."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from unlearn_cli.config import AttackConfig, EvaluateConfig, ForgetConfig, SweepConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.checking.expressions import check
from unlearn_cli.recipes.scoring.metric_parameters import by_metric, check_metric_parameters

RUN: Any = SimpleNamespace(config={"forget": "f.jsonl", "retain": "r.jsonl", "choices": "c.jsonl"}, chain=[object()])
FORGET = {"forget": "f.jsonl", "retain_term": "none"}


def evaluate(text: str, **settings: Any) -> EvaluateConfig:
    return EvaluateConfig.model_validate({"forget": "f.jsonl", "fail_if": text} | settings)


def forget(text: str, flag: str = "until", **settings: Any) -> ForgetConfig:
    return ForgetConfig.model_validate(FORGET | {flag: text} | settings)


def sweep(**settings: Any) -> SweepConfig:
    return SweepConfig.model_validate(FORGET | {"output_dir": "o"} | settings)


def attack(text: str, *attacks: str) -> AttackConfig:
    return AttackConfig.model_validate({"run": ".", "attack": attacks, "fail_if": text})


def benchmarked(text: str) -> EvaluateConfig:
    return evaluate(text, forget=None, benchmark="tofu:forget10")


PASSES: list[tuple[Any, Any]] = [
    (evaluate("forget.probability > 0.1"), None),
    (evaluate("forget.probability > 0.1 and forget.probability.max > 0 and forget.probability.baseline < 1"), None),
    (evaluate("retain.probability > 0.1", forget=None), RUN),  # the run's rows
    (evaluate("general.normalized_probability > 0.1"), None),
    (evaluate("forget_paraphrase.probability > 0.1", probes=["paraphrase"]), None),
    (evaluate("privacy.loss_auc > 0.1", holdout="h.jsonl"), None),
    (evaluate("nowhere.probability > 0.1", forget=None, measured="m"), None),  # no work that could be saved
    (benchmarked("real_authors.probability > 0.1"), None),
    (evaluate("real_authors.probability > 0.1", forget=None), SimpleNamespace(config={"benchmark": "tofu:forget10"})),
    (forget("forget.probability < 0.1"), None),
    (forget("forget.probability < before"), None),
    (forget("retain.probability > 0.1", "keep", retain_term="kl"), None),  # the model writes rows to keep
    (forget("forget.rouge_l < 0.1"), None),
    (forget("forget_2.probability < 0.1", run="."), RUN),  # the second run before this one
    (attack("relearn.recovery > 0.1", "relearn"), None),
    (attack("few_shot.rouge_l.gain > 0.1 or relearn.probability.start > 0", "relearn", "few-shot"), None),
    (sweep(retain_term="kl"), None),
    (sweep(retain_term="kl", score="retain.probability - forget.probability"), None),
    (sweep(grid={"until": ["forget.probability < 0.1", "forget.probability < 0.2"]}, score="-forget.nll"), None),
]  # fmt: skip

REFUSED: list[tuple[Any, Any, str, str]] = [
    (evaluate("retain.probability > 0"), None, "'retain.probability > 0': no retain rows", "--retain retain.jsonl"),
    (evaluate("choices.choice_accuracy > 0", forget=None), RUN, "no choices rows are measured", "--choices choices.jsonl"),
    (evaluate("general.probability > 0", no_general=True), None, "no general rows", "leave --no-general out"),
    (evaluate("general.probability > 0"), SimpleNamespace(config={"no_general": True}), "no general rows", "--no-general"),
    (evaluate("forget_paraphrase.probability > 0"), None, "no forget_paraphrase rows", "--probes paraphrase"),
    (evaluate("real_authors.probability > 0"), None, "no real_authors rows", "--benchmark tofu"),
    (evaluate("forgot.probability > 0"), None, "unknown split 'forgot'", "did you mean 'forget'"),
    (evaluate("1 > 0"), None, "--fail-if '1 > 0' names nothing that is measured", "for example"),
    (evaluate("forget.probability.gain > 0"), None, "'gain' is of an attack", "before, after, baseline, min, max"),
    (evaluate("forget.loss_auc > 0", holdout="h.jsonl"), None, "loss_auc belongs to 'privacy'", "write privacy.loss_auc"),
    (evaluate("privacy.loss_auc > 0"), None, "no holdout rows are measured", "--holdout holdout.jsonl"),
    (forget("forget_3.probability < 0.1", run="."), RUN, "unknown split 'forget_3'", ""),
    (forget("retain.probability > 0.1", "keep"), None, "no retain rows are measured", "--retain retain.jsonl"),
    (forget("forget.probability.baseline < 0.1"), None, "--until 'forget.probability.baseline < 0.1': forget measures",
     "`unlearn evaluate RUN --baseline MODEL` does"),
    (forget("forget.rouge_l < 0.1", "stop_when", eval_every=1), None, "--stop-when 'forget.rouge_l < 0.1': no answers",
     "forget.probability"),
    (forget("forget.nearer > 0"), None, "forget measures no baseline", ""),
    (attack("relern.recovery > 0.1", "relearn"), None, "unknown attack 'relern'", "did you mean 'relearn'"),
    (attack("few_shot.recovery > 0.1", "relearn"), None, "few_shot is not among the attacks of this command (relearn)",
     "--attack relearn,few-shot"),
    (attack("relearn.nll > 0.1", "relearn"), None, "nll has no recovery", "known: recovery, probability"),
    (attack("relearn.recovery.before > 0.1", "relearn"), None, "'before' is none of start, max, gain, area",
     "relearn.recovery.max"),
    (sweep(score="retain.probability"), None, "no retain rows are measured", "or another --score, such as"),
    (sweep(score="forget.probability", grid={"until": ["forget.probability < 0.1", "retain.nll < 0.2"]}), None,
     "'retain.nll < 0.2': no retain rows", "--retain retain.jsonl"),
    (sweep(score="forget.probability", grid={"stop_when": ["forget.rouge_l < 0.1"]}, eval_every=1), None,
     "--stop-when 'forget.rouge_l < 0.1': no answers", "forget.probability"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "run"), PASSES)
def test_what_will_have_a_value_passes(config: Any, run: Any) -> None:
    check(config, run)


@pytest.mark.parametrize(("config", "run", "message", "hint"), REFUSED)
def test_what_will_have_none_is_refused(config: Any, run: Any, message: str, hint: str) -> None:
    with pytest.raises(UnlearnError) as error:
        check(config, run)
    assert message in error.value.message and hint in (error.value.hint or "")
    assert ("--score" in (error.value.hint or "")) == ("--score" in hint)


def test_parameters_by_metric() -> None:
    given = {"rouge_l.stem": False, "rouge-l.max": 1, "nll.a.b": 2}
    assert by_metric(given) == {"rouge_l": {"stem": False, "max": 1}, "nll": {"a.b": 2}}
    with pytest.raises(UnlearnError, match="--metric-parameter stem names no metric"):
        by_metric({"stem": False})
    with pytest.raises(UnlearnError, match="stem"):
        check_metric_parameters({"nll.stem": False})
