"""One step of training is tried before anything is measured: dropout of every kind, targets, kernels, and LoRA's reach."""

import pytest
import torch
import transformers

from tests.cli.running import DEMO, data_arguments, read_report, unlearn
from tests.models.saved import ENDS, SIZES, llama, load, save, tiny
from unlearn_cli.config import LoraOptions
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.adapter import attach, enable_checkpointing, set_training, trainable_parameters
from unlearn_cli.models.depth import tapped
from unlearn_cli.models.forward import forward
from unlearn_cli.models.layout import probe_batch
from unlearn_cli.models.memory import skeleton, weights
from unlearn_cli.models.reach import reach, with_lora
from unlearn_cli.models.trial import try_training

GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "bos_token_id": 1, "eos_token_id": 2}
WITH_DROPOUT = {
    "GPT2Config": GPT,
    "GPTBigCodeConfig": GPT,
    "GPTJConfig": GPT | {"rotary_dim": 4, "attn_pdrop": 0.3, "resid_pdrop": 0.3, "embd_pdrop": 0.3},
    "GPTNeoConfig": {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}
    | {"attention_dropout": 0.3, "resid_dropout": 0.3, "embed_dropout": 0.3},
    "OPTConfig": {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "layerdrop": 0.5}
    | {"word_embed_proj_dim": 32, "dropout": 0.3, "attention_dropout": 0.3},
    "FalconConfig": SIZES | {"attention_dropout": 0.3, "hidden_dropout": 0.3},
    "PhimoeConfig": SIZES | {"num_key_value_heads": 2, "num_local_experts": 2, "router_jitter_noise": 0.3},
}
LEFT_OUT = "--lora-target-parameters mlp.experts.down_proj,mlp.experts.gate_up_proj"


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_in_training_the_base_is_what_the_reference_is(tmp_path, name):
    loaded = load(save(tiny(name, **WITH_DROPOUT[name]), tmp_path / "model"))
    # PEFT cannot wrap a router that gives a tuple.
    targets = ("q_proj", "v_proj") if name == "PhimoeConfig" else ("all-linear",)
    try_training(loaded, LoraOptions(lora_target_modules=targets))
    attach(loaded, LoraOptions(lora_dropout=0.5, lora_target_modules=targets), seed=0)
    batch = probe_batch(loaded.config.vocab_size, loaded.device)
    with torch.no_grad():
        loaded.model.eval()
        expected = forward(loaded.model, batch, loaded.layout)["probe"].token_logps
        set_training(loaded.model)
        assert forward(loaded.model, batch, loaded.layout)["probe"].token_logps.equal(expected)


def test_the_adapters_own_dropout_is_on():
    loaded = load(DEMO)
    attach(loaded, LoraOptions(lora_dropout=0.5), seed=0)
    set_training(loaded.model)
    dropouts = [m for n, m in loaded.model.named_modules() if isinstance(m, torch.nn.Dropout) and "lora_dropout" in n]
    assert dropouts and all(module.training for module in dropouts)


def test_the_trial_leaves_no_trace():
    loaded = load(DEMO)
    model, names = loaded.model, [name for name, _ in loaded.model.named_modules()]
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    for options in (LoraOptions(), LoraOptions(full=True)):
        try_training(loaded, options)
        assert loaded.model is model and [name for name, _ in model.named_modules()] == names
        assert not hasattr(model, "peft_config") and not model.training
        assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
        assert all(weight.equal(before[name]) for name, weight in model.state_dict().items())
        assert torch.random.get_rng_state().equal(state)


def broken(*_arguments, **_options):
    raise NotImplementedError("no backward for this kernel")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--full", "--dtype", "bfloat16"), "--full adds steps to bfloat16 weights that bfloat16 rounds away"),
        (("--lora-target-parameters", "q_proj.weight"), "--lora-target-parameters: Trying to wrap"),
        (("--lora-target-modules", "act_fn"), "--lora-target-modules"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_measuring(tmp_path, monkeypatch, flags, message, dry):
    monkeypatch.setattr("unlearn_cli.recipes.forgetting.prepare.measure_inputs", broken)
    run = tmp_path / "run"
    refused = unlearn("forget", *data_arguments(tmp_path), *flags, *dry, "-o", run)
    assert refused.exit_code == 2 and message in " ".join(refused.stderr.split()), refused.stderr
    assert "this is a bug" not in refused.stderr and not run.exists()


def test_a_kernel_that_cannot_train_is_refused_before_measuring(tmp_path, monkeypatch):
    monkeypatch.setattr("unlearn_cli.recipes.forgetting.prepare.measure_inputs", broken)
    monkeypatch.setattr("unlearn_cli.models.trial.forward", broken)
    refused = unlearn("forget", *data_arguments(tmp_path), "-o", tmp_path / "run")
    assert refused.exit_code == 2 and "one step of training fails on this model: no backward" in " ".join(
        refused.stderr.split()
    )


def test_a_module_that_peft_cannot_wrap_is_refused_with_those_that_it_can(tmp_path):
    folder = save(tiny("PhimoeConfig", **WITH_DROPOUT["PhimoeConfig"]), tmp_path / "model")
    with pytest.raises(UnlearnError, match="one step of training fails") as caught:
        try_training(load(folder), LoraOptions())
    assert "--lora-target-modules q_proj,v_proj" in caught.value.hint
    try_training(load(folder), LoraOptions(lora_target_modules=("q_proj", "v_proj")))


def test_no_gradient_is_refused(monkeypatch):
    loaded = load(DEMO)
    monkeypatch.setattr("unlearn_cli.models.reach.get_peft_model", lambda *a, **k: _frozen(*a, **k))
    with pytest.raises(UnlearnError, match="no gradient reaches"):
        try_training(loaded, LoraOptions())


def _frozen(*arguments, **keywords):
    """The planted mistake: a forward that passes the adapter by."""
    from peft import get_peft_model

    model = get_peft_model(*arguments, **keywords)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.requires_grad_(False)
    return model


def test_reach_of_a_llama():
    """Of a block, q is 32 x 32 of 4 x 32 x 32 + 3 x 32 x 48 weights."""
    some = reach(with_lora(llama(), LoraOptions(lora_target_modules=("q_proj",)), "x"))
    assert some.share == pytest.approx(1024 / (4 * 1024 + 3 * 1536)) and some.notable
    assert some.left[:3] == ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    whole = reach(with_lora(llama(), LoraOptions(), "x"))
    assert (whole.share, whole.left, whole.notable) == (1.0, (), False)


def test_blocks_below_the_lowest_adapted_one_cost_no_backward():
    """The gradient of the upper adapters is the one that they have with adapters everywhere, also with checkpointing."""
    gradients = {}
    for depth, checkpointing in ((0.0, False), (0.5, False), (0.5, True)):
        loaded = load(DEMO)
        options = LoraOptions(lora_from=depth)
        attach(loaded, options, seed=0)
        trained = [p for name, p in trainable_parameters(loaded.model) if depth or ".2." in name or ".3." in name]
        generator = torch.Generator().manual_seed(1)
        for parameter in trained:
            parameter.data = torch.randn(parameter.shape, generator=generator) / 50
        if checkpointing:
            enable_checkpointing(loaded)
            set_training(loaded.model)
        ids = loaded.tokenizer("Where was Kesta Umberley born?", return_tensors="pt")["input_ids"]
        with tapped(loaded.model, [1, 2, 3], stop=False) as states:
            loaded.model(input_ids=ids, labels=ids).loss.backward()
        assert [state.requires_grad for state in states] == [not depth, not depth, True]
        gradients[depth, checkpointing] = torch.cat([p.grad.flatten() for p in trained])
        size = weights(skeleton(loaded.config, trust_remote_code=False), options, torch.float32, None)
        assert size.trainable == sum(p.numel() for _, p in trainable_parameters(loaded.model))
    for other in ((0.5, False), (0.5, True)):
        torch.testing.assert_close(gradients[other], gradients[0.0, False], rtol=1e-5, atol=1e-8)


def test_reach_of_the_upper_half():
    upper = reach(with_lora(llama(), LoraOptions(lora_from=0.5), "x"))
    assert (upper.share, upper.left) == (0.5, ())
    assert reach(with_lora(llama(), LoraOptions(lora_from=0.99), "x")).share == 0.5, "the last block is always adapted"


def test_experts_in_one_tensor_are_told_and_can_be_adapted(tmp_path):
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 2, "head_dim": 8}
    model = save(tiny("GptOssConfig", **SIZES, **ENDS, **experts), tmp_path / "model")
    arguments = ("forget", "-m", model, *data_arguments(tmp_path)[2:], "--max-steps", 1, "--max-new-tokens", 2)
    limits = ("--eval-limit", 4, "--generate-limit", 1, "--bootstrap-samples", 10)
    dry = unlearn(*arguments, "--dry-run", "-o", tmp_path / "dry")
    assert dry.exit_code == 0 and LEFT_OUT in " ".join(dry.stderr.split()), dry.stderr
    plain = unlearn(*arguments, *limits, "-o", tmp_path / "plain")
    assert plain.exit_code in (0, 4) and LEFT_OUT in " ".join(plain.stderr.split()), plain.stderr
    message = read_report(tmp_path / "plain")
    assert message["model"]["lora_share"] < 0.2 and any(LEFT_OUT in note for note in message["notes"])
    adapted = unlearn(*arguments, *limits, *LEFT_OUT.split(), "-o", tmp_path / "adapted")
    assert adapted.exit_code in (0, 4), adapted.stderr
    report = read_report(tmp_path / "adapted")
    assert report["model"]["lora_share"] > 0.9 and report["artifact"]["reload_max_diff"] < 1e-4


@pytest.mark.parametrize("name", ["MambaConfig", "Mamba2Config"])
def test_all_linear_is_all_that_can_be_adapted(name):
    more = {"num_heads": 4, "head_dim": 16, "n_groups": 1} if name == "Mamba2Config" else {}
    model = tiny(name, hidden_size=32, num_hidden_layers=2, state_size=4, **more)
    adapted = reach(with_lora(model, LoraOptions(), "x"))
    assert 0.4 < adapted.share < 0.9 and "mixer.out_proj" in adapted.left


def test_a_vision_tower_gets_no_adapter():
    torch.manual_seed(0)
    text = SIZES | {"num_key_value_heads": 2, "head_dim": 8, "vocab_size": 300}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Gemma3Config(
        text_config=text, vision_config=vision | {"image_size": 28, "patch_size": 14}, mm_tokens_per_image=4
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    adapted = with_lora(model, LoraOptions(lora_target_modules=("q_proj", "k_proj")), "x")
    names = [name for name, _ in adapted.named_parameters() if "lora_A" in name]
    assert len(names) == 4 and all("language_model" in name for name in names)
    assert reach(adapted).other_senses and "images" in reach(adapted).summary()
    assert reach(with_lora(adapted.unload(), LoraOptions(), "x")).share == 1.0
