"""What a library raises on a user's files ends in words, a hint and exit code 2; "this is a bug" is for ours."""

import errno
import json

import jinja2
import pytest
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

import unlearn_cli
from tests.cli.running import BASELINE, MODEL, data_arguments, read_report, unlearn
from tests.models.saved import llama, save
from unlearn_cli.errors import UnlearnError

KINDS = (
    ImportError("cannot import name 'x' from 'flash_attn'"),
    ModuleNotFoundError("No module named 'einops'", name="einops"),
    RuntimeError("CUDA error: no kernel image is available"),
    NotImplementedError("not for this type"),
    SafetensorError("Error while deserializing header: header too large"),
    OSError("Can't load the file"),
    ValueError("Unrecognized model"),
    KeyError("model.layers.0"),
    TypeError("unexpected keyword"),
    AttributeError("'NoneType' object has no attribute 'shape'"),
    jinja2.TemplateSyntaxError("unexpected '}'", 1),
    Exception("data did not match any variant of untagged enum"),
)
BOUNDARIES = {
    "config": "unlearn_cli.models.load.AutoConfig.from_pretrained",
    "tokenizer": "unlearn_cli.models.load.AutoTokenizer.from_pretrained",
    "weights": "unlearn_cli.models.weights.AutoModelForCausalLM.from_pretrained",
    "the adapter of a model": "unlearn_cli.models.load.PeftModel.from_pretrained",
    "a new adapter": "unlearn_cli.models.reach.get_peft_model",
    "training kernel": "unlearn_cli.models.trial.forward",
}
QUICK = ("--max-steps", 1, "--eval-limit", 2, "--generate-limit", 1, "--max-new-tokens", 2, "--bootstrap-samples", 10)


def raising(error):
    def call(*_arguments, **_options):
        raise error

    return call


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A LoRA adapter on the demo's model."""
    folder = tmp_path_factory.mktemp("adapter")
    get_peft_model(AutoModelForCausalLM.from_pretrained(MODEL), LoraConfig(task_type="CAUSAL_LM", r=2)).save_pretrained(
        folder
    )
    return folder


def refused(run, *arguments):
    result = unlearn("forget", *arguments, "-o", run)
    assert result.exit_code == 2 and "error:" in result.stderr, result.stderr
    assert "this is a bug" not in result.stderr and not run.exists()
    return " ".join(result.stderr.split())


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_every_kind_of_exception(tmp_path, monkeypatch, adapter, boundary):
    monkeypatch.setattr("unlearn_cli.recipes.forgetting.prepare.measure_inputs", raising(AssertionError("measured")))
    model = adapter if boundary == "the adapter of a model" else MODEL
    for error in KINDS:
        monkeypatch.setattr(BOUNDARIES[boundary], raising(error))
        message = refused(tmp_path / "run", "-m", model, *data_arguments(tmp_path)[2:])
        assert str(error.args[0]).split()[0] in message or isinstance(error, KeyError), message
        assert "pip install einops" in message or getattr(error, "name", None) != "einops", message


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "x/adapter_model.safetensors"),
        PermissionError(errno.EACCES, "Permission denied", "x/report.json"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_folder_that_takes_nothing(tmp_path, monkeypatch, error):
    monkeypatch.setattr("unlearn_cli.models.adapter.save", raising(error))
    result = unlearn("forget", *data_arguments(tmp_path), *QUICK, "-o", tmp_path / "run")
    assert result.exit_code == 2 and "hint:" in result.stderr and "this is a bug" not in result.stderr, result.stderr


@pytest.mark.parametrize("error", [RuntimeError("ours"), KeyError("ours"), OSError("ours")])
def test_a_mistake_of_ours_is_a_bug(tmp_path, monkeypatch, error):
    monkeypatch.setattr("unlearn_cli.recipes.forgetting.prepare.measure_inputs", raising(error))
    result = unlearn("forget", *data_arguments(tmp_path), "-o", tmp_path / "run")
    assert result.exit_code == 1 and "this is a bug" in result.stderr


def rewritten(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def adapted(tmp_path, config=None, **changes):
    """A base of its own, and an adapter on it."""
    save(llama(), tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    config = config or LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])
    get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    return rewritten(tmp_path / "adapter", **changes)


def test_an_adapter_without_a_base_never_takes_the_current_folder(tmp_path, monkeypatch):
    folder = adapted(tmp_path, base_model_name_or_path=None)
    monkeypatch.chdir(tmp_path / "base")
    message = refused(tmp_path / "run", "-m", folder, *data_arguments(tmp_path)[2:])
    assert "names no base model" in message and "--base FOLDER_OR_HUB_ID" in message


def test_a_base_that_has_moved_can_be_named(tmp_path):
    folder, data = adapted(tmp_path, base_model_name_or_path="/data/gone/llama"), data_arguments(tmp_path)[2:]
    assert "--base FOLDER_OR_HUB_ID" in refused(tmp_path / "run", "-m", folder, *data)
    done = unlearn("forget", "-m", folder, "--base", tmp_path / "base", *data, *QUICK, "-o", tmp_path / "run")
    assert done.exit_code in (0, 4), done.stderr
    (tmp_path / "base").rename(tmp_path / "moved")
    assert unlearn("evaluate", tmp_path / "run").exit_code == 2
    for command in (("evaluate",), ("chat", "--prompt", "Who?"), ("merge", "--tolerance", 9, "-o", tmp_path / "merged")):
        if command[0] == "chat":
            continue  # the model before is an adapter on a base that has moved as well
        again = unlearn(command[0], tmp_path / "run", "--base", tmp_path / "moved", *command[1:])
        assert again.exit_code == 0, again.stderr
    assert read_report(tmp_path / "run")["model"]["adapter"] == str(folder)


def test_the_base_of_a_run_that_has_moved(tmp_path):
    save(llama(), tmp_path / "base")
    run, moved = tmp_path / "run", tmp_path / "moved"
    done = unlearn("forget", "-m", tmp_path / "base", *data_arguments(tmp_path)[2:], *QUICK, "-o", run)
    assert done.exit_code in (0, 4), done.stderr
    (tmp_path / "base").rename(moved)
    for command in (
        ("chat", "--prompt", "Who?", "--max-new-tokens", 2),
        ("merge", "--tolerance", 9, "-o", tmp_path / "merged"),
    ):
        again = unlearn(command[0], run, "--base", moved, *command[1:])
        assert again.exit_code == 0, again.stderr
    few = ("-p", "steps=0+1", "--eval-limit", 2, "--generate-limit", "-1", "--bootstrap-samples", 10)
    attacked = unlearn("relearn-attack", run, "--base", moved, *few)
    assert attacked.exit_code == 0, attacked.stderr


def test_base_is_for_adapters(tmp_path):
    assert "leave --base out" in refused(tmp_path / "run", *data_arguments(tmp_path), "--base", MODEL)


def test_adapters_that_cannot_be_used(tmp_path):
    data = data_arguments(tmp_path)[2:]
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    (tmp_path / "prompt").mkdir()
    assert "is prompt tuning" in refused(tmp_path / "run", "-m", adapted(tmp_path / "prompt", prompt), *data)
    biased = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], bias="lora_only")
    (tmp_path / "bias").mkdir()
    assert "trains biases" in refused(tmp_path / "run", "-m", adapted(tmp_path / "bias", biased), *data)
    (tmp_path / "other").mkdir()
    other = adapted(tmp_path / "other", r=4)
    assert "size mismatch" in refused(tmp_path / "run", "-m", other, *data)
    rewritten(other, r=2, target_modules=["q_proj", "v_proj"])
    assert "lacks weights" in refused(tmp_path / "run", "-m", other, *data)
    (other / "adapter_model.safetensors").unlink()
    assert "holds no adapter weights" in refused(tmp_path / "run", "-m", other, *data)
    (other / "adapter_config.json").write_text("{")
    assert "is not valid JSON" in refused(tmp_path / "run", "-m", other, *data)


def test_a_gguf_file_gets_no_hint_that_fails(tmp_path):
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "model.gguf").write_bytes(b"GGUF")
    message = refused(tmp_path / "run", "-m", tmp_path / "gguf" / "model.gguf", *data_arguments(tmp_path)[2:])
    assert "is a GGUF file" in message and "--model" not in message
    weights = save(llama(), tmp_path / "model") / "model.safetensors"
    assert f"--model {tmp_path / 'model'}" in refused(tmp_path / "run", "-m", weights, *data_arguments(tmp_path)[2:])


def test_a_base_with_other_weights_is_refused(tmp_path):
    """The run's report knows the weights that the run was made from."""
    run = tmp_path / "run"
    assert unlearn("forget", *data_arguments(tmp_path), *QUICK, "-o", run).exit_code in (0, 4)
    before = sorted(run.rglob("*"))
    for command in (
        ("evaluate", run),
        ("chat", run, "--prompt", "Who?"),
        ("merge", run, "-o", tmp_path / "merged"),
        ("relearn-attack", run, "-p", "steps=0+1"),
        ("evaluate", "-m", run, "-f", tmp_path / "forget.jsonl", "-o", tmp_path / "evaluated"),
    ):
        result = unlearn(*command, "--base", BASELINE)
        words = " ".join(result.stderr.split())
        assert result.exit_code == 2 and f"is not the base of {run}" in words and "hint: the run was made from" in words
    with pytest.raises(UnlearnError, match="is not the base of"):
        unlearn_cli.load(run, base=BASELINE)
    assert sorted(run.rglob("*")) == before and not (tmp_path / "merged").exists()
