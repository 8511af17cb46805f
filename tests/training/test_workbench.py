"""What a procedure works with."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.training.test_loop import FORGET, RETAIN, adapted, trainer_of
from unlearn_cli.models.recording import recorded
from unlearn_cli.training.optimizer import rate_at
from unlearn_cli.training.passes import Passes
from unlearn_cli.training.workbench import Workbench, neutral_rows


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    loaded = adapted()
    schedule = partial(rate_at, shape="linear", warmup_ratio=0.1)
    return Workbench(loaded, trainer_of(loaded, tmp_path), epochs=1.0, peak=1e-3, schedule=schedule)


def test_unlearning_some_rows_touches_those_alone(bench: Workbench) -> None:
    """Rows kept meanwhile are drawn among the retain rows."""
    bench.trainer = replace(bench.trainer, pairing=replace(bench.trainer.pairing, batch=2, retain_batch=2))
    seen: list[list] = []
    choose = Passes.choose

    def watched(self, forget, retain):
        rows, keys = choose(self, forget, retain)
        seen.append(rows)
        return rows, keys

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Passes, "choose", watched)
        records = list(bench.unlearn(forget=[1, 4, 6], retained=[0, 2]))
    assert [record.step for record in records] == [1, 2]
    assert bench.unlearn_steps(3) == len(records)
    forgotten = {id(row) for rows in seen for row in rows["forget"]}
    assert forgotten <= {id(FORGET[i]) for i in (1, 4, 6)}
    allowed = {id(row) for row in RETAIN} | {id(FORGET[i]) for i in (0, 2)}
    assert {id(row) for rows in seen for row in rows.get("retain", ())} <= allowed


def test_records_count_on(bench: Workbench) -> None:
    before = len(list(bench.unlearn()))
    bench.outputs(FORGET[:2])
    record = bench.record(forget_loss=1.0, retain_loss=0.5)
    assert (record.step, record.loss, record.tokens) == (before + 1, 1.5, sum(len(r.input_ids) for r in FORGET[:2]))


def test_without_its_adapter_the_model_is_the_base_and_merged_it_is_what_was_learned(bench: Workbench) -> None:
    ids = torch.from_numpy(FORGET[0].input_ids)[None]
    with torch.no_grad():
        learned = bench.model(input_ids=ids).logits
        with bench.without_adapter():
            base = bench.model(input_ids=ids).logits
        assert not torch.allclose(learned, base)
        bench.drop_adapter(merge=True)
        torch.testing.assert_close(bench.model(input_ids=ids).logits, learned)


def test_weights_of_the_mlps_are_whole_matrices(bench: Workbench) -> None:
    bench.drop_adapter(merge=False)
    weights = bench.weights("mlp")
    assert weights
    assert all("mlp" in name and w.dim() == 2 and w.requires_grad for name, w in weights.items())
    others = [p for name, p in bench.model.named_parameters() if name not in weights]
    assert not any(p.requires_grad for p in others)


def test_what_is_recorded_makes_the_gradient(bench: Workbench) -> None:
    """Output gradients times inputs, summed over positions, are the weight's gradient."""
    bench.drop_adapter(merge=False)
    linears = bench.linears(1, 2)
    name, linear = next(iter(linears.items()))
    linear.weight.requires_grad_(True)
    with recorded(linears) as record:
        loss = -bench.outputs(FORGET[:3]).mean_logps.sum()
    loss.backward()
    gradient = record[name].outputs.grad[0].T @ record[name].inputs[0].detach()
    torch.testing.assert_close(gradient, linear.weight.grad)


def test_a_copy_is_frozen_and_stays(bench: Workbench) -> None:
    bench.drop_adapter(merge=False)
    other, weights = bench.copy(), bench.weights()
    with torch.no_grad():
        for tensor in weights.values():
            tensor.mul_(0.5)
    ours, theirs = (bench.outputs(FORGET[:1], model=model).sequence_logps.item() for model in (None, other))
    assert ours != pytest.approx(theirs)
    assert not any(p.requires_grad for p in other.parameters())


def test_values_of_the_base_have_the_names_of_later(bench: Workbench) -> None:
    """They are the weights without what the adapter adds, and stay when training goes on."""
    ids = torch.from_numpy(FORGET[0].input_ids)[None]
    with torch.no_grad(), bench.without_adapter():
        base = bench.model(input_ids=ids).logits
    values = bench.base_values()
    bench.drop_adapter(merge=True)
    weights = bench.weights()
    assert values.keys() == weights.keys()
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(values[name])
        torch.testing.assert_close(bench.model(input_ids=ids).logits, base)


def test_training_all_weights_adds_up_gradients_and_follows_the_schedule(bench: Workbench) -> None:
    """What the loss leaves in `.grad` counts beside its own gradient, and nothing is left for the next step."""
    bench.drop_adapter(merge=True)
    name, weight = next(iter(bench.weights().items()))
    before = weight.detach().clone()

    def loss(step: int) -> tuple[torch.Tensor, float]:
        assert weight.grad is None
        (2.0 * weight.sum()).backward()
        return -1.0 * weight.sum() + 5.0, 2.0

    records = list(bench.train_whole(loss, steps=bench.steps_in(1.0), peak=1e-3))
    assert len(records) == bench.steps_in(1.0)
    assert (weight < before).all(), name  # the sum of both gradients is +1
    assert [r.forget_loss for r in records] == [2.0] * len(records)
    assert records[0].loss == pytest.approx(5.0 - before.sum().item())


def test_training_ends_where_it_is_said_to(bench: Workbench) -> None:
    """And the loss over rows is the mean over them, whatever the batches."""
    bench.drop_adapter(merge=True)
    weight = next(iter(bench.weights().values()))
    records = bench.train_whole(
        lambda step: (weight.sum(), 0.0), steps=bench.steps_in(3.0), peak=1e-3, finished=lambda step: step == 1
    )
    assert len(list(records)) == 2
    rows = FORGET[:5]
    with torch.no_grad():
        single = [-bench.outputs([row]).mean_logps.item() for row in rows]
    assert bench.answer_loss(rows) == pytest.approx(sum(single) / len(single))


def test_neutral_rows_take_turns(bench) -> None:
    """One for every four retain rows of a step, and one at least."""
    bench.trainer = replace(bench.trainer, pairing=replace(bench.pairing, retain_batch=8))
    assert bench.neutral_batch(0) == []
    bench.neutral = RETAIN[:3]
    assert [[row.id for row in bench.neutral_batch(step)] for step in range(2)] == [
        [RETAIN[0].id, RETAIN[1].id],
        [RETAIN[2].id, RETAIN[0].id],
    ]
    assert neutral_rows(3) == 1 and neutral_rows(16) == 4
