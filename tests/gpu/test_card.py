"""Runs of the real command line on a card, and kernels that exist only there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.running import MODEL, QUICK, data_arguments, read_report, unlearn
from tests.models.tiny import rows_of
from unlearn_cli.config import ForgetConfig
from unlearn_cli.models.forward import answer_logits
from unlearn_cli.models.layout import probe_batch
from unlearn_cli.models.load import LoadedModel, load_model
from unlearn_cli.models.packing import ROWS, VARLEN, varlen_attn
from unlearn_cli.models.score import teacher_forced

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    return [*data_arguments(tmp_path_factory.mktemp("card")), "--device", "cuda"]


def loaded_as(**options: object) -> LoadedModel:
    config = ForgetConfig(model=MODEL, forget="-", device="cuda", **options)
    return load_model(config, trainable=False)


@pytest.mark.parametrize("flags", [("--dtype", "bfloat16"), ("--load-in-4bit",), ("--load-in-8bit",)])
def test_a_run_in_each_precision(data: list[str], tmp_path: Path, flags: tuple[str, ...]) -> None:
    result = unlearn("forget", *data, *QUICK, *flags, "-o", tmp_path / "run")
    assert result.exit_code in (0, 4), result.stderr
    probability = read_report(tmp_path / "run")["scores"]["forget"]["probability"]
    assert probability["after"]["value"] < probability["before"]["value"]


@pytest.mark.skipif(varlen_attn is None, reason="torch has no variable-length kernel")
def test_the_variable_length_kernel_equals_attention_by_row() -> None:
    loaded = loaded_as(dtype="bfloat16")
    assert loaded.layout.attention == VARLEN
    batch = probe_batch(loaded.config.vocab_size, loaded.device)
    kernel = answer_logits(loaded.model, batch, loaded.layout)
    loaded.model.set_attn_implementation(ROWS)
    assert float((answer_logits(loaded.model, batch, loaded.layout) - kernel).norm() / kernel.norm()) < 3e-2


def test_deterministic_runs_are_equal(data: list[str], tmp_path: Path) -> None:
    values = []
    for name in ("one", "two"):
        result = unlearn("forget", *data, *QUICK, "--deterministic", "-o", tmp_path / name)
        assert result.exit_code in (0, 4), result.stderr
        values.append(read_report(tmp_path / name)["scores"]["forget"]["probability"]["after"]["value"])
    assert values[0] == values[1]


def test_a_card_scores_as_the_cpu_does() -> None:
    """Float32 on both: the same rows to 1e-3 of a nat."""
    card = loaded_as(dtype="float32")
    cpu = load_model(ForgetConfig(model=MODEL, forget="-", device="cpu", dtype="float32"), trainable=False)
    rows = rows_of((9, 5, 12, 7), seed=1)
    ours, theirs = (teacher_forced(loaded, rows, token_budget=512) for loaded in (card, cpu))
    for a, b in zip(ours.token_logps, theirs.token_logps, strict=True):
        assert abs(a - b).max() < 1e-3
