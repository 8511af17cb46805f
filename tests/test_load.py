"""`unlearn_cli.load`: what a run left, ready for use from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftConfig

import unlearn_cli
from tests.cli.running import MODEL, QUICK, data_arguments, unlearn
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.compose import Composed


def run_of(method: str, folder: Path) -> Path:
    """The folder of a short run."""
    result = unlearn("forget", *data_arguments(folder), *QUICK, "--method", method, "-o", folder / "run")
    assert result.exit_code in (0, 4), result.stderr
    return folder / "run"


@pytest.mark.parametrize(("method", "kind"), [("uld", Composed), ("whp", Composed), ("npo", None)])
def test_a_run_is_a_model_with_forward_generate_and_tokenizer(method: str, kind: type | None, tmp_path: Path) -> None:
    """The next token that `generate` chooses is the best one of `forward`, and not that of the plain base's logits."""
    model, base = unlearn_cli.load(run_of(method, tmp_path), device="cpu"), unlearn_cli.load(MODEL, device="cpu")
    assert isinstance(model, Composed) == (kind is Composed)
    ids = model.tokenizer("Where does", return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, -1]
        before = base(input_ids=ids).logits[0, -1]
    assert model.generate(ids, max_new_tokens=1, do_sample=False)[0, -1] == logits.argmax()
    assert (logits.log_softmax(-1) - before.log_softmax(-1)).abs().max() > 1e-4


def test_the_assistant_is_not_taken_for_the_model(tmp_path: Path) -> None:
    """Plain PEFT finds no adapter at the top of the folder, so it refuses instead of loading the one who remembers."""
    folder = run_of("uld", tmp_path)
    assert not (folder / "adapter_config.json").exists()
    assert (folder / "assistant" / "adapter_config.json").is_file()
    with pytest.raises(ValueError, match=r"adapter_config\.json"):
        PeftConfig.from_pretrained(str(folder))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UnlearnError, match="holds no model"):
        unlearn_cli.load(tmp_path)


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = "import sys, unlearn_cli; unlearn_cli.load; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
