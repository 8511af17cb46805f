"""Load, LoRA, forget, save, read back, evaluate: on tiny random checkpoints of many architectures."""

import math

import pytest
import torch
import transformers

from tests.cli.running import MODEL, data_arguments, losses, read_report, unlearn

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
GROUPED = {**TINY, "num_key_value_heads": 2}
CONFIGS = {
    "Llama": GROUPED,
    "Qwen2": GROUPED,
    "Qwen3": {**GROUPED, "head_dim": 8},
    "Mistral": {**GROUPED, "sliding_window": 8},
    "Gemma": {**GROUPED, "head_dim": 8},
    "Gemma2": {**GROUPED, "head_dim": 8, "sliding_window": 8},
    "Phi": TINY,
    "Phi3": {**GROUPED, "pad_token_id": 0},
    "GPTNeoX": TINY,
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "OPT": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64, "word_embed_proj_dim": 32},
}
FEW = ("--eval-limit", 4, "--generate-limit", 1, "--max-new-tokens", 4, "--bootstrap-samples", 10)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_pipeline_runs_with_default_dropouts(name, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    torch.manual_seed(0)
    ids = {"bos_token_id": 1, "eos_token_id": 2}
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **{**ids, **CONFIGS[name]})
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    arguments = ["--model", tmp_path / "model", *data_arguments(tmp_path)[2:]]
    result = unlearn("forget", *arguments, *FEW, "--max-steps", 3, "--batch-size", 4, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr  # a random model has little to forget
    report = read_report(tmp_path / "run")
    assert report["model"]["layout"] == "packed" and report["training"]["steps"] == 3
    assert report["artifact"]["reload_max_diff"] < 1e-5
    counted, total = report["artifact"]["lora_b_nonzero"].split("/")
    assert counted == total != "0"
    # (2/beta) log 2 at the reference: GPT-2 has dropout by default, and a policy with it would not match the reference.
    assert [step for step, *_ in losses(tmp_path / "run")] == [1, 2, 3]
    assert losses(tmp_path / "run")[0][1] == pytest.approx(2 / 0.05 * math.log(2), rel=1e-4)
    again = unlearn("evaluate", tmp_path / "run", *FEW, "-o", tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    after = report["scores"]["forget"]["nll"]["after"]["value"]
    assert read_report(tmp_path / "again")["scores"]["forget"]["nll"]["after"]["value"] == pytest.approx(after, abs=1e-4)
