"""MUSE's files as they are published: lengths at the limit, joints without spaces, a prompt that ends with a space."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from unlearn_cli.config import EvaluateConfig
from unlearn_cli.data.example import Example
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.demo.build import TEMPLATE
from unlearn_cli.measured import Measured
from unlearn_cli.metrics.zlib_auc import zlib_auc
from unlearn_cli.recipes.demo import ASSETS
from unlearn_cli.recipes.scoring.splits import Input, load_splits, tokenized

LENGTH = 64  # stands for the 2,048 tokens of the published texts


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(ASSETS / "model")


def text_of(tokenizer: Any, encoder: Encoder, tokens: int) -> str:
    """A text that is as many tokens long, the one that begins every sequence counted."""
    words = "Mira Okafor wrote The Silent Harbour in Lagos and read it to the keeper of the lighthouse there. " * 20
    ids = encoder._ids(words)[:tokens]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert len(encoder._ids(text)) == tokens
    return text


@pytest.fixture(scope="module")
def inputs(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Input]:
    """The splits of `muse:news`, tokenized by a tokenizer that has a chat template."""
    folder = tmp_path_factory.mktemp("muse")
    encoder = Encoder(tokenizer, LENGTH, TEMPLATE, stop_ids=frozenset({tokenizer.eos_token_id}))

    def write(name: str, rows: list) -> None:
        path = folder / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(rows))

    for split in ("forget", "retain", "holdout"):
        write(f"privleak/{split}", [text_of(tokenizer, encoder, LENGTH + extra) for extra in (-1, 0, 1)])
    for split in ("forget", "retain"):
        write(f"knowmem/{split}_qa", [{"question": "Where?", "answer": "Lagos"}])
        write(f"knowmem/{split}_qa_icl", [{"question": "Who?", "answer": "Mira"}])
    joints = [("the keeper", "of it"), ("the keeper ", "of it"), ("the keeper", " of it"), ("the keeper", "\nof it")]
    write("verbmem/forget", [{"prompt": prompt, "gt": truth} for prompt, truth in joints])
    splits = load_splits(EvaluateConfig(model="m", no_general=True, benchmark="muse:news", benchmark_dir=folder))
    return {name: tokenized(split, encoder, 0) for name, split in splits.items()}


def decoded(tokenizer: Any, ids: np.ndarray) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("split", ["forget", "retain", "holdout"])
def test_one_text_is_one_member(inputs: dict[str, Input], split: str) -> None:
    assert [len(row.input_ids) for row in inputs[split].rows] == [LENGTH - 1, LENGTH, LENGTH]
    assert [row.truncated for row in inputs[split].rows] == [0, 0, 1]
    assert inputs[split].report().truncated_rows == 1


def test_a_space_where_neither_side_has_one(tokenizer: Any, inputs: dict[str, Input]) -> None:
    whole = [decoded(tokenizer, row.input_ids) for row in inputs["forget_verbmem"].rows]
    assert whole == ["the keeper of it", "the keeper of it", "the keeper of it", "the keeper\nof it"]
    prompts = [row.prompt_ids.tolist() for row in inputs["forget_verbmem"].rows]
    encoder = Encoder(tokenizer, LENGTH)
    assert prompts == [encoder._ids(text) for text in ("the keeper", "the keeper ", "the keeper", "the keeper")]


@pytest.mark.parametrize("split", ["forget_knowmem", "retain_knowmem"])
def test_the_published_prompt_token_for_token(tokenizer: Any, inputs: dict[str, Input], split: str) -> None:
    (row,) = inputs[split].rows
    published = "Question: Who?\nAnswer: Mira\n\nQuestion: Where?\nAnswer: "
    assert row.prompt_ids.tolist() == Encoder(tokenizer, LENGTH)._ids(published)
    assert row.gold == "Lagos" and not row.ends


def test_raw_text_whatever_template_there_is(tokenizer: Any, inputs: dict[str, Input]) -> None:
    for data in inputs.values():
        for row in data.rows:
            assert "<|" not in tokenizer.decode(row.input_ids[1:])


def scored(row: Row, tokenizer: Any) -> str:
    return decoded(tokenizer, row.input_ids[row.answer_start :])


@pytest.mark.parametrize("stride", [0, 8])
def test_zlib_sees_the_text_that_the_loss_covers(tokenizer: Any, stride: int) -> None:
    encoder = Encoder(tokenizer, LENGTH, stride=stride)
    document = text_of(tokenizer, Encoder(tokenizer, LENGTH), 2 * LENGTH)
    rows = encoder.encode([Example("d", (), document, "text")])
    assert len(rows) > 1
    for row in rows:
        assert row.zlib_bytes == len(zlib.compress(scored(row, tokenizer).encode()))


def test_zlib_auc_takes_the_length_of_the_scored_text() -> None:
    logps, offsets = np.array([-1.0, -2.0], np.float32), np.array([0, 1, 2])
    common = {
        "split": "forget", "ids": ("a", "b"), "prompts": ("", ""), "references": ("half", "half"),
        "generations": (None, None), "token_logps": logps, "is_argmax": logps > 0, "mu": logps, "sigma": -logps,
        "offsets": offsets, "ends": np.array([False, False]), "rows_in_split": 2,
    }  # fmt: skip
    whole = Measured(**common, zlib_bytes=np.array([100, 50]))
    assert zlib_auc.function(whole, whole)[0].tolist() == [0.01, 0.04]
    assert zlib_auc.function(Measured(**common), whole)[0][0] == 1 / len(zlib.compress(b"half"))
