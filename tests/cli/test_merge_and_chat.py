"""`unlearn merge` and `unlearn chat` on runs of the demo's model."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.cli.fresh import COMMAND_LINE, server
from tests.cli.running import MODEL, QUICK, data_arguments, unlearn
from unlearn_cli.recipes import merge as recipe

needs_4bit = pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ship")
    data = data_arguments(folder)
    entries = {}
    for name, flags in {
        "npo": ["--max-steps", 12, "--learning-rate", "5e-3"],
        "uld": ["--method", "uld"],
        "full": ["--full"],
    }.items():
        entries[name] = folder / name
        assert unlearn("forget", *data, *QUICK, *flags, "-o", entries[name]).exit_code in (0, 4)
    return entries


def test_a_merged_model_is_the_run(runs, tmp_path):
    result = unlearn("merge", runs["npo"], "-o", tmp_path / "model", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["drift"] < 1e-4 and summary["base"] == "original" and summary["rows"] == 24
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert not any("lora" in name for name, _ in plain.named_parameters())
    flags = ["--generate-limit", 2, "--max-new-tokens", 8, "--bootstrap-samples", 20, "--json"]
    data = ["--forget", runs["npo"].parent / "forget.jsonl", "-o", tmp_path / "out"]
    again = unlearn("evaluate", "--model", tmp_path / "model", *data, *flags)
    ours = json.loads(again.stdout)["scores"]["forget"]["probability"]["after"]["value"]
    theirs = json.loads((runs["npo"] / "report.json").read_text())["scores"]["forget"]["probability"]["after"]["value"]
    assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize(("name", "said"), [("uld", "unlearn_cli.load(RUN)"), ("full", "whole model already")])
def test_what_cannot_be_merged(runs, tmp_path, name, said):
    result = unlearn("merge", runs[name], "-o", tmp_path / "model")
    assert result.exit_code == 2 and said in result.stderr and not (tmp_path / "model").exists()


def test_a_drifting_merge_leaves_nothing(runs, tmp_path, monkeypatch):
    """A merge that loses an adapter's layer is refused, and no folder is left, nor anything half written beside it."""
    honest = recipe.merged

    def spoiled(*arguments, **more):
        model = honest(*arguments, **more)
        with torch.no_grad():
            model.model.layers[0].self_attn.q_proj.weight.mul_(0.2)
        return model

    monkeypatch.setattr(recipe, "merged", spoiled)
    result = unlearn("merge", runs["npo"], "-o", tmp_path / "model")
    assert result.exit_code == 1 and "--tolerance" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_is_not_overwritten_unasked(runs, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    refused = unlearn("merge", runs["npo"], "-o", tmp_path / "model")
    assert refused.exit_code == 2 and "something other" in refused.stderr
    assert unlearn("merge", runs["npo"]).exit_code == 2


@pytest.mark.parametrize("where", ["run", "base", "file", "parent"])
def test_merging_never_deletes_what_is_no_merged_model(runs, tmp_path, where):
    file = tmp_path / "file"
    file.write_text("mine")
    folders = {"run": runs["npo"], "base": MODEL, "file": file, "parent": runs["npo"].parent}
    result = unlearn("merge", runs["npo"], "-o", folders[where], "--overwrite")
    assert result.exit_code == 2 and "Error" not in result.stderr
    assert (runs["npo"] / "report.json").is_file() and file.read_text() == "mine"


def test_a_merged_model_is_made_once_and_replaced_when_asked(runs, tmp_path):
    assert unlearn("merge", runs["npo"], "-o", tmp_path / "model", "--rows", 1).exit_code == 0
    again = unlearn("merge", runs["npo"], "-o", tmp_path / "model", "--rows", 1)
    assert again.exit_code == 0 and "already" in again.stderr
    other = unlearn("merge", runs["npo"], "-o", tmp_path / "model")
    assert other.exit_code == 2 and "--overwrite" in other.stderr
    assert unlearn("merge", runs["npo"], "-o", tmp_path / "model", "--rows", 1, "--overwrite").exit_code == 0


@needs_4bit
def test_a_four_bit_run_is_merged_into_its_rounded_base(tmp_path):
    data = data_arguments(tmp_path)
    assert unlearn("forget", *data, *QUICK, "--load-in-4bit", "-o", tmp_path / "run").exit_code in (0, 4)
    result = unlearn("merge", tmp_path / "run", "-o", tmp_path / "model", "--json")
    assert result.exit_code == 0, result.stderr
    near = json.loads(result.stdout)
    assert near["base"] == "dequantized" and near["drift"] < 0.02
    assert "quantization_config" not in json.loads((tmp_path / "model" / "config.json").read_text())
    distant = unlearn(
        "merge", tmp_path / "run", "-o", tmp_path / "distant", "--base-weights", "original", "--tolerance", 9, "--json"
    )
    assert json.loads(distant.stdout)["drift"] > near["drift"]


@pytest.mark.parametrize("name", ["npo", "uld", "full"])
def test_both_models_are_asked(runs, name):
    result = unlearn("chat", runs[name], "--prompt", "Who are you?", "--prompt", "And now?", "--max-new-tokens", 6, "--json")
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["question"] for line in lines] == ["Who are you?", "And now?"]
    assert all(set(line) == {"question", "before", "after"} for line in lines)


def test_before_is_the_original_and_after_the_run(runs):
    question = json.loads((runs["npo"].parent / "forget.jsonl").read_text().splitlines()[0])
    flags = ["--prompt", question["question"], "--max-new-tokens", 24, "--json"]
    said = json.loads(unlearn("chat", runs["npo"], *flags).stdout)
    assert said["before"] == question["answer"] and said["after"] != question["answer"]


def test_questions_from_a_pipe():
    assert "--prompt" in server(COMMAND_LINE).run("chat", "--help").stdout


def test_a_pipe_of_questions(runs):
    for quit in ("/quit", "quit", "Exit"):
        lines = f"Who are you?\n\n{quit}\nnever asked\n"
        result = unlearn("chat", runs["npo"], "--max-new-tokens", 4, text=lines)
        assert result.exit_code == 0 and result.stdout.count("question:") == 1


def test_what_chat_says_of_a_folder_and_of_a_pipe(runs, tmp_path):
    for folder, said in ((tmp_path, "is not a run folder"), (tmp_path / "none", "is not a run folder")):
        refused = unlearn("chat", folder, "--prompt", "Who?")
        assert refused.exit_code == 2 and said in refused.stderr and "hint: " in refused.stderr, refused.stderr
    piped = unlearn("chat", runs["npo"], "--prompt", "Who?", "--max-new-tokens", 2)
    assert [line.partition(":")[0] for line in piped.stdout.splitlines()] == ["question", "before", "after"]
    assert piped.stderr == f"loading {runs['npo']}\n"
    assert unlearn("chat", runs["npo"], "--prompt", "Who?", "--max-new-tokens", 2, "--quiet").stderr == ""


def test_sampled_answers_follow_their_seed(runs):
    def said(seed: int) -> str:
        flags = ["--prompt", "Who?", "--temperature", 1.5, "--seed", seed, "--max-new-tokens", 8, "--json"]
        return unlearn("chat", runs["npo"], *flags).stdout

    assert said(1) == said(1) != said(2)
