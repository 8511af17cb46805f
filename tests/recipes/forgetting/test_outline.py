"""A dry run refuses what the run would, and what needs no weights is refused before weights."""

import pytest

from tests.cli.running import MODEL, data_arguments, unlearn, write_rows
from unlearn_cli.models import load

REFUSED = {
    "a target nobody has": ["--lora-target-modules", "q_projj"],
    "a target's parameter nobody has": ["--lora-target-parameters", "nothing"],
    "embeddings that are tied": ["--lora-target-modules", "embed_tokens"],
    "whole and quantized": ["--load-in-4bit", "--full"],
    "whole in half precision": ["--full", "--dtype", "bfloat16"],
    "fila in half precision": ["--lora-init", "fila", "--dtype", "bfloat16"],
    "both quantizations": ["--load-in-4bit", "--load-in-8bit"],
    "a procedure in half precision": ["--method", "undo", "--dtype", "bfloat16"],
    "a procedure in 4 bits": ["--method", "undo", "--load-in-4bit"],
    "no such device": ["--device", "cuda:99"],
    "no device": ["--device", "nan"],
    "a base method nobody has": ["--method", "undo", "-p", "base=nan"],
    "a depth beyond the model": ["--method", "rmu", "-p", "layer=2"],
    "no such template": ["--chat-template", "nowhere.jinja"],
}


@pytest.fixture
def nothing_loads(monkeypatch):
    def refuse(*_arguments, **_more):
        raise AssertionError("weights are read")

    monkeypatch.setattr(load, "read_weights", refuse)


@pytest.mark.parametrize("dry", [True, False], ids=["dry run", "run"])
@pytest.mark.parametrize("flags", REFUSED.values(), ids=REFUSED)
def test_refused_before_weights(tmp_path, nothing_loads, flags, dry):
    result = unlearn("forget", *data_arguments(tmp_path), *flags, *["--dry-run"] * dry, "-o", tmp_path / "run")
    assert result.exit_code == 2 and "error:" in result.stderr, result.stderr
    assert "this is a bug" not in result.stderr and not (tmp_path / "run").exists()


@pytest.mark.parametrize("dry", [True, False], ids=["dry run", "run"])
@pytest.mark.parametrize("method", ["idk", "dpo", "altpo", "elm", "kto"])
def test_raw_text_has_no_other_answers(tmp_path, nothing_loads, method, dry):
    rows = write_rows(tmp_path / "raw.jsonl", [{"text": "A document about nothing in particular."}])
    flags = ["--method", method, *["--dry-run"] * dry, "-o", tmp_path / "run"]
    result = unlearn("forget", "--model", MODEL, "--forget", rows, "--retain", data_arguments(tmp_path)[-1], *flags)
    assert result.exit_code == 2 and "raw documents" in result.stderr, result.stderr
