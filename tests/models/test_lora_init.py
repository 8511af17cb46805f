"""FILA: the factorization on worked numbers, and that the model stays what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from tests.models.tiny import load, rows_of
from unlearn_cli.config import LoraOptions
from unlearn_cli.data.batch import pack
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.adapter import attach, reference_weights, scale_adapter, scaled, trainable_parameters
from unlearn_cli.models.forward import forward
from unlearn_cli.models.load import REFERENCE_ADAPTER, LoadedModel
from unlearn_cli.models.lora_init import EPSILON, check, factors, finish, fisher, initialize

W = torch.tensor([[2.0, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 3]], dtype=torch.float64)
FORGET = 1e-4 * torch.tensor([[4.0, 1, 1], [1, 1, 1], [0.25, 0.25, 0.5], [9, 0, 0]], dtype=torch.float64)
RHO = (FORGET / (EPSILON + 1e-4)).sum(1).sqrt()
ROWS, KEPT = rows_of((9, 5, 12, 7), seed=1), rows_of((6, 8, 13, 4), seed=2)


def test_row_weights_of_the_toy() -> None:
    expected = [2.335496832484569, 1.651445647689541, 0.9534625892455924, 2.860387767736777]
    assert RHO.tolist() == pytest.approx(expected, abs=1e-9)


def test_rank_one_of_the_toy() -> None:
    """s = 2. The weighted error is 24.006296; the unweighted rank-1 decomposition has 27.478819."""
    a, b = factors(W, RHO, 1, 2.0)
    low = 2 * b @ a
    assert low[0].tolist() == pytest.approx([0.26658391634766704, 0.018595423994162415, 1.3436510074804573], abs=1e-9)
    assert (RHO[:, None] * (W - low)).square().sum().item() == pytest.approx(24.006296470417, abs=1e-6)
    a, b = factors(W, torch.ones(4, dtype=torch.float64), 1, 2.0)
    assert (RHO[:, None] * (W - 2 * b @ a)).square().sum().item() == pytest.approx(27.478818518077098, abs=1e-2)


def test_full_rank_leaves_next_to_nothing() -> None:
    a, b = factors(W, RHO, 3, 2.0)
    assert (W - 2 * b @ a).norm().item() == pytest.approx(2.3839555639547593e-05, abs=1e-9)


def test_importance_scaled_by_a_constant_gives_the_same_factors() -> None:
    one, other = (b @ a for a, b in (factors(W, RHO, 1, 2.0), factors(W, 100 * RHO, 1, 2.0)))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_fisher_of_the_toy_batches() -> None:
    """Two batches of 3 and 5 tokens with gradient entries 0.2 and -0.1: (3 * 0.04 + 5 * 0.01) / 8 = 0.02125."""
    loaded = load("llama-gqa")
    layer = loaded.model.model.layers[0].mlp.down_proj
    information = fisher(loaded, {"x": layer}, ROWS[:2], batch=1)["x"]
    expected, tokens = 0.0, 0
    layer.weight.requires_grad_(True)
    for row in ROWS[:2]:
        outputs = forward(loaded.model, pack({"r": [row]}), loaded.layout)["r"]
        (gradient,) = torch.autograd.grad(-outputs.token_logps.sum() / row.answer_length, layer.weight)
        expected, tokens = expected + row.answer_length * gradient.square(), tokens + row.answer_length
    torch.testing.assert_close(information, expected / tokens)
    assert pytest.approx(0.021250000000000005) == (3 * 0.2**2 + 5 * 0.1**2) / 8


def logits(loaded: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model(input_ids=torch.from_numpy(ROWS[0].input_ids)[None]).logits


def started(kind: str, folder: Path) -> LoadedModel:
    loaded = load("llama-gqa")
    attach(loaded, LoraOptions(lora_r=2, lora_alpha=4), seed=0)
    initialize(loaded, kind, ROWS, KEPT, batch=2, path=folder / "init.safetensors")
    return loaded


@pytest.mark.parametrize("kind", ["fila", "pissa"])
def test_the_model_is_unchanged_until_it_is_trained(kind: str, tmp_path: Path) -> None:
    before, loaded = logits(load("llama-gqa")), started(kind, tmp_path)
    torch.testing.assert_close(logits(loaded), before, atol=1e-4, rtol=1e-4)
    with loaded.model.disable_adapter():
        assert (logits(loaded) - before).abs().max() > 1e-2  # the base alone is the residual


@pytest.mark.parametrize("kind", ["fila", "pissa"])
def test_what_is_written_is_a_plain_adapter_on_the_untouched_base(kind: str, tmp_path: Path) -> None:
    original = load("llama-gqa")
    loaded = started(kind, tmp_path)
    with torch.no_grad():
        for _, parameter in trainable_parameters(loaded.model):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    trained = logits(loaded)
    with reference_weights(loaded.model):
        torch.testing.assert_close(logits(loaded), logits(original), atol=1e-4, rtol=1e-4)
    finish(loaded)
    torch.testing.assert_close(logits(loaded), trained, atol=1e-3, rtol=1e-3)
    with loaded.model.disable_adapter():
        torch.testing.assert_close(logits(loaded), logits(original), atol=1e-4, rtol=1e-4)
    assert loaded.model.peft_config["default"].r == 4


def test_a_resumed_run_starts_from_the_same_factors(tmp_path: Path) -> None:
    first = dict(trainable_parameters(started("fila", tmp_path).model))
    loaded = load("llama-gqa")
    attach(loaded, LoraOptions(lora_r=2, lora_alpha=4), seed=0)
    initialize(loaded, "fila", KEPT, ROWS, batch=1, path=tmp_path / "init.safetensors")  # other rows: not looked at again
    for name, parameter in trainable_parameters(loaded.model):
        assert torch.equal(parameter, first[name])


def test_half_precision_is_refused() -> None:
    loaded = replace(load("llama-gqa"), dtype=torch.bfloat16)
    with pytest.raises(UnlearnError, match="changes the base"):
        check(loaded, "fila", arrived=False)


def test_no_gradient_is_left_for_the_first_step(tmp_path: Path) -> None:
    assert all(parameter.grad is None for parameter in started("fila", tmp_path).model.parameters())


def test_only_the_adapter_is_trained_and_only_once(tmp_path: Path) -> None:
    names = [name for name, _ in trainable_parameters(started("fila", tmp_path).model)]
    assert all(".lora_" in name and ".default." in name for name in names)
    assert len(names) == 2 * 7 * 2  # A and B of the seven linear layers of two blocks


def test_a_rank_above_the_matrix_s_own_is_filled_up_with_zeros(tmp_path: Path) -> None:
    before, loaded = logits(load("llama-gqa")), load("llama-gqa")
    attach(loaded, LoraOptions(lora_r=64, lora_alpha=128), seed=0)
    initialize(loaded, "fila", ROWS, KEPT, batch=2, path=tmp_path / "init.safetensors")
    torch.testing.assert_close(logits(loaded), before, atol=1e-4, rtol=1e-4)


def test_weights_stored_the_other_way_round(tmp_path: Path) -> None:
    """GPT-2's Conv1D holds [in, out], and a square one looks the same both ways."""
    before, loaded = logits(load("gpt2")), load("gpt2")
    attach(loaded, LoraOptions(lora_r=2, lora_alpha=4), seed=0)
    initialize(loaded, "fila", ROWS, KEPT, batch=2, path=tmp_path / "init.safetensors")
    torch.testing.assert_close(logits(loaded), before, atol=1e-4, rtol=1e-4)
    finish(loaded)
    with loaded.model.disable_adapter():
        torch.testing.assert_close(logits(loaded), before, atol=1e-4, rtol=1e-4)
    tensors = load_file(tmp_path / "init.safetensors")
    name = next(n for n in tensors if n.endswith("h.0.attn.c_proj.A"))[:-2]  # [32, 32]
    module = load("gpt2")
    layer = module.model.transformer.h[0].attn.c_proj
    ratio = fisher(module, {"x": layer}, ROWS, 2)["x"] / (fisher(module, {"x": layer}, KEPT, 2)["x"] + EPSILON)
    a, b = factors(layer.weight.T, ratio.sum(0).sqrt(), 2, 2.0)
    torch.testing.assert_close(tensors[f"{name}.B"] @ tensors[f"{name}.A"], b @ a, atol=1e-4, rtol=1e-4)


def test_a_layer_that_no_forget_token_goes_through_still_gets_an_adapter() -> None:
    loaded = load("llama-gqa")
    unused = torch.nn.Linear(3, 3)
    information = fisher(loaded, {"used": loaded.model.model.layers[0].mlp.up_proj, "unused": unused}, ROWS, 2)
    assert information["used"].any()
    assert not information["unused"].any()


def test_a_large_matrix_leaves_the_run_s_random_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearn_cli.models.lora_init.EXACT", 0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b = factors(W, RHO, 1, 2.0)
    assert torch.equal(torch.rand(3), expected)
    assert (2 * b @ a)[0].tolist() == pytest.approx(
        [0.26658391634766704, 0.018595423994162415, 1.3436510074804573], abs=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"lora_dropout": 0.1}, "dropout"), ({"lora_target_modules": ("q_proj", "embed_tokens")}, "linear layers")],
)
def test_adapters_that_cannot_start_so_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    loaded = load("llama-gqa")
    attach(loaded, LoraOptions(lora_r=2, lora_alpha=4, **options), seed=0)
    with pytest.raises(UnlearnError, match=message):
        initialize(loaded, "pissa", ROWS, KEPT, batch=2, path=tmp_path / "x")


@pytest.mark.parametrize(
    ("quantization", "arrived", "message"), [("nf4", False, "quantized"), (None, True, "without an adapter")]
)
def test_models_that_cannot_start_so_are_refused(quantization: str | None, arrived: bool, message: str) -> None:
    loaded = replace(load("llama-gqa"), quantization=quantization)
    with pytest.raises(UnlearnError, match=message):
        check(loaded, "fila", arrived=arrived)


@pytest.mark.parametrize("kind", ["fila", "pissa"])
def test_the_files_load_with_plain_peft_on_a_fresh_base(kind: str, tmp_path: Path) -> None:
    """Nothing doubles: what was trained is what the files add to a base that was never touched."""
    loaded = started(kind, tmp_path)
    with torch.no_grad():
        for _, parameter in trainable_parameters(loaded.model):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    trained = logits(loaded)
    finish(loaded)
    loaded.model.save_pretrained(tmp_path / "run")
    fresh = load("llama-gqa")
    fresh.replace_model(PeftModel.from_pretrained(fresh.model, tmp_path / "run"))
    torch.testing.assert_close(logits(fresh), trained, atol=1e-4, rtol=1e-4)


def test_scaling_what_was_learned_has_both_ends_where_they_belong(tmp_path: Path) -> None:
    """0 is the model before, 1 the model after; in place or for a while."""
    before, loaded = logits(load("llama-gqa")), started("fila", tmp_path)
    with torch.no_grad():
        for _, parameter in trainable_parameters(loaded.model):
            parameter.add_(0.05)
    finish(loaded)
    after = logits(loaded)
    with scaled(loaded.model, 0.0):
        torch.testing.assert_close(logits(loaded), before, atol=1e-4, rtol=1e-4)
    with scaled(loaded.model, 0.5):
        half = logits(loaded)
    assert torch.equal(logits(loaded), after)
    scale_adapter(loaded.model, 0.5)
    torch.testing.assert_close(logits(loaded), half, atol=1e-4, rtol=1e-4)


def test_a_model_that_arrived_with_an_adapter_is_not_scaled() -> None:
    loaded = load("llama-gqa")
    attach(loaded, LoraOptions(lora_r=2), seed=0)
    loaded.model.add_adapter(REFERENCE_ADAPTER, loaded.model.peft_config["default"])
    with pytest.raises(UnlearnError, match="without an adapter"):
        scale_adapter(loaded.model, 0.5)
    with pytest.raises(UnlearnError, match="without an adapter"), scaled(loaded.model, 0.5):
        pass
