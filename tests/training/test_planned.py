"""A step without numbers takes what the same step takes with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from tests.models.tiny import ARCHITECTURES, rows_of
from unlearn_cli.config import LoraOptions
from unlearn_cli.contract import CONTEXTS, METHODS, RETAIN_TERMS, Method
from unlearn_cli.models import adapter, memory
from unlearn_cli.models.layout import choose_layout
from unlearn_cli.models.live_tensors import Alive, peak_of
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.passes import Passes, Rows
from unlearn_cli.training.planned import Planned, Unknown

BLOCKS = 5
LONG = rows_of((24, 31, 40, 28), seed=1)
ROWS = Rows(
    LONG,
    [[row] for row in LONG],
    rows_of((35, 22, 30), seed=2),
    [[row] for row in rows_of((20, 26, 33), seed=3)],
    dict.fromkeys(CONTEXTS, LONG),
)
OPTIONS = LoraOptions(lora_r=4, lora_dropout=0.0)


def config_of(name: str) -> Any:
    return ARCHITECTURES[name](num_hidden_layers=BLOCKS)


def objective_of(method: str, term: str) -> Objective:
    declared, retain = METHODS.get(method), RETAIN_TERMS.get(term)
    phrases = {name: (2, 4) for name, parameter in declared.parameters.items() if parameter.phrase}
    given = declared.resolve({}) | phrases
    return Objective(declared, retain, given, retain.resolve({}), 1.0, 1.0, layers=(2,), retain_layers=(3,))


def planned(name: str, objective: Objective, options: LoraOptions, dtype: torch.dtype, *, checkpointing: bool) -> int:
    skeleton = memory.skeleton(config_of(name), trust_remote_code=False)
    return Planned.of(skeleton, options, dtype, checkpointing=checkpointing).step(objective, ROWS)


def measured(name: str, objective: Objective, options: LoraOptions, dtype: torch.dtype, *, checkpointing: bool) -> int:
    """Bytes at the peak of the step on the CPU."""
    model = AutoModelForCausalLM.from_config(config_of(name), dtype=dtype).requires_grad_(False).eval()
    layout = replace(choose_layout(model), shares=False)  # the plan counts each row whole
    loaded = LoadedModel(model, None, layout, None, torch.device("cpu"), dtype, None, frozenset({1}))
    adapter.attach(loaded, options, seed=0)
    if checkpointing:
        adapter.enable_checkpointing(loaded)
    adapter.set_training(loaded.model)
    for parameter in loaded.model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda tensor: setattr(tensor, "grad", None))
    passes = Passes(
        loaded.model,
        loaded.layout,
        loaded.device,
        objective,
        ROWS,
        Unknown(),
        adapter.reference_weights,  # type: ignore[arg-type]
    )

    def step() -> None:
        outputs = passes.run([(0, row) for row in range(4)], range(3))
        loss = objective.forget_losses(outputs.policy, outputs.reference, 0.0).sum()
        (loss + objective.retain_losses(outputs.policy, outputs.reference, 0.0).sum()).backward()

    return peak_of(step)


def fused() -> bool:
    """Whether this torch has an attention kernel for grouped heads on the CPU. Without one it writes all scores out."""
    query, key = torch.ones(1, 4, 64, 8), torch.ones(1, 2, 64, 8)
    scores = 4 * 64 * 64 * query.element_size()
    return peak_of(lambda: F.scaled_dot_product_attention(query, key, key, is_causal=True, enable_gqa=True)) < scores


@pytest.mark.parametrize(
    ("name", "method", "term", "dtype", "checkpointing", "how"),
    [
        ("llama-gqa", "npo", "kl", torch.float32, False, {}),
        ("llama-gqa", "npo", "nll", torch.float32, True, {}),
        ("llama-gqa", "simnpo", "nll", torch.float32, False, {"full": True}),
        ("qwen3", "dpo", "nll", torch.bfloat16, False, {}),
        ("gemma3", "undial", "kl", torch.bfloat16, True, {}),
        ("llama-gqa", "npo", "nll", torch.float32, False, {"lora_from": 0.4}),
        ("gpt2", "npo", "nll", torch.float32, False, {}),
        ("llama", "rmu", "hidden-mse", torch.float32, False, {}),
    ],
)
def test_a_step_takes_what_was_planned(name, method, term, dtype, checkpointing, how) -> None:
    """Within 5 %: architectures, precisions, losses on logits and on states, the adapter or every weight."""
    if ARCHITECTURES[name]().num_attention_heads != getattr(ARCHITECTURES[name](), "num_key_value_heads", 4) and not fused():
        pytest.skip("this torch has no attention kernel for grouped heads on the CPU")
    objective, options = objective_of(method, term), OPTIONS.model_copy(update=how)
    ours, real = (f(name, objective, options, dtype, checkpointing=checkpointing) for f in (planned, measured))
    assert ours == pytest.approx(real, rel=0.05), f"{ours / real:.3f}"


def test_every_method_and_retain_term_can_be_planned() -> None:
    """A term that reads numbers gets a plain loss in its place; each takes no less than its activations."""
    methods = [name for name in METHODS.names() if isinstance(METHODS.get(name), Method)]
    pairs = [(name, "nll") for name in methods] + [("npo", name) for name in RETAIN_TERMS.names()]
    plan = Planned.of(
        memory.skeleton(config_of("llama"), trust_remote_code=False), OPTIONS, torch.float32, checkpointing=False
    )
    least = plan.step(objective_of("rmu", "none"), ROWS)
    taken = {pair: plan.step(objective_of(*pair), ROWS) for pair in pairs}
    assert all(bytes_ >= least for bytes_ in taken.values())
    assert taken["npo", "kl"] > taken["npo", "nll"], "a loss on logits takes more"


def test_what_is_freed_counts_no_longer() -> None:
    """A view keeps the whole alive; what is there before the context counts nothing."""
    before = torch.zeros(100)
    with Alive() as alive:
        whole = before + 1
        part = whole[:10]
        before.mul_(2)
        del whole
        assert alive.now == 400
        other = torch.zeros(50)
        assert alive.now == 600
        del part, other
    assert (alive.now, alive.peak) == (0, 600)
