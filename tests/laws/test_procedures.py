"""What every procedure owes: a schedule that was asked for is followed, or refused; and the memory that it says it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.cli.running import data_arguments, unlearn
from tests.models.tiny import VOCABULARY
from tests.training.test_loop import FORGET, adapted, trainer_of
from unlearn_cli.config import ForgetConfig, LoraOptions
from unlearn_cli.contract import METHODS, RETAIN_TERMS, ROBUST, Procedure, Sizes
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.adapter import attach
from unlearn_cli.models.layout import choose_layout
from unlearn_cli.models.live_tensors import peak_of
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.memory import sizes
from unlearn_cli.recipes.forgetting.resolve import resolve_method
from unlearn_cli.training.optimizer import rate_at
from unlearn_cli.training.sign import Sign
from unlearn_cli.training.workbench import Workbench

PROCEDURES = [p for p in map(METHODS.get, METHODS.names()) if isinstance(p, Procedure)]
SMALL = {"rounds": 3, "inner": 2, "components": 4, "epochs": 3.0}  # of the parameters that a procedure has


def rates(procedure: Procedure, folder, shape: str) -> list[float]:
    """Learning rates of the steps that a procedure takes under a schedule of this shape."""
    loaded = adapted()
    schedule = partial(rate_at, shape=shape, warmup_ratio=0.0)
    bench = Workbench(loaded, trainer_of(loaded, folder), epochs=3.0, peak=1e-3, schedule=schedule)
    given = {name: value for name, value in SMALL.items() if name in procedure.parameters}
    given = procedure.resolve(given)
    records = list(procedure(bench, **given))
    said = procedure.steps(bench, **given)
    assert len(records) == said or (len(records) < said and "budget" in given)
    return [record.learning_rate for record in records]


@pytest.mark.parametrize("procedure", [p for p in PROCEDURES if not p.strength], ids=lambda p: p.name)
def test_the_schedule_is_that_of_the_settings(procedure, tmp_path) -> None:
    """Under a linear schedule rates fall within every stage; under a constant one each peak is kept."""
    linear, constant = rates(procedure, tmp_path / "a", "linear"), rates(procedure, tmp_path / "b", "constant")
    assert len(linear) == len(constant) and linear[0] == constant[0] and linear[1] < constant[1]
    assert len(set(constant)) <= 2, "one peak for the base method, one for the procedure's own steps"
    if procedure.name != "repselect":  # its own steps are shares of the weights' length
        assert linear[-1] < constant[-1]


Change = Callable[[Workbench], Workbench]


def trace(
    procedure: Procedure,
    folder,
    *,
    epochs: float = 3.0,
    peak: float = 1e-3,
    change: Change = lambda bench: bench,
    **parameters: object,
) -> list[float]:
    """The losses of a procedure's steps."""
    loaded = adapted()
    schedule = partial(rate_at, shape="constant", warmup_ratio=0.0)
    bench = change(Workbench(loaded, trainer_of(loaded, folder), epochs=epochs, peak=peak, schedule=schedule))
    small = {name: value for name, value in SMALL.items() if name in procedure.parameters}
    return [record.loss for record in procedure(bench, **procedure.resolve({**small, **parameters}))]


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda p: p.name)
def test_a_run_is_changed_by_what_a_verdict_proposes(procedure, tmp_path) -> None:
    """By its `strength`, if it declares one, and then by no --epochs and no --learning-rate; otherwise by each of these."""
    usual = trace(procedure, tmp_path / "a")
    others = [trace(procedure, tmp_path / name, **{name: value}) for name, value in (("epochs", 6.0), ("peak", 5e-4))]
    if procedure.strength:
        assert others == [usual, usual]
        for factor in (2.0, 0.5):
            stronger = {name: factor * procedure.parameters[name].default for name in procedure.strength}
            assert trace(procedure, tmp_path / "b", **stronger) != usual
    else:
        assert usual not in others


def trains_with(**fields: object) -> Change:
    """The base method's training has other values in these fields."""
    return lambda bench: replace(bench, trainer=replace(bench.trainer, **fields))


def aims_at(**fields: object) -> Change:
    """The base method's objective has other values in these fields."""

    def changed(bench: Workbench) -> Workbench:
        objective = replace(bench.trainer.passes.objective, **fields)
        return trains_with(passes=replace(bench.trainer.passes, objective=objective))(bench)

    return changed


def scheduled(**fields: object) -> Change:
    return lambda bench: replace(bench, schedule=partial(bench.schedule, **fields))


def optimized(make: Callable[..., torch.optim.Optimizer], **fields: object) -> Change:
    return lambda bench: trains_with(optimizer=make(bench.trainer.parameters, lr=0.0, **fields))(bench)


def drawn(bench: Workbench) -> Workbench:
    return trains_with(pairing=replace(bench.pairing, retain_batch=3))(bench)


# Settings of the training, each with a value and with what it changes on a workbench.
SETTINGS: dict[str, tuple[object, Change]] = {
    "forget_weight": (3.0, aims_at(forget_weight=3.0)),
    "retain_weight": (9.0, aims_at(retain_weight=9.0)),
    "retain_term": ("uniform", aims_at(retain_term=RETAIN_TERMS.get("uniform"))),
    "robust": ("sam", trains_with(rule=ROBUST.get("sam").function)),
    "optim": ("sign", optimized(Sign, weight_decay=0.0)),
    "weight_decay": (0.5, optimized(torch.optim.AdamW, weight_decay=500.0)),
    "max_grad_norm": (1e-9, trains_with(max_grad_norm=1e-9)),
    "warmup_ratio": (0.5, scheduled(warmup_ratio=0.5)),
    "lr_scheduler_type": ("linear", scheduled(shape="linear")),
    "retain_ratio": (3, drawn),
}


def refused(procedure: Procedure, setting: str, value: object) -> bool:
    """Whether a run of the procedure refuses a setting. With a retain term, without which a weight is only noted."""
    given = {"retain_term": "nll"} if setting == "retain_weight" and not procedure.strength else {}
    config = ForgetConfig(model="m", forget="f", retain="r", method=procedure.name, **{**given, setting: value})
    try:
        resolve_method(config, {setting: "flag"})
    except UnlearnError as error:
        assert "changes nothing" in error.message and f"--{setting.replace('_', '-')}" in error.message
        return True
    return False


@pytest.mark.slow  # a run for each setting: 25 s
@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda p: p.name)
def test_a_setting_that_changes_nothing_is_refused_and_no_other(procedure, tmp_path) -> None:
    usual = trace(procedure, tmp_path / "usual")
    same = {name: trace(procedure, tmp_path / name, change=change) == usual for name, (_, change) in SETTINGS.items()}
    assert same == {name: refused(procedure, name, value) for name, (value, _) in SETTINGS.items()}


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda p: p.name)
def test_settings_of_the_training_are_refused_where_there_is_none(procedure, tmp_path, monkeypatch) -> None:
    """The same in short: who never trains the base method reads none of its settings."""
    used = set()
    for owner, name in ((Workbench, "unlearn"), (Workbench, "retain_batch")):
        method = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, n=name, m=method, **k: used.add(n) or m(*a, **k))
    trace(procedure, tmp_path)
    expected = {name: "unlearn" not in used for name in SETTINGS} | {"retain_ratio": not used}
    assert expected == {name: refused(procedure, name, value) for name, (value, _) in SETTINGS.items()}


ROOM = 0.1  # by which a procedure may hold more than it says


def wide_bench(folder) -> Workbench:
    """A workbench of a model whose weights weigh more than the activations of two short rows."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=192, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, bos_token_id=0, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config).requires_grad_(False).eval()
    loaded = LoadedModel(model, None, choose_layout(model), None, torch.device("cpu"), torch.float32, None, frozenset({1}))
    attach(loaded, LoraOptions(lora_r=2, lora_dropout=0.0), seed=0)
    trainer = trainer_of(loaded, folder)
    trainer = replace(trainer, pairing=replace(trainer.pairing, batch=2, retain_batch=1))
    schedule = partial(rate_at, shape="linear", warmup_ratio=0.0)
    return Workbench(loaded, trainer, epochs=0.4, peak=1e-3, schedule=schedule)


def sizes_of(bench: Workbench):
    trained = sum(p.numel() for p in bench.trainer.parameters)
    return sizes(bench.model.get_base_model(), trained, sum(len(row.input_ids) for row in FORGET))


@pytest.fixture(scope="module")
def base_peak(tmp_path_factory) -> int:
    """Bytes that the base method's own training takes at its most: adapter, gradient, moments and activations."""
    bench = wide_bench(tmp_path_factory.mktemp("base"))
    return peak_of(lambda: list(bench.unlearn()))


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda p: p.name)
def test_a_procedure_holds_what_it_says(procedure, base_peak, tmp_path) -> None:
    """At most a tenth more, so that a run that is said to fit does; and more than half, so that none is refused in vain."""
    bench = wide_bench(tmp_path)
    given = procedure.resolve({name: value for name, value in SMALL.items() if name in procedure.parameters})
    said = base_peak + procedure.holds(sizes_of(bench), **given)
    taken = peak_of(lambda: list(procedure(bench, **given)))
    assert 0.5 * said < taken < (1 + ROOM) * said, f"{taken / said:.2f} of what it says"


# What each holds beside the model and the base method's training, if all weights take 10^12 bytes, the MLPs' matrices 10^9,
# an adapter 10^6, what is recorded of the forget rows 4 x 10^3, and the last matrix of an MLP reads 3 features.
ALL, MLPS, ADAPTER = 10**12, 10**9, 10**6
COUNTED = {
    "cir": ALL + 2 * MLPS + 10**3,  # original; gradient, step; a quarter of what is recorded
    "layered": 0,
    "memit": (1 + 5) * 3 * 3 * 8,  # covariance and the system that is solved, float64
    "mode-connectivity": (1 + 1 + 1 + 3) * ALL,  # original, model before, weights off the line; gradient, two moments
    "rehearsal": (1 + 2 + 1 + 2 + 1 + 1)
    * ALL,  # original, moments; the attacker's shift, moments, gradient; weights to restore
    "repselect": 2 * MLPS,  # direction; gradient or saved weights
    "tar": (2 + 2 + 1 + 1) * ADAPTER,  # moments of two optimizers, weights to restore, sum of gradients
    "undo": (1 + 3) * ALL,  # teacher; gradient, two moments
    "weight-distance": (1 + 1 + 1 + 3) * ALL,  # original, model before, differences; gradient, two moments
    "weight-distortion": (1 + 3) * ALL,  # model before; gradient, two moments
}


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda p: p.name)
def test_sets_of_weights_are_counted(procedure) -> None:
    sizes_ = Sizes(whole=ALL, mlps=MLPS, adapter=ADAPTER, read=3, recorded=4 * 10**3)
    assert procedure.holds(sizes_, **procedure.resolve({})) == COUNTED[procedure.name]


def test_a_procedure_that_says_too_little_is_caught(base_peak, tmp_path) -> None:
    """The planted mistake: `undo` without its copy and optimizer."""
    bench, undo = wide_bench(tmp_path), METHODS.get("undo")
    taken = peak_of(lambda: list(undo(bench, **undo.resolve({}))))
    assert taken > (1 + ROOM) * base_peak


def test_a_dry_run_counts_them(tmp_path) -> None:
    """Four sets of weights for `undo`: the teacher, the gradient, two moments; and nothing for `npo`."""
    memory = {}
    for method in ("npo", "undo"):
        flags = ("--method", method, "--dry-run", "--json", "--output-dir", tmp_path / "run")
        memory[method] = json.loads(unlearn("forget", *data_arguments(tmp_path), *flags).stdout)["memory"]
    assert memory["npo"]["copies"] == 0 and memory["undo"]["copies"] == 4 * memory["undo"]["base"]
    assert memory["undo"]["total"] > memory["npo"]["total"] + memory["undo"]["copies"]
