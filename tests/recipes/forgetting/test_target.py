"""Where the level of never having known is taken from."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.recipes.scoring.test_halves import measured
from unlearn_cli.config import ForgetConfig
from unlearn_cli.contract import METHODS
from unlearn_cli.data.example import Example
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.never_known import NeverKnown
from unlearn_cli.recipes.forgetting import level
from unlearn_cli.recipes.forgetting.target import NotKnown, RunTarget, find_level, find_target

OTHERS = NeverKnown(
    0.09, 0.2, "the forget questions with answers of retain rows", 8
)  # to which the model gives what it does not know

TURNS = (("user", "Q?"),)


def target_of(
    monkeypatch: pytest.MonkeyPatch,
    forget: list[float],
    until: str | None = None,
    keep: str | None = None,
    baseline: list[float] | None = None,
    **more: list[float],
) -> Any:
    """What `find_target` gives, and what it says, for rows with these probabilities before, and under a baseline."""
    monkeypatch.setattr(level, "_other_answers", lambda run, loaded: OTHERS)
    said: list[str] = []
    run: Any = SimpleNamespace(
        settings=SimpleNamespace(has_target=True, procedure=None), config=ForgetConfig(until=until, keep=keep),
        reporter=SimpleNamespace(note=said.append, say=said.append),
        inputs=dict.fromkeys(("forget", "retain"), SimpleNamespace(split=SimpleNamespace(
            examples=[Example("0", TURNS, "A.", "qa")], origin=SimpleNamespace(spec="r.jsonl")
        ))),
    )  # fmt: skip
    before = {name: measured(values) for name, values in {"forget": forget, **more}.items()}
    return find_target(run, None, before, measured(baseline) if baseline else None), " ".join(said)  # type: ignore[arg-type]


def test_holdout_rows_that_the_model_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UnlearnError, match=r"knows the holdout rows: it gives them probability 0.980, the forget rows 0.950"
    ):
        target_of(monkeypatch, [0.95] * 4, holdout=[0.98] * 4)
    some, said = target_of(monkeypatch, [0.95] * 4, holdout=[0.98, 0.02, 0.02, 0.02])
    assert isinstance(some, RunTarget) and "may know some of the holdout rows: it gives them probability 0.260" in said
    none, said = target_of(monkeypatch, [0.95] * 4, holdout=[0.15, 0.02, 0.02, 0.02])
    assert isinstance(none, RunTarget) and "may know" not in said and "with no rows to keep" in said
    unknown, said = target_of(monkeypatch, [0.03] * 4, holdout=[0.04] * 4)
    assert isinstance(unknown, NotKnown) and "no more than answers that the model never knew (0.04" in said


def test_one_known_row_among_unknown_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their mean is below the level, and hides it."""
    some, said = target_of(monkeypatch, [0.99] + [0.02] * 19)
    assert isinstance(some, RunTarget) and "each of them to 0.2 (one has 0.99)" in said
    assert isinstance(target_of(monkeypatch, [0.4] + [0.02] * 19)[0], NotKnown)  # one of twenty may lie above by chance


def test_questions_that_nobody_knows_have_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """The level comes from one answer that is unlikelier still. Rows that no model has seen are a level even then."""
    monkeypatch.setattr(f"{__name__}.OTHERS", NeverKnown(1e-5, 1e-5, "answers of other rows", 1, estimated=True))
    unknown, said = target_of(monkeypatch, [4e-4, 0.04])
    assert isinstance(unknown, NotKnown) and "no forget row has a probability above 0.04" in said
    assert target_of(monkeypatch, [4e-4, 0.06])[0].aims
    assert target_of(monkeypatch, [4e-4, 0.04], holdout=[1e-5, 1e-5])[0].aims
    monkeypatch.setattr(f"{__name__}.TURNS", ())  # a text
    assert target_of(monkeypatch, [4e-4, 0.04])[0].aims


def test_an_aim_that_holds_already(monkeypatch: pytest.MonkeyPatch) -> None:
    for until in ("forget.probability <= 0.5", "forget.probability.max <= 0.4"):
        with pytest.raises(UnlearnError, match="holds before training"):
            target_of(monkeypatch, [0.3] * 4, until)
    worst, _ = target_of(monkeypatch, [0.9, 0.1, 0.1, 0.1], "forget.probability.max <= 0.4")
    assert worst.aims.row_level == pytest.approx(0.4)


@pytest.mark.parametrize("keep", ["retain.probability >= 0.9", "retain.probability.min > before", "retain.nll < 0.1"])
def test_a_retain_half_that_the_untouched_model_misses(monkeypatch: pytest.MonkeyPatch, keep: str) -> None:
    """Training cannot reach it, and would spend its whole budget."""
    with pytest.raises(UnlearnError, match=r"does not hold before training: retain\S* is 0\.") as refused:
        target_of(monkeypatch, [0.95] * 4, None, keep, retain=[0.85, 0.86])
    assert refused.value.hint
    some, _ = target_of(monkeypatch, [0.95] * 4, None, "retain.probability >= 0.8*before", retain=[0.85, 0.86])
    assert some.aims.keep == pytest.approx(0.8)


def test_a_baseline_of_rows_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as unlikely to it as to the model; that is no knowledge."""
    unknown, said = target_of(monkeypatch, [0.03] * 4, baseline=[0.03] * 4)
    assert isinstance(unknown, NotKnown) and "no more than answers that the model never knew" in said
    with pytest.raises(UnlearnError, match="this baseline knows the forget rows"):
        target_of(monkeypatch, [0.3] * 4, baseline=[0.3] * 4)
    monkeypatch.setattr(f"{__name__}.OTHERS", NeverKnown(0.01, 0.01, "answers of other rows", 1, estimated=True))
    assert target_of(monkeypatch, [0.03] * 4, holdout=[0.03] * 4)[0].why  # nor is it of holdout rows


def test_the_level_of_a_row_is_a_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    aims = target_of(monkeypatch, [0.99] * 4, "forget.probability <= 0.9")[0].aims
    assert aims.level == pytest.approx(0.9) and aims.level < aims.row_level < 1


def test_the_true_answer_written_otherwise_is_no_other_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would make the level what the model gives the truth."""
    measured_rows: list[str] = []
    monkeypatch.setattr(
        level, "answer_probabilities", lambda loaded, rows, budget: measured_rows.extend(rows) or np.ones(len(rows))
    )
    rows = [Example(str(n), (("user", f"Q{n}?"),), text, "qa") for n, text in enumerate(["Yes.", "yes", " YES ", "No."])]
    run: Any = SimpleNamespace(
        inputs={"forget": SimpleNamespace(split=SimpleNamespace(examples=tuple(rows)))},
        encoder=SimpleNamespace(encode_answer=lambda example, text: (example.answer, text)),
        config=SimpleNamespace(token_budget=1),
    )
    assert level._other_answers(run, None) is not None  # type: ignore[arg-type]
    assert measured_rows and all(("No" in one) is not ("No" in other) for one, other in measured_rows)


@pytest.mark.parametrize(("rows", "others", "wanted"), [(1, 80, 64), (1, 5, 5), (3, 80, 66), (32, 80, 64), (50, 80, 64)])
def test_a_level_from_few_rows_comes_from_many_answers(
    monkeypatch: pytest.MonkeyPatch, rows: int, others: int, wanted: int
) -> None:
    """Of one person's row two answers would decide, by chance. Each answer to a question is another one."""
    pairs_measured: list[tuple[str, str]] = []
    monkeypatch.setattr(
        level, "answer_probabilities", lambda loaded, pairs, budget: pairs_measured.extend(pairs) or np.ones(len(pairs))
    )

    def examples(name: str, count: int) -> Any:
        listed = tuple(Example(f"{name}{n}", TURNS, f"{name} {n}.", "qa") for n in range(count))
        return SimpleNamespace(split=SimpleNamespace(examples=listed))

    run: Any = SimpleNamespace(
        inputs={"forget": examples("f", rows), "retain": examples("r", others)},
        encoder=SimpleNamespace(encode_answer=lambda example, text: (example.id, text)),
        config=SimpleNamespace(token_budget=1),
    )
    assert level._other_answers(run, None) is not None  # type: ignore[arg-type]
    assert len(pairs_measured) == len(set(pairs_measured)) == wanted


@pytest.mark.parametrize(
    ("method", "given", "no_target", "wanted"),
    [("rehearsal", None, False, 0.09), ("rehearsal", 0.3, False, 0.3), ("rehearsal", None, True, None),
     ("undo", None, False, None)],
)  # fmt: skip
def test_a_procedure_with_a_level_is_judged_by_it(
    monkeypatch: pytest.MonkeyPatch, method: str, given: float | None, no_target: bool, wanted: float | None
) -> None:
    """By the level that the user gave, or the measured one. Without a target a level is measured all the same."""
    monkeypatch.setattr(level, "_other_answers", lambda run, loaded: OTHERS)
    said: list[str] = []
    run: Any = SimpleNamespace(
        settings=SimpleNamespace(has_target=False, procedure=METHODS.get(method)),
        config=ForgetConfig(method=method, parameters={"level": given}, no_target=no_target),
        reporter=SimpleNamespace(say=said.append, note=said.append),
        inputs={"forget": SimpleNamespace(split=SimpleNamespace(examples=[Example("0", TURNS, "A.", "qa")]))},
    )  # fmt: skip
    before = {"forget": measured([0.9] * 4)}
    aim = find_target(run, None, before)  # type: ignore[arg-type]
    assert (aim.aims.level if isinstance(aim, RunTarget) else aim) == wanted
    assert wanted is None or aim.aims.row_level > wanted  # type: ignore[union-attr]
    assert (find_level(run, None, before) == 0.09) is (method == "rehearsal" and not given)  # type: ignore[arg-type]
