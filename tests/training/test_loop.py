"""The training loop against plain gradient descent on transformers' own forward, and against itself in other portions."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.models.tiny import load, rows_of
from unlearn_cli.config import LoraOptions
from unlearn_cli.contract import METHODS, RETAIN_TERMS
from unlearn_cli.data.tokenize import Row
from unlearn_cli.models.adapter import attach, reference_weights, trainable_parameters
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.reference import ReferenceFile, compute
from unlearn_cli.training.gradients import Diverged
from unlearn_cli.training.loop import Trainer
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.pairing import Pairing
from unlearn_cli.training.passes import Passes, Rows

FORGET = rows_of((9, 5, 12, 7, 3, 10, 6, 8, 11, 4), seed=1)
RETAIN = rows_of((6, 8, 13, 4, 9, 7, 5, 10, 12, 11, 3, 14), seed=2)
ALTERNATIVES = [[row] for row in rows_of((7, 4, 6, 9, 5, 8, 3, 6, 4, 7), seed=3)]
BATCH, RETAIN_BATCH = 8, 6
BETA, RETAIN_WEIGHT = 0.1, 3.0


def adapted(name: str = "llama-gqa") -> LoadedModel:
    """A model in float64 whose adapter has moved a little, so that policy and reference differ."""
    loaded = load(name)
    loaded.model.double()
    attach(loaded, LoraOptions(lora_r=2, lora_dropout=0.0), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, parameter in trainable_parameters(loaded.model):
            parameter.data = parameter.data.double()
            if "lora_B" in key:
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return loaded


def objective_of(method: str = "npo", term: str = "nll") -> Objective:
    declared, retain = METHODS.get(method), RETAIN_TERMS.get(term)
    given = {"beta": BETA} if "beta" in declared.parameters else {}
    return Objective(declared, retain, declared.resolve(given), retain.resolve({}), 1.0, RETAIN_WEIGHT)


def trainer_of(
    loaded: LoadedModel, folder: Path, *, objective: Objective | None = None, accumulation: int = 1, optimizer: str = "adam"
) -> Trainer:
    objective = objective or objective_of()
    keyed = {("forget", i): row for i, row in enumerate(FORGET)}
    keyed |= {(f"alternative {i}", 0): rows[0] for i, rows in enumerate(ALTERNATIVES)}
    with reference_weights(loaded.model):
        stored = compute(loaded, keyed, {}, ReferenceFile(folder, "k" * 16), token_budget=40)
    weights = [p for _, p in trainable_parameters(loaded.model)]
    makers = {"adam": torch.optim.AdamW, "sgd": torch.optim.SGD}
    return Trainer(
        passes=Passes(
            model=loaded.model,
            layout=loaded.layout,
            device=loaded.device,
            objective=objective,
            rows=Rows(FORGET, ALTERNATIVES, RETAIN),
            stored=stored,
            reference_weights=reference_weights,
        ),
        pairing=Pairing(0, len(FORGET), len(RETAIN), BATCH, RETAIN_BATCH),
        optimizer=makers[optimizer](weights, lr=0.0),
        rate=lambda step: 1e-2 if optimizer == "adam" else 1.0,
        steps=3,
        accumulation=accumulation,
        max_grad_norm=math.inf,
        parameters=weights,
    )


@pytest.mark.parametrize(
    ("method", "term", "accumulations"),
    [("npo", "nll", (2, 4, 8)), ("dpo", "kl", (8,)), ("simnpo", "nll", (8,)), ("idk", "kl", (8,))],
)
def test_accumulation_changes_nothing(tmp_path: Path, method: str, term: str, accumulations: tuple[int, ...]) -> None:
    """Eight rows at once, and in parts; six retain rows do not fill eight parts. Weights after three steps."""
    collected = []
    for parts in (1, *accumulations):
        loaded = adapted()
        before = [p.detach().clone() for _, p in trainable_parameters(loaded.model)]
        trainer = trainer_of(loaded, tmp_path / str(parts), objective=objective_of(method, term), accumulation=parts)
        records = list(trainer.train())
        collected.append((records, [p.detach().clone() for _, p in trainable_parameters(loaded.model)]))
        assert all((now - then).abs().max() > 1e-3 for now, then in zip(collected[-1][1], before, strict=True))
    whole, weights = collected[0]
    for parted, others in collected[1:]:
        for a, b in zip(whole, parted, strict=True):
            assert (a.loss, a.forget_loss, a.retain_loss, a.grad_norm) == pytest.approx(
                (b.loss, b.forget_loss, b.retain_loss, b.grad_norm), rel=1e-6
            )
            assert a.tokens == b.tokens
        for a, b in zip(weights, others, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def naive_logps(model: torch.nn.Module, row: Row) -> Tensor:
    """Log-probabilities of a row's answer tokens through transformers' own forward on that row alone."""
    ids = torch.from_numpy(row.input_ids)
    logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
    chosen = logits.log_softmax(-1).gather(-1, ids[1:, None]).squeeze(-1)
    return chosen[row.answer_start - 1 :]


def test_one_step_follows_the_gradient_of_the_published_loss(tmp_path: Path) -> None:
    """NPO on the forget rows and weighted NLL on the retain rows, row by row; plain descent at rate 1 shows it whole."""
    plain, loaded = adapted(), adapted()
    trainer = trainer_of(loaded, tmp_path, optimizer="sgd", accumulation=2)
    forget = [FORGET[row] for _, row in trainer.pairing.forget(0)]
    retain = [RETAIN[row] for row in trainer.pairing.retain(0)]
    total = torch.zeros((), dtype=torch.float64)
    for row in forget:
        with torch.no_grad(), plain.model.disable_adapter():
            reference = naive_logps(plain.model, row).sum()
        ratio = naive_logps(plain.model, row).sum() - reference
        total = total + 2 / BETA * F.softplus(BETA * ratio) / len(forget)
    for row in retain:
        total = total - RETAIN_WEIGHT * naive_logps(plain.model, row).mean() / len(retain)
    weights = [p for _, p in trainable_parameters(plain.model)]
    expected = torch.autograd.grad(total, weights)
    before = [p.detach().clone() for _, p in trainable_parameters(loaded.model)]
    record = next(trainer.train())
    assert record.loss == pytest.approx(total.item(), rel=1e-6)
    norm = math.sqrt(sum(float(g.square().sum()) for g in expected))
    assert record.grad_norm == pytest.approx(norm, rel=1e-5) and norm > 0.1
    for now, then, gradient in zip((p for _, p in trainable_parameters(loaded.model)), before, expected, strict=True):
        torch.testing.assert_close(then - now.detach(), gradient, rtol=1e-4, atol=1e-5 * norm)


def test_clipping_shortens_the_step_to_the_limit(tmp_path: Path) -> None:
    loaded = adapted()
    trainer = replace(trainer_of(loaded, tmp_path, optimizer="sgd"), max_grad_norm=0.01)
    before = [p.detach().clone() for _, p in trainable_parameters(loaded.model)]
    record = next(trainer.train())
    after = [p.detach() for _, p in trainable_parameters(loaded.model)]
    moved = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(after, before, strict=True)))
    assert record.grad_norm > 0.1 and moved == pytest.approx(0.01, rel=1e-3)


def test_a_stored_reference_equals_a_live_one(tmp_path: Path) -> None:
    """What is computed, what is read back from the file, and what the base gives now."""
    loaded = adapted()
    trainer = trainer_of(loaded, tmp_path)
    again = trainer_of(loaded, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    from unlearn_cli.data.batch import pack
    from unlearn_cli.models.forward import forward

    order = [4, 0, 7]
    policy = forward(loaded.model, pack({"rows": [FORGET[i] for i in order]}), loaded.layout)["rows"]
    with torch.no_grad(), reference_weights(loaded.model):
        live = forward(loaded.model, pack({"rows": [FORGET[i] for i in order]}), loaded.layout)["rows"]
    for source in (trainer.passes.stored, again.passes.stored):
        stored = source.outputs([("forget", i) for i in order], policy)
        torch.testing.assert_close(stored.token_logps, live.token_logps, rtol=1e-5, atol=1e-6)
        assert not stored.token_logps.requires_grad
        assert stored.mask.equal(live.mask) and stored.targets.equal(live.targets)
    assert (policy.token_logps - live.token_logps).abs().max() > 1e-4


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole, halves = adapted(), adapted()
    list(trainer_of(whole, tmp_path / "a").train())
    trainer = trainer_of(halves, tmp_path / "b")
    steps = trainer.train()
    next(steps)
    steps.close()
    assert [record.step for record in trainer.train(1)] == [2, 3]
    for (_, a), (_, b) in zip(trainable_parameters(whole.model), trainable_parameters(halves.model), strict=True):
        assert a.equal(b)


def test_a_caller_changes_the_training_between_two_steps(tmp_path: Path) -> None:
    """Another weight and rate from the next step on; back to earlier weights."""
    loaded = adapted()
    trainer = trainer_of(loaded, tmp_path)
    weights = [p for _, p in trainable_parameters(loaded.model)]
    steps = trainer.train()
    assert next(steps).retain_weight is None
    start = trainer.weights()
    trainer.adjust(retain_weight=5.0, rate_factor=0.5)
    record = next(steps)
    assert (record.retain_weight, record.learning_rate) == (5.0, 0.5e-2)
    assert record.loss == pytest.approx(record.forget_loss + 5.0 * record.retain_loss)
    assert not all(p.equal(before) for p, before in zip(weights, start, strict=True))
    trainer.set_weights(start)
    assert all(p.equal(before) for p, before in zip(weights, start, strict=True))
    next(steps)
    trainer.copy_weights_to(start)
    assert all(p.equal(now) for p, now in zip(weights, start, strict=True))


def test_a_loss_that_is_not_finite_leaves_the_weights(tmp_path: Path) -> None:
    loaded = adapted()
    trainer = trainer_of(loaded, tmp_path, objective=Objective(**{**vars(objective_of()), "retain_weight": math.inf}))
    before = [p.detach().clone() for _, p in trainable_parameters(loaded.model)]
    with pytest.raises(Diverged, match="step 1: the loss"):
        next(trainer.train())
    for (_, now), then in zip(trainable_parameters(loaded.model), before, strict=True):
        assert now.equal(then) and now.grad is None


@pytest.mark.parametrize(
    ("method", "term", "groups", "stored", "live"),
    [
        ("npo", "nll", ("forget", "retain"), ("forget",), ()),
        ("npo", "kl", ("forget", "retain"), ("forget",), ("retain",)),
        ("dpo", "nll", ("forget", "alternative", "retain"), ("forget", "alternative"), ()),
        ("idk", "nll", ("alternative", "retain"), (), ()),
        ("grad-ascent", "none", ("forget",), (), ()),
    ],
)
def test_what_an_objective_runs(method: str, term: str, groups: tuple, stored: tuple, live: tuple) -> None:
    objective = objective_of(method, term)
    assert (objective.groups, objective.stored_groups, objective.live_groups) == (groups, stored, live)
    assert objective.logit_groups == ({"retain"} if term == "kl" else set())
