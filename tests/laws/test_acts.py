"""Does it act: every method's forget loss has a gradient on the demo's data, and changes within three steps."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import DEMO, MODEL, data_arguments, read_report, unlearn, write_rows
from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.contract import METHODS
from unlearn_cli.data import written
from unlearn_cli.data.shipped_texts import neutral_texts
from unlearn_cli.demo.facts import splits
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.model_cache import ModelCache
from unlearn_cli.recipes.forgetting import alternatives, written_retain
from unlearn_cli.recipes.forgetting.prepare import PreparedRun, make_trainer
from unlearn_cli.recipes.forgetting.resolve import resolve_method
from unlearn_cli.recipes.forgetting.resolved_run import resolve_on_model
from unlearn_cli.recipes.forgetting.writing import FEWEST
from unlearn_cli.recipes.scoring.outcome import NO_GRADIENT
from unlearn_cli.recipes.scoring.splits import load_splits
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.training.loop import PROBED, StepRecord

QUICK = ("--max-steps", 4, "--batch-size", 4, "--eval-limit", 4, "--generate-limit", 1, "--max-new-tokens", 4)
QUICK += ("--bootstrap-samples", 20)


ROWS = 8
CACHE = ModelCache()  # a run leaves the base as it was (tests/laws/test_order.py)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[str, str]:
    """Some of the demo's rows to forget and to keep, as files."""
    folder, parts = tmp_path_factory.mktemp("demo"), splits()
    return {n: str(write_rows(folder / f"{n}.jsonl", parts[n][:ROWS])) for n in ("forget", "retain")}


@dataclass
class Started:
    """The first steps of a run, without measurements."""

    records: list[StepRecord]
    folder: RunFolder


def prepare(rows: dict[str, str], folder: Path, method: str, **settings: Any) -> PreparedRun:
    """A run of `method` on the small model that is ready for its first step, without measurements."""
    config = ForgetConfig(model=MODEL, method=method, output_dir=folder, batch_size=ROWS, **{**rows, **settings})
    settings = resolve_method(config, dict.fromkeys(ForgetConfig.model_fields, "default"))
    resolved = resolve_on_model(settings, load_splits(config), Reporter())
    folder.mkdir(exist_ok=True)
    return make_trainer(resolved, CACHE.load(config, trainable=True), {}, None)


def start(rows: dict[str, str], folder: Path, method: str, **settings: Any) -> Started:
    """Three steps of `method`, each over all rows to forget."""
    prepared = prepare(rows, folder, method, **settings)
    return Started(list(islice(prepared.records(0), PROBED)), prepared.resolved.folder)


@pytest.mark.parametrize("method", METHODS.names())
def test_its_forget_loss_has_a_gradient_and_changes(method: str, rows, tmp_path) -> None:
    records = start(rows, tmp_path / "run", method, max_new_tokens=8).records
    gradients = [record.forget_gradient for record in records]
    losses = [record.forget_loss for record in records]
    assert max(g for g in gradients if g is not None) > NO_GRADIENT, gradients
    assert max(abs(loss - losses[0]) for loss in losses) > 1e-5 * max(1.0, abs(losses[0])), losses


def test_neutral_rows_are_answers_to_shipped_prompts_and_shipped_paragraphs(rows, tmp_path, monkeypatch) -> None:
    """The model before training answers the prompts. Prose is noise to this one, so that none of it is kept."""
    prompted, texts = {e.id for e in written.neutral()}, {e.id for e in neutral_texts()}
    bench = prepare(rows, tmp_path / "run", "rehearsal").procedure.bench
    assert len(bench.neutral) >= FEWEST and {row.id for row in bench.neutral} <= prompted
    assert all(row.answer_length > 0 for row in bench.neutral)
    assert prepare(rows, tmp_path / "other", "weight-distance").procedure.bench.neutral == ()
    monkeypatch.setattr(written_retain, "NOISE", 0.0)
    ids = [row.id.partition("#")[0] for row in prepare(rows, tmp_path / "prose", "rehearsal").procedure.bench.neutral]
    assert [one in prompted for one in ids[:8]] == [True, False] * 4 and set(ids) - prompted == texts


def test_a_made_up_alternative_is_asked_for_with_question_and_answer(rows, tmp_path, monkeypatch) -> None:
    """The sampler sees both; samples with the answer's words go, and a row with nothing else is asked again."""
    parts = splits()["forget"][:ROWS]
    rounds: list[list[str]] = []

    def sampler(loaded, prompts, max_new_tokens, sampling, advance):
        texts = [loaded.tokenizer.decode(prompt) for prompt in prompts]
        rounds.append(texts)
        answer = [next(row["answer"] for row in parts if row["question"] in text) for text in texts]
        first = len(rounds) == 1
        said = [[f"  {a.upper()} ", f"Yes: {a}", a if first and i else "Something else."] for i, a in enumerate(answer)]
        encode = loaded.tokenizer
        return [[encode(text, add_special_tokens=False)["input_ids"] for text in some] for some in said]

    monkeypatch.setattr(alternatives, "sample", sampler)
    folder = start(rows, tmp_path / "run", "altpo").folder
    assert [len(texts) for texts in rounds] == [ROWS, ROWS - 1]
    for row, text in zip(parts, rounds[0], strict=True):
        assert row["question"] in text and row["answer"] in text
    stored = json.loads(folder.alternatives.read_text())["answers"]
    assert len(stored) == ROWS and all(len(texts) == 1 for texts in stored.values())


def test_a_row_without_an_alternative_is_named(rows, tmp_path, monkeypatch) -> None:
    """A model that says the truth whatever it is asked: on the old code a preference of each answer over itself."""
    parts = splits()["forget"][:ROWS]

    def parrot(loaded, prompts, max_new_tokens, sampling, advance):
        texts = [loaded.tokenizer.decode(prompt) for prompt in prompts]
        answers = [next(row["answer"] for row in parts if row["question"] in text) for text in texts]
        return [[loaded.tokenizer(a, add_special_tokens=False)["input_ids"]] * sampling.count for a in answers]

    monkeypatch.setattr(alternatives, "sample", parrot)
    with pytest.raises(UnlearnError, match=rf"{ROWS} rows have no alternative.*forget.jsonl:1") as caught:
        start(rows, tmp_path / "run", "altpo", parameters={"samples": "2"})
    assert "'alternatives' in the forget data" in caught.value.hint and "-p samples=8" in caught.value.hint


@pytest.mark.parametrize("flags", [("--dry-run",), ()])
def test_alternatives_that_are_the_answer_are_refused_before_the_weights(flags, tmp_path) -> None:
    one, *others = splits()["forget"][:4]
    rows = [{**one, "alternatives": [one["answer"].upper()]}, *({**row, "alternatives": ["No idea."]} for row in others)]
    arguments = data_arguments(tmp_path)
    write_rows(tmp_path / "forget.jsonl", rows)
    result = unlearn("forget", *arguments, "--method", "dpo", *flags, "-o", tmp_path / "run")
    assert result.exit_code == 2 and "1 rows have no alternative" in result.stderr and "forget.jsonl:1" in result.stderr


WITHOUT_GRADIENT = {
    "weight": ("--method", "npo", "--forget-weight", 0),
    "coefficient": ("--method", "lunar", "-p", "coefficient=0"),
    # The adapter lies behind the block that is read: the retain term has a gradient, the forget loss has none.
    "place": ("--method", "rmu", "-p", "layer=0.2", "--retain-term", "nll", "--lora-target-modules", "3.mlp.down_proj"),
}


@pytest.mark.parametrize("case", WITHOUT_GRADIENT)
def test_a_run_whose_forget_loss_has_no_gradient_says_so(case: str, tmp_path) -> None:
    flags = WITHOUT_GRADIENT[case]
    result = unlearn("forget", *data_arguments(tmp_path, DEMO), *QUICK, *flags, "-o", tmp_path / "run")
    assert result.exit_code == 4 and re.search(r"the forget loss \(\S+\) has no gradient", result.stderr), result.stderr
    report = read_report(tmp_path / "run")
    assert report["status"] == "no_effect" and report["training"]["steps"] == 3
    if case == "place":
        assert report["training"]["grad_norm_max"] > 0


def test_a_procedure_that_does_nothing_writes_its_evidence(tmp_path) -> None:
    """It ends while its first stage trains an adapter, and what it writes is a whole model."""
    flags = ("--method", "undo", "--forget-weight", 0, "--batch-size", 4, *QUICK[4:])
    result = unlearn("forget", *data_arguments(tmp_path), *flags, "-o", tmp_path / "run")
    assert result.exit_code == 4 and re.search(r"the forget loss \(\S+\) has no gradient", result.stderr), result.stderr
    assert read_report(tmp_path / "run")["artifact"]["kind"] == "model"


def test_looking_at_the_gradient_changes_no_step(rows, tmp_path, monkeypatch) -> None:
    import unlearn_cli.training.loop as loop

    looked = start(rows, tmp_path / "a", "npo").records
    monkeypatch.setattr(loop, "PROBED", 0)
    plain = start(rows, tmp_path / "b", "npo").records
    assert all(record.forget_gradient is None for record in plain)
    for one, other in zip(looked, plain, strict=True):
        assert (one.forget_loss, one.retain_loss, one.grad_norm, one.tokens) == (
            other.forget_loss, other.retain_loss, other.grad_norm, other.tokens,
        )  # fmt: skip
