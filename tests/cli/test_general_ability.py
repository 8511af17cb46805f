"""General ability: measured before and after without being asked for, shown, judged by gates, left out on request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import MODEL, QUICK, data_arguments, read_report, unlearn, write_rows
from unlearn_cli.config import EvaluateConfig
from unlearn_cli.data.general_ability import general_splits
from unlearn_cli.data.tokenize import make_encoder
from unlearn_cli.models.load import load_tokenizer
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.scoring.splits import make_inputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that measured general ability as it does by default, and its data."""
    folder = tmp_path_factory.mktemp("general")
    result = unlearn("forget", *data_arguments(folder), *QUICK, "-o", folder / "run", general=True)
    assert result.exit_code in (0, 4), result.stderr
    (folder / "stderr.txt").write_text(result.stderr)
    return folder


def test_it_is_measured_before_and_after_and_never_trained_on(folder: Path) -> None:
    report = read_report(folder / "run")
    assert list(report["data"]) == ["forget", "retain", "general", "general_text"]
    assert report["data"]["general"]["files"] == [] and report["data"]["general"]["measured_rows"] == 80
    for split, metric in (("general", "choice_accuracy"), ("general", "normalized_probability"), ("general_text", "nll")):
        before, after = (report["scores"][split][metric][moment] for moment in ("before", "after"))
        assert before["ci"] and after["ci"] and before["n"] == after["n"]
    assert report["scores"]["general"]["rouge_l"]["after"]["n"] == 4  # --generate-limit 4
    assert report["training"]["retain_rows_per_step"] == 8
    rows = [json.loads(line) for line in (folder / "run" / "rows.jsonl").read_text().splitlines()]
    assert {row["split"] for row in rows} == {"forget", "retain", "general", "general_text"}


def test_answers_are_written_without_the_words_that_the_choices_stand_behind() -> None:
    tokenizer, stops = load_tokenizer(resolve_source(MODEL), EvaluateConfig(model=MODEL))
    split = general_splits()["general"]
    first = make_inputs({"general": split}, make_encoder(EvaluateConfig(model=MODEL), tokenizer, stops, None), 0)[
        "general"
    ].rows[0]
    written, scored = (tokenizer.decode(ids) for ids in (first.prompt_ids, first.input_ids[: first.answer_start]))
    assert split.examples[0].prefill in scored and split.examples[0].prefill not in written


def test_the_table_has_two_lines_of_it(folder: Path) -> None:
    lines = (folder / "stderr.txt").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("general ability"))
    assert [line.split()[0] for line in lines[place + 1 : place + 3]] == [
        "general.choice_accuracy",
        "general_text.perplexity",
    ]
    assert not lines[place + 3].lstrip().startswith("general")


def test_evaluate_measures_it_and_gates_use_it(folder: Path) -> None:
    gates = ("--fail-if", "general.choice_accuracy.after > 0.9", "--fail-if", "general_text.nll < before - 9")
    again = unlearn("evaluate", folder / "run", *gates, general=True)
    assert again.exit_code == 0, again.stderr
    assert "measured before with the same weights" in again.stderr
    failed = unlearn("evaluate", folder / "run", "--fail-if", "general.choice_accuracy < 0.9", general=True)
    assert failed.exit_code == 3 and "general.choice_accuracy is" in failed.stderr
    shown = read_report(folder / "run" / "evaluation")["scores"]["general"]["choice_accuracy"]
    assert shown["before"]["value"] is not None and shown["after"]["value"] is not None


def test_left_out_there_is_nothing_to_judge_and_the_hint_says_so(folder: Path) -> None:
    refused = unlearn("evaluate", folder / "run", "--no-general", "--fail-if", "general.choice_accuracy < 0.9", general=True)
    assert refused.exit_code == 2 and "leave --no-general out" in refused.stderr


def test_rows_that_do_not_fit_are_no_reason_to_fail(folder: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"question": "Who?", "answer": "He."}])
    data = ("--model", MODEL, "--forget", rows, "--max-length", 16)
    result = unlearn("evaluate", *data, "--generate-limit", 1, "-o", tmp_path / "short", general=True)
    assert result.exit_code == 0, result.stderr
    assert "general ability is not measured" in result.stderr
    assert "general" not in read_report(tmp_path / "short")["scores"]
