"""Work that need not be done twice: what rows begin with, the reference for all steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.tiny import ARCHITECTURES, load, rows_of
from tests.training.test_loop import FORGET, RETAIN, adapted, objective_of, trainer_of
from tests.training.test_planned import objective_of as planned_objective
from unlearn_cli.contract import METHODS, RETAIN_TERMS, Method
from unlearn_cli.data.batch import FEWEST, pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models import reference
from unlearn_cli.models.adapter import reference_weights, trainable_parameters
from unlearn_cli.models.forward import Layout
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.packing import ROWS
from unlearn_cli.models.score import teacher_forced
from unlearn_cli.training.loop import StepRecord, Trainer
from unlearn_cli.training.passes import Passes, Rows
from unlearn_cli.training.planned import Unknown

SYSTEM = np.arange(2, 2 + 10)  # tokens of a template's system prompt


def behind(rows: Sequence[Row], template: np.ndarray = SYSTEM) -> list[Row]:
    """Rows that begin with a template."""
    shift = len(template)
    return [
        replace(
            row,
            input_ids=np.concatenate([template, row.input_ids]),
            answer_start=row.answer_start + shift,
            prompt_end=row.prompt_end + shift,
        )
        for row in rows
    ]


def templated(loaded: LoadedModel, folder: Path, *, shares: bool, method: str = "npo", term: str = "nll") -> Trainer:
    trainer = trainer_of(loaded, folder, objective=objective_of(method, term), optimizer="sgd")
    layout = replace(loaded.layout, shares=shares)
    rows = Rows(behind(FORGET), [], behind(RETAIN))
    return replace(trainer, passes=replace(trainer.passes, layout=layout, rows=rows))


def one_step(trainer: Trainer, loaded: LoadedModel) -> tuple[StepRecord, list[torch.Tensor]]:
    record = next(trainer.train())
    return record, [p.detach().clone() for _, p in trainable_parameters(loaded.model)]


def assert_equal(ours: tuple[StepRecord, list[torch.Tensor]], theirs: tuple[StepRecord, list[torch.Tensor]]) -> None:
    assert ours[0].loss == pytest.approx(theirs[0].loss, rel=1e-6)
    for a, b in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", ["llama-gqa", "gemma2", "gpt2"])
def test_a_template_run_once_changes_no_gradient(tmp_path: Path, name: str) -> None:
    """Eight forget and six retain rows: the ten tokens of the template are run once instead of fourteen times."""
    steps = []
    for shares in (True, False):
        loaded = adapted(name)
        assert loaded.layout.shares_in_steps
        steps.append(one_step(templated(loaded, tmp_path / f"{shares}", shares=shares, term="kl"), loaded))
    shared, alone = steps
    assert_equal(shared, alone)
    assert alone[0].tokens - shared[0].tokens == 13 * len(SYSTEM)
    assert alone[0].retain_tokens - shared[0].retain_tokens == 6 * len(SYSTEM)


def test_a_planted_mistake_in_the_shared_template_is_seen(tmp_path: Path, monkeypatch) -> None:
    """A row that does not see the template."""
    honest = pack

    def short(groups, *, share=False):
        batch = honest(groups, share=share)
        if batch.parents is not None:
            batch.parents[-1] = -1
        return batch

    loaded, other = adapted(), adapted()
    right = one_step(templated(loaded, tmp_path, shares=True), loaded)
    monkeypatch.setattr("unlearn_cli.training.passes.pack", short)
    with pytest.raises(AssertionError):
        assert_equal(one_step(templated(other, tmp_path, shares=True), other), right)


@pytest.mark.parametrize(
    ("rows", "shared"),
    [
        (behind(FORGET), len(SYSTEM)),
        (behind(FORGET[:1]), 0),  # nobody to share with
        (behind(FORGET, SYSTEM[: FEWEST - 1]), 0),  # too short to pay
        ([*behind(FORGET), *FORGET[:1]], 0),
    ],
)
def test_what_rows_have_in_common_stands_once(rows: list[Row], shared: int) -> None:
    batch = pack({"forget": rows}, share=True)
    assert batch.tokens == sum(len(row.input_ids) for row in rows) - shared * max(len(rows) - 1, 0)
    first = 1 if shared else 0
    assert batch.groups == {"forget": (first, first + len(rows))}
    assert int(batch.answer_mask.sum()) == sum(row.answer_length for row in rows)


QUESTIONS = [row.input_ids[:FEWEST] for row in rows_of((12, 12, 12), seed=4)]


def answers_to(questions: Sequence[np.ndarray], lengths: tuple[int, ...], *, seed: int) -> list[Row]:
    """An answer of a length to each question, behind one more token that is not the same for every answer."""
    answers = [row.input_ids for row in rows_of(tuple(n + 1 for n in lengths), seed=seed)]
    begin = FEWEST + 1
    pairs = zip(questions, answers, strict=True)
    return [Row(str(i), np.concatenate([q, a]), begin, begin, "", ends=False) for i, (q, a) in enumerate(pairs)]


FIRST, SECOND = answers_to(QUESTIONS, (5, 3, 7), seed=5), answers_to(QUESTIONS, (2, 6, 4), seed=6)


def gradient(
    name: str, method: str, term: str, *, shares: bool, template: int = 0, layout: Layout | None = None
) -> tuple[Tensor, Tensor, int]:
    """Loss, gradient and tokens of a pass over three questions to forget and the same three to keep, two answers each."""
    loaded = adapted(name)
    assert loaded.layout.shares_in_steps
    objective = planned_objective(method, term)
    first, second = (behind(rows, SYSTEM[:template]) for rows in (FIRST, SECOND))
    if objective.positions.get("forget") == "all":
        first, second = ([row.whole for row in rows] for rows in (first, second))
    others = [[row] for row in second]
    passes = Passes(
        loaded.model,
        replace(layout or loaded.layout, shares=shares),
        loaded.device,
        objective,
        Rows(first, others, first[::-1], others[::-1], dict.fromkeys(objective.context_groups, behind(first))),
        Unknown(),  # type: ignore[arg-type]  # it stands for a stored reference
        reference_weights,
    )
    outputs = passes.run([(0, row) for row in range(3)], range(3))
    loss = objective.forget_losses(outputs.policy, outputs.reference, 0.0).sum()
    if objective.retain_groups:
        loss = loss + objective.retain_losses(outputs.policy, outputs.reference, 0.0).sum()
    loss.backward()
    parameters = (p for _, p in trainable_parameters(loaded.model))
    return loss.detach(), torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]), outputs.tokens


def assert_same_gradient(ours: tuple[Tensor, Tensor, int], theirs: tuple[Tensor, Tensor, int]) -> None:
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=0)
    assert (ours[1] - theirs[1]).norm() < 1e-5 * theirs[1].norm()


def with_alternatives() -> list[tuple[str, str]]:
    """Every method that reads alternatives, and every retain term, with a method, that does."""
    methods = [m for m in METHODS.names() if isinstance(METHODS.get(m), Method) and "alternative" in METHODS.get(m).needs]
    terms = [term for term in RETAIN_TERMS.names() if "alternative" in RETAIN_TERMS.get(term).needs]
    return [(method, "nll") for method in methods] + [("dpo", term) for term in terms]


@pytest.mark.parametrize(("method", "term"), with_alternatives())
def test_a_question_run_once_changes_no_gradient(method: str, term: str) -> None:
    """Forget and retain rows ask the same three questions: each is run once for all of its answers."""
    shared, alone = (gradient("llama-gqa", method, term, shares=shares) for shares in (True, False))
    assert_same_gradient(shared, alone)
    groups = planned_objective(method, term)
    copies = 0 if groups.positions.get("forget") == "all" else 3 * (len(groups.groups) - 1) * FEWEST
    assert alone[2] - shared[2] == copies


@pytest.mark.parametrize("template", [0, len(SYSTEM)])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_question_run_once_changes_no_gradient_of_an_architecture(name: str, template: int) -> None:
    """Without a template and with one, which the questions share."""
    shared, alone = (gradient(name, "dpo", "answer-preservation", shares=s, template=template) for s in (True, False))
    assert_same_gradient(shared, alone)
    assert alone[2] - shared[2] == 3 * 3 * FEWEST + 11 * template


def test_a_question_run_once_has_the_gradient_of_padded_rows() -> None:
    shared = gradient("llama-gqa", "dpo", "kl", shares=True)
    assert_same_gradient(shared, gradient("llama-gqa", "dpo", "kl", shares=False, layout=Layout(False, ROWS, own_head=True)))


def swapped(parents: Tensor) -> Tensor:
    """Each answer behind another's question."""
    return torch.where(parents >= 0, (parents + 1) % 3, parents)


def chained(parents: Tensor) -> Tensor:
    """The last answer behind an earlier answer to its question."""
    place = int((parents == parents[-1]).nonzero()[0])
    return torch.cat([parents[:-1], torch.tensor([place], dtype=parents.dtype)])


def cut_off(parents: Tensor) -> Tensor:
    """The last answer behind no question."""
    return torch.cat([parents[:-1], torch.tensor([-1], dtype=parents.dtype)])


@pytest.mark.parametrize("mistake", [swapped, chained, cut_off])
def test_a_planted_mistake_in_the_shared_questions_is_seen(monkeypatch, mistake) -> None:
    honest = pack

    def wrong(groups, *, share=False):
        batch = honest(groups, share=share)
        return batch if batch.parents is None else replace(batch, parents=mistake(batch.parents))

    alone = gradient("llama-gqa", "dpo", "nll", shares=False)
    monkeypatch.setattr("unlearn_cli.training.passes.pack", wrong)
    with pytest.raises(AssertionError):
        assert_same_gradient(gradient("llama-gqa", "dpo", "nll", shares=True), alone)


def test_a_measurement_runs_the_template_once() -> None:
    loaded = load("llama-gqa")
    rows = behind(FORGET)
    shared = teacher_forced(loaded, rows, token_budget=1000)
    alone = teacher_forced(replace(loaded, layout=replace(loaded.layout, shares=False)), rows, token_budget=1000)
    for a, b in zip(shared.token_logps, alone.token_logps, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert alone.tokens_run - shared.tokens_run == (len(rows) - 1) * len(SYSTEM)


def test_stored_states_give_the_live_reference(tmp_path: Path) -> None:
    """KL to the start on the retain rows: the head on stored states against a whole forward pass in each step."""
    steps = []
    for stored in (False, True):
        loaded = adapted()
        trainer = trainer_of(loaded, tmp_path / f"{stored}", objective=objective_of("npo", "kl"), optimizer="sgd")
        if stored:
            keyed = {("retain", i): row for i, row in enumerate(RETAIN)}
            with reference_weights(loaded.model):
                states = reference.answer_states(loaded, keyed, token_budget=40)
            trainer = replace(trainer, passes=replace(trainer.passes, states=states, reference_weights=refused))
        steps.append(one_step(trainer, loaded))
    assert steps[0][0].retain_loss and steps[0][0].retain_loss > 1e-6
    assert_equal(*steps)


def refused(model: object) -> None:
    raise AssertionError("the reference was run")


def test_one_kernel_launch_for_all_rows_shares_no_template() -> None:
    layout = load("llama-gqa").layout
    assert layout.attention == ROWS and not replace(layout, attention="unlearn_packed_varlen").shares_in_steps


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(("method", "goes_on"), [("npo", True), ("kto", False)])
def test_a_step_that_runs_out_of_memory_is_run_in_parts(tmp_path: Path, monkeypatch, method: str, goes_on: bool) -> None:
    """Room for two forget rows: eight rows go through in four passes, and end where they do in one.

    A row's loss under kto depends on the other rows of its pass, so that other passes are another method.
    """
    roomy, small = adapted(), adapted()
    at_once = trainer_of(roomy, tmp_path / "a", objective=objective_of(method), optimizer="sgd")
    in_parts = trainer_of(small, tmp_path / "b", objective=objective_of(method), optimizer="sgd")
    right = one_step(at_once, roomy)
    honest = Passes.run

    def run(self, forget, retain):
        if len(forget) > 2:
            raise OutOfMemoryError("CUDA out of memory")
        return honest(self, forget, retain)

    monkeypatch.setattr(Passes, "run", run)
    if not goes_on:
        with pytest.raises(OutOfMemoryError):
            one_step(in_parts, small)
        return
    ours = one_step(in_parts, small)
    assert_equal(ours, right)
    assert (ours[0].parts, right[0].parts, in_parts.state["parts"]) == (4, 1, 4)
