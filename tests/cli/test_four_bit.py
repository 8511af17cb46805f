"""4-bit on a CPU: works from end to end, with gradients that are right."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("bitsandbytes", reason="bitsandbytes has no wheel for this platform")

from tests.cli.running import DEMO, QUICK, data_arguments, read_report, unlearn
from unlearn_cli.config import DataOptions, LoraOptions, ModelOptions
from unlearn_cli.data.batch import pack
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import make_encoder
from unlearn_cli.demo.facts import splits
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models import adapter
from unlearn_cli.models.forward import forward
from unlearn_cli.models.load import load_model

OPTIONS = ModelOptions(model=DEMO, load_in_4bit=True, device="cpu", dtype="bfloat16")


def gradients(*, measured_before: bool) -> torch.Tensor:
    """LoRA gradients of one batch, with or without a forward in evaluation mode before."""
    loaded = load_model(OPTIONS)
    encoder = make_encoder(DataOptions(max_length=128), loaded.tokenizer, loaded.stop_ids, 128)
    rows = encoder.encode(Example(r["id"], (("user", r["question"]),), r["answer"], "qa") for r in splits()["forget"][:4])
    adapter.attach(loaded, LoraOptions(), seed=0)
    batch = pack({"rows": rows})
    if measured_before:
        loaded.model.eval()
        with torch.no_grad():
            forward(loaded.model, batch, loaded.layout)
    loaded.model.train()
    for name, tensor in adapter.trainable_parameters(loaded.model):
        if "lora_B" in name:  # zero at the start, when lora_A has no gradient
            torch.nn.init.normal_(tensor, std=0.02, generator=torch.Generator().manual_seed(len(name)))
    (-forward(loaded.model, batch, loaded.layout)["rows"].mean_logps.mean()).backward()
    return torch.cat([tensor.grad.flatten() for _, tensor in adapter.trainable_parameters(loaded.model)])


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def test_measuring_before_training_does_not_change_the_gradients():
    assert cosine(gradients(measured_before=True), gradients(measured_before=False)) > 0.999


def _repacks() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and "avx512_bf16" in cpuinfo.read_text()


@pytest.mark.skipif(not _repacks(), reason="only CPUs with AVX512-BF16 repack 4-bit weights")
def test_without_the_guard_they_would_change(monkeypatch):
    """The planted mistake. If this fails, bitsandbytes has mended it and the guard can go."""
    right = gradients(measured_before=False)
    monkeypatch.setattr("unlearn_cli.models.load._keep_autograd_on_cpu", lambda model: None)
    try:
        wrong = gradients(measured_before=True)
    except (RuntimeError, UnlearnError):
        return  # repacked weights that the backward pass, or the trial at load, cannot read at all
    assert cosine(wrong, right) < 0.99


def test_the_whole_run(tmp_path):
    run = tmp_path / "run"
    four_bit = ("--load-in-4bit", "--device", "cpu", "--max-steps", "12")
    result = unlearn("forget", *data_arguments(tmp_path, DEMO), *QUICK, *four_bit, "-o", run)
    assert result.exit_code == 0, result.stderr
    report = read_report(run)
    assert report["model"]["quantization"] == "nf4"
    assert report["artifact"]["lora_b_nonzero"] == "28/28" and report["artifact"]["reload_max_diff"] < 1e-3
    forget = report["scores"]["forget"]["probability"]
    assert forget["after"]["value"] < forget["before"]["value"] - 0.1
    again = unlearn("evaluate", run)
    assert again.exit_code == 0, again.stderr


def test_8_bit(tmp_path):
    result = unlearn(
        "forget", *data_arguments(tmp_path, DEMO), *QUICK, "--load-in-8bit", "--device", "cpu", "-o", tmp_path / "run"
    )
    assert result.exit_code in (0, 4), result.stderr
    assert read_report(tmp_path / "run")["model"]["quantization"] == "int8"


def test_four_bit_on_a_cpu_that_was_not_asked_for_is_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for device, message in (("auto", True), ("cpu", False)):
        arguments = (*data_arguments(tmp_path, DEMO), *QUICK, "--max-steps", 1, "--load-in-4bit", "--device", device)
        result = unlearn("forget", *arguments, "-o", tmp_path / device)
        assert result.exit_code in (0, 4), result.stderr
        assert ("saves memory, not time" in " ".join(result.stderr.split())) is message


def test_without_bitsandbytes_the_flag_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    run = tmp_path / "run"
    result = unlearn("forget", *data_arguments(tmp_path, DEMO), "--load-in-4bit", "-o", run)
    assert result.exit_code == 2 and "pip install bitsandbytes" in result.stderr and not run.exists()
