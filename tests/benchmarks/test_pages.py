"""The pages of the benchmarks, and the plain code that they compare with."""

from __future__ import annotations

import json

import pytest
import torch

from tests.benchmarks import gpu, performance_page, plain_unlearning
from tests.cli.running import MODEL
from unlearn_cli.config import ForgetConfig
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import make_encoder
from unlearn_cli.models.load import load_model
from unlearn_cli.models.score import answer_probabilities


def test_the_page_is_that_of_its_rows():
    assert (performance_page.FOLDER / "performance.md").read_text() == performance_page.whole()


def test_the_page_on_gpus_is_that_of_its_rows():
    rows = performance_page.FOLDER / "gpu.json"
    assert (performance_page.FOLDER / "gpu.md").read_text() == gpu.page(
        json.loads(rows.read_text()) if rows.is_file() else []
    )


def test_a_target_that_was_missed_is_said():
    way = {"cpu_seconds": 2.0, "reached": False, "steps": 3, "forget": 0.5, "kept": 0.9}
    row = {"model": "m", "forget_rows": 1, "retain_rows": 2, "level": 0.1, "date": "d", "plain": way, "full": way}
    page = performance_page.to_target([{**row, "forget_command": {**way, "cpu_seconds": 1.0, "reached": True}}])
    assert "| 2.0 s, not reached | 2.0 s, not reached | 1.0 s | 2.0, 2.0 |" in page


def test_plain_code_and_ours_give_an_answer_the_same_probability():
    options = ForgetConfig(model=MODEL, forget="f.jsonl", device="cpu")
    loaded = load_model(options)
    row = {"question": "Where was Kesta Umberley born?", "answer": "Kesta Umberley was born in Brackwater."}
    theirs = plain_unlearning.probability(loaded.model, [plain_unlearning.encoded(loaded.tokenizer, row)] * 2)
    encoder = make_encoder(options, loaded.tokenizer, loaded.stop_ids, None)
    ours = encoder.encode_answer(Example("1", (("user", row["question"]),), row["answer"], "qa"), row["answer"])
    with torch.no_grad():
        assert theirs == pytest.approx(float(answer_probabilities(loaded, [ours], 512)[0]), rel=1e-5)
