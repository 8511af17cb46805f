"""Work that need not be done twice: the beginning of a template for all rows, the reference for all steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.tiny import load
from tests.training.test_loop import FORGET, RETAIN, adapted, objective_of, trainer_of
from unlearn_cli.data.batch import TEMPLATE, pack
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models import reference
from unlearn_cli.models.adapter import reference_weights, trainable_parameters
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.packing import ROWS
from unlearn_cli.models.score import teacher_forced
from unlearn_cli.training.loop import StepRecord, Trainer
from unlearn_cli.training.passes import Passes, Rows

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
        assert loaded.layout.shares_template
        steps.append(one_step(templated(loaded, tmp_path / f"{shares}", shares=shares, term="kl"), loaded))
    shared, alone = steps
    assert_equal(shared, alone)
    assert alone[0].tokens - shared[0].tokens == 13 * len(SYSTEM)
    assert alone[0].retain_tokens - shared[0].retain_tokens == 6 * len(SYSTEM)


def test_a_planted_mistake_in_the_shared_template_is_seen(tmp_path: Path, monkeypatch) -> None:
    """Rows that see all but the last token of the template."""
    honest = pack

    def short(groups, *, share=False):
        batch = honest(groups, share=share)
        if batch.begins is not None:
            batch.begins[1:, 1] -= 1
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
        (behind(FORGET, SYSTEM[: TEMPLATE - 1]), 0),  # too short to pay
        ([*behind(FORGET), *FORGET[:1]], 0),
    ],
)
def test_what_rows_have_in_common_stands_once(rows: list[Row], shared: int) -> None:
    batch = pack({"forget": rows}, share=True)
    assert batch.tokens == sum(len(row.input_ids) for row in rows) - shared * max(len(rows) - 1, 0)
    first = 1 if shared else 0
    assert batch.groups == {"forget": (first, first + len(rows))}
    assert int(batch.answer_mask.sum()) == sum(row.answer_length for row in rows)


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
    assert layout.attention == ROWS and not replace(layout, attention="unlearn_packed_varlen").shares_template


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
