"""Every weight comes from the checkpoint's files and is a number, or the model is refused and the weight named."""

import pytest
import torch
from transformers import BitsAndBytesConfig

from tests.models.saved import ENDS, SIZES, edited, llama, load, save, tiny
from unlearn_cli.errors import EXIT_USAGE, UnlearnError


def refusal(folder, **options) -> UnlearnError:
    with pytest.raises(UnlearnError) as caught:
        load(folder, **options)
    assert caught.value.exit_code == EXIT_USAGE and caught.value.hint
    return caught.value


def without(part):
    return lambda weights: {name: weight for name, weight in weights.items() if part not in name}


def prefixed(weights):
    return {f"base.{name}": weight for name, weight in weights.items()}


def cut(weights):
    return {name: w[:, :-1].contiguous() if "q_proj" in name else w for name, w in weights.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("layers.1"), "9 weights of the model are not in its files: model.layers.1"),
        (without("lm_head"), "1 weights of the model are not in its files: lm_head.weight"),
        (prefixed, "weights of the model are not in its files: lm_head.weight, model.embed_tokens.weight"),
        (
            lambda weights: weights | {"model.layers.9.x": torch.ones(2)},
            "1 weights in its files are not the model's: model.lay",
        ),
        (cut, "model.layers.0.self_attn.q_proj.weight ([32, 31] in the file, [32, 32] in the model)"),
    ],
)
def test_weights_that_are_missing_or_left_over_are_named(tmp_path, change, message):
    assert message in refusal(edited(save(llama(), tmp_path / "model"), change)).message


def test_a_tied_head_may_be_missing(tmp_path):
    loaded = load(edited(save(llama(tie_word_embeddings=True), tmp_path / "model"), without("lm_head")))
    assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named(tmp_path, value):
    def spoilt(weights):
        weights["model.layers.1.mlp.up_proj.weight"][3, 4] = value
        return weights

    refused = refusal(edited(save(llama(), tmp_path / "model"), spoilt))
    assert "model.layers.1.mlp.up_proj.weight holds numbers that are not finite" in refused.message


def test_a_pointer_of_git_lfs_is_no_damaged_file(tmp_path):
    folder = save(llama(), tmp_path / "model")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    refused = refusal(folder)
    assert "Git LFS pointer" in refused.message and f"git -C {folder} lfs pull" in refused.hint


def test_a_file_that_broke_off_is_damaged(tmp_path):
    folder = save(llama(), tmp_path / "model")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert "cannot be read" in refusal(folder).message


@pytest.mark.parametrize("name", ["BertConfig", "RobertaConfig"])
def test_an_encoder_is_not_causal(tmp_path, name):
    folder = save(tiny(name, is_decoder=False, **SIZES), tmp_path / "model")
    assert "is not causal" in refusal(folder).message


@pytest.mark.parametrize(("bits", "format_name"), [("load_in_8bit", "int8"), ("load_in_4bit", "nf4")])
def test_a_checkpoint_that_is_saved_quantized(tmp_path, bits, format_name):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes has no wheel for this platform")
    from transformers import AutoModelForCausalLM

    save(llama(), tmp_path / "plain")
    settings = BitsAndBytesConfig(**{bits: True}, **({"bnb_4bit_quant_type": "nf4"} if format_name == "nf4" else {}))
    model = AutoModelForCausalLM.from_pretrained(
        tmp_path / "plain", quantization_config=settings, device_map={"": "cpu"}, dtype=torch.float32
    )
    folder = save(model, tmp_path / "model")
    assert load(folder).quantization == format_name
    for flag in ("load_in_4bit", "load_in_8bit"):
        assert f"saved quantized already ({format_name})" in refusal(folder, **{flag: True}).message


def test_logits_that_overflow_are_not_an_architecture(tmp_path, monkeypatch):
    model = llama()
    with torch.no_grad():
        model.lm_head.weight.fill_(1e38)
    refused = refusal(save(model, tmp_path / "model"))
    assert "not finite in torch.float32" in refused.message and "--dtype" in refused.hint


def test_chunked_attention_is_not_packed(tmp_path):
    """A row longer than the chunk would leak, which rows of a short trial cannot show."""
    settings = SIZES | {"num_key_value_heads": 4, "head_dim": 8, "intermediate_size_mlp": 48, "num_local_experts": 2}
    model = tiny("Llama4TextConfig", **settings, **ENDS, attention_chunk_size=16, num_experts_per_tok=1)
    assert "chunked_attention" in model.config.layer_types
    layout = load(save(model, tmp_path / "model")).layout
    assert not layout.packed and "chunked_attention" in layout.note
