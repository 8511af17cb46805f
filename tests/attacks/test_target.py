"""Attacks on a small model: what they change, they undo; what is frozen stays frozen."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.models.tiny import load, rows_of
from unlearn_cli.attacks._target import AttackData, Target
from unlearn_cli.contract import ATTACKS
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.measure import Plan
from unlearn_cli.models.compose import Composed, Composition
from unlearn_cli.models.load import ADAPTER, LoadedModel

FACTS = [Example(str(i), (("user", f"q{i}"),), f"a{i}", "qa") for i in range(12)]
DATA = AttackData(
    eval_forget=tuple(FACTS[1::2]),
    train_forget=tuple(FACTS[::2]),
    eval_retain=tuple(FACTS[:2]),
    train_retain=tuple(FACTS[2:5]),
    user_rows=tuple(FACTS[:6]),
)


class _Encoder:
    """Examples to fixed random rows; a wording of the question gives other tokens."""

    def encode(self, examples) -> list[Row]:
        rows = []
        for e in examples:
            seed = sum(map(ord, e.prompt + e.prefill + e.id)) + len(e.turns)
            (row,) = rows_of((9,), seed=seed)
            rows.append(replace(row, id=e.id))
        return rows


class _Words:
    def decode(self, ids, skip_special_tokens: bool) -> str:
        return " ".join(map(str, ids))


def adapted() -> LoadedModel:
    """A model with a frozen adapter that does something, as a run's folder is loaded."""
    loaded = load("llama-gqa")
    torch.manual_seed(1)
    model = get_peft_model(loaded.model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]), adapter_name=ADAPTER)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.copy_(0.1 * torch.randn(p.shape))
    return replace(loaded, model=model.requires_grad_(False).eval(), tokenizer=_Words())


def target(role: str, loaded: LoadedModel, **more) -> Target:
    plan = Plan(generate=2, max_new_tokens=3, token_budget=64)
    return Target(
        role=role, loaded=loaded, encoder=_Encoder(), plan=plan, **{"data": DATA, "original": original_weights} | more
    )  # fmt: skip


def original_weights() -> dict[str, torch.Tensor]:
    """Of the model that `adapted` starts from."""
    return {name: p.data for name, p in load("llama-gqa").model.named_parameters()}


def state(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    """Tensors by name; PEFT's wrapping of a layer that has no adapter any more is no difference."""
    return {name.replace(".base_layer", ""): p.detach().clone() for name, p in loaded.model.named_parameters()}


def equal(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


PARAMETERS = {
    "rtt": {"folds": 2, "steps": (0, 2), "learning_rate": 1e-2},
    "relearn": {"steps": (0, 2), "learning_rate": 1e-2},
    "few-shot": {"shots": (1, 2)},
    "probe": {"steps": 2},
    "sample": {"draws": (2,)},
}
NAMES = [n for n in ATTACKS.names() if n not in ("paraphrase", "multiple-choice")]
# The other roles: the adapter is off, or there is none, and what trains or changes weights does so on the model itself.
CHANGING = [n for n in ("relearn", "rtt", "quantize", "prune", "path", "few-shot", "probe") if n in NAMES]
ROLES = [(n, "unlearned") for n in NAMES] + [(n, role) for n in CHANGING for role in ("original", "baseline")]


@pytest.mark.parametrize(("name", "role"), ROLES)
def test_an_attack_leaves_the_model_as_it_found_it(name: str, role: str) -> None:
    loaded = adapted() if role != "baseline" else replace(load("llama-gqa"), tokenizer=_Words())
    before, values = state(loaded), target(role, loaded).measure(0).forget.token_logps
    points = list(ATTACKS.get(name).function(target(role, loaded), **PARAMETERS.get(name, {})))
    assert points and all(p.forget.rows == 6 for p in points)
    assert equal(before, state(loaded))
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert (target(role, loaded).measure(0).forget.token_logps == values).all()


@pytest.mark.parametrize("full", [False, True])
def test_relearning_trains_what_it_says(full: bool) -> None:
    """The judged rows' scores move; both ways start from the model before; the same seed gives the same curve."""
    curves = [
        [
            p.forget.token_logps
            for p in ATTACKS.get("relearn").function(
                target("unlearned", adapted()), steps=(0, 3), learning_rate=1e-2, seed=seed, full=full, data=data
            )
        ]
        for seed, data in ((0, "forget-subset"), (0, "forget-subset"), (1, "forget-subset"), (0, "retain-only"))
    ]
    assert (curves[0][0] == curves[2][0]).all() and (curves[0][1] != curves[0][0]).any()
    assert (curves[0][1] == curves[1][1]).all()
    assert (curves[0][1] != curves[2][1]).any() and (curves[0][1] != curves[3][1]).any()


def test_the_original_is_attacked_without_the_adapter() -> None:
    """The same curve as on the bare base."""
    settings = {"steps": (0, 2), "learning_rate": 1e-2}
    bare = replace(load("llama-gqa"), tokenizer=_Words())
    ours, theirs = (
        [p.forget.token_logps for p in ATTACKS.get("relearn").function(target("original", x, **more), **settings)]
        for x, more in ((adapted(), {}), (bare, {"separate_original": True}))
    )
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(torch.from_numpy(one), torch.from_numpy(two), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("role", "more"), [("baseline", {}), ("original", {"separate_original": True})])
def test_a_control_with_an_adapter_of_its_own_keeps_it(role: str, more: dict, full: bool) -> None:
    """At the first step of training nothing has changed but the fresh adapter, which starts as nothing: no jump."""
    attacked = target(role, adapted(), **more)
    before, after = (
        p.forget.token_logps for p in ATTACKS.get("relearn").function(attacked, steps=(0, 1), learning_rate=1e-9, full=full)
    )
    torch.testing.assert_close(torch.from_numpy(after), torch.from_numpy(before), rtol=1e-3, atol=1e-4)


def test_weights_are_changed_with_the_adapter_merged() -> None:
    """An identity change is the model itself; zeros are not."""
    loaded = adapted()
    attacked = target("unlearned", loaded)
    plain = attacked.measure(0).forget.token_logps
    with attacked.changed_weights(lambda weight: weight):
        same = attacked.measure(0).forget.token_logps
    with attacked.changed_weights(lambda weight: torch.zeros_like(weight)):
        other = attacked.measure(0).forget.token_logps
    torch.testing.assert_close(torch.from_numpy(same), torch.from_numpy(plain), rtol=1e-3, atol=1e-4)
    assert abs(other - plain).max() > 0.1


def test_a_composition_is_attacked_at_its_base() -> None:
    """The assistant's weights stay; the combined scores move; afterwards everything is as it was."""
    loaded = adapted()
    rule = Composition("logit_difference", {"alpha": 1.0, "filter": 0.01}, None)
    composed = replace(loaded, model=Composed(loaded.model, rule), layout=replace(loaded.layout, own_head=False))
    before = copy.deepcopy(state(composed))
    attacked = target("unlearned", composed)
    points = list(ATTACKS.get("relearn").function(attacked, steps=(0, 3), learning_rate=1e-2))
    assert (points[0].forget.token_logps != points[1].forget.token_logps).any()
    assert equal(before, state(composed))
    assert (attacked.measure(0).forget.token_logps == points[0].forget.token_logps).all()
    inner = target("original", replace(composed, model=composed.model.model))
    alone = list(ATTACKS.get("relearn").function(inner, steps=(0,)))[0]
    assert (alone.forget.token_logps != points[0].forget.token_logps).any()


def moved() -> LoadedModel:
    """A whole model whose weights are not the original's."""
    loaded = replace(load("llama-gqa"), tokenizer=_Words())
    torch.manual_seed(2)
    with torch.no_grad():
        for p in loaded.model.parameters():
            p.add_(0.05 * torch.randn(p.shape))
    return loaded


@pytest.mark.parametrize(("loaded", "separate"), [(adapted, False), (moved, True)], ids=["adapter", "model"])
def test_the_way_back_ends_at_the_original(loaded, separate: bool) -> None:
    """At 0 percent the model is itself, at 100 it is the original; the distance is |moved - original| / |original|."""
    attacked = target("unlearned", loaded(), separate_original=separate)
    itself = attacked.measure(0).forget.token_logps
    bare = target("baseline", replace(load("llama-gqa"), tokenizer=_Words())).measure(0).forget.token_logps
    first, last = ATTACKS.get("path").function(attacked, percent=(0, 100))
    torch.testing.assert_close(torch.from_numpy(first.forget.token_logps), torch.from_numpy(itself), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(last.forget.token_logps), torch.from_numpy(bare), rtol=1e-4, atol=1e-5)
    assert last.details["loss"] == pytest.approx(-last.forget.mean_logps.mean())
    merged = attacked.loaded.model if separate else attacked.loaded.model.merge_and_unload()
    pairs = [(p, original_weights()[name]) for name, p in merged.named_parameters()]
    moved_by, whole = sum((p - o).square().sum() for p, o in pairs), sum(o.square().sum() for _, o in pairs)
    assert first.details["distance"] == pytest.approx(float((moved_by / whole).sqrt()), rel=1e-4)


def test_weights_of_another_shape_have_no_line() -> None:
    attacked = target("unlearned", moved(), separate_original=True, original=lambda: {"other": torch.zeros(2)})
    with pytest.raises(UnlearnError, match="no line between"):
        attacked.distance_from_original()


def test_a_stream_of_the_original_behind_the_last_block_is_the_original() -> None:
    """Patched after every block but the last one, only that block is the unlearned model's; after all it is the original."""
    attacked = target("unlearned", adapted())
    other = target("original", adapted())
    with other.active():
        original = other.measure(0).forget.token_logps
    itself = attacked.measure(0).forget.token_logps
    early, late = (p.forget.token_logps for p in ATTACKS.get("patch").function(attacked, depth=(1, 99)))
    assert abs(early - itself).max() > 1e-4 and abs(early - original).max() > 1e-4
    torch.testing.assert_close(torch.from_numpy(late), torch.from_numpy(original), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("full", [False, True])
def test_rounded_weights_are_trained_on(full: bool) -> None:
    """The curve starts at the rounded model, not at the unlearned one, and training moves it; a rate of 0 does not."""
    attacked = target("unlearned", adapted())
    (rounded,) = (p.forget.token_logps for p in ATTACKS.get("quantize").function(attacked, bits=(3,), formats=()))
    for rate, moves in ((1e-2, True), (1e-12, False)):
        start, end = (
            p.forget.token_logps
            for p in ATTACKS.get("relearn").function(attacked, steps=(0, 2), learning_rate=rate, full=full, quantize_to=3)
        )
        torch.testing.assert_close(torch.from_numpy(start), torch.from_numpy(rounded), rtol=1e-4, atol=1e-5)
        assert (abs(end - start).max() > 1e-3) == moves


def test_a_probe_starts_at_the_logit_lens_and_learns() -> None:
    """Without a step it is the lens; fitted, it gives the rows it was fitted on more, and judges by others."""
    attacked = target("unlearned", adapted())
    lens = [p.forget.token_logps for p in ATTACKS.get("logit-lens").function(attacked)]
    plain = [p.forget.token_logps for p in ATTACKS.get("probe").function(attacked, steps=0)]
    for one, two in zip(plain, lens, strict=True):
        torch.testing.assert_close(torch.from_numpy(one), torch.from_numpy(two), rtol=1e-4, atol=1e-5)
    known = DATA._replace(eval_forget=DATA.train_forget)
    attacked = target("unlearned", adapted(), data=known)
    before, after = (list(ATTACKS.get("probe").function(attacked, steps=n, rate=1e-2))[0] for n in (0, 20))
    assert after.forget.mean_logps.mean() > before.forget.mean_logps.mean() + 0.1


@pytest.mark.parametrize(
    ("name", "rows", "parameters", "message"),
    [
        ("ablate", {"train_retain": ()}, {}, "ablate needs retain rows"),
        ("few-shot", {"train_retain": ()}, {"source": "retain"}, "few-shot: there are no retain rows to show"),
        ("multiple-choice", {}, {}, "multiple-choice: no forget row has wrong answers"),
        ("rtt", {}, {"folds": 7}, "rtt: 6 judged rows cannot be split into 7 parts"),
    ],
)
def test_an_attack_that_lacks_rows_says_which(name: str, rows: dict, parameters: dict, message: str) -> None:
    with pytest.raises(UnlearnError, match=message):
        list(ATTACKS.get(name).function(target("unlearned", adapted(), data=DATA._replace(**rows)), **parameters))


def test_a_run_without_an_adapter_cannot_be_scaled() -> None:
    with pytest.raises(UnlearnError, match="scale: the run has no adapter that could be scaled"):
        list(ATTACKS.get("scale").function(target("unlearned", load("llama-gqa"))))


def test_without_retain_rows_no_question_is_mixed_with_one() -> None:
    points = ATTACKS.get("prompts").function(target("unlearned", adapted(), data=DATA._replace(train_retain=())))
    assert [point.at for point in points] == ["prefix", "role", "suffix", "prefill", "first-words"]
