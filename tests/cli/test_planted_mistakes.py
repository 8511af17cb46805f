"""Mistakes that would give wrong numbers which look right: each is refused, or said in words, by the real command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.cli.running import BASELINE, MODEL, QUICK, data_arguments, unlearn, write_rows
from unlearn_cli.demo.facts import splits

Files = dict[str, Path]
FEW = ("--generate-limit", "1", "--max-new-tokens", "2", "--bootstrap-samples", "10")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A base of its own, rows, a run on them, an evaluation of the base, and the run merged."""
    folder = tmp_path_factory.mktemp("planted")
    base = Path(shutil.copytree(MODEL, folder / "base"))
    data = data_arguments(folder)[2:]
    named = {"base": base, "forget": folder / "forget.jsonl", "retain": folder / "retain.jsonl", "data": folder}
    for command in (
        ("forget", "-m", base, *data, *QUICK, "-o", folder / "run"),
        ("evaluate", "-m", base, *data, *QUICK[4:], "-o", folder / "original"),
        ("merge", folder / "run", "-o", folder / "merged"),
    ):
        done = unlearn(*command)
        assert done.exit_code == 0, done.stderr
    return named | {name: folder / name for name in ("run", "original", "merged")}


@pytest.fixture
def copy(files: Files, tmp_path: Path) -> Path:
    """The run once more, for a mistake to be planted in."""
    return Path(shutil.copytree(files["run"], tmp_path / "copy"))


def said_by(*arguments: object, code: int = 0) -> str:
    """What a command says on stderr, in one line."""
    done = unlearn(*arguments)
    assert done.exit_code == code, done.stderr
    assert code == 0 or "hint: " in done.stderr
    return " ".join(done.stderr.split())


def scaled(path: Path, factor: float) -> None:
    weights = {name: tensor * factor for name, tensor in load_file(path).items()}
    save_file(weights, path, {"format": "pt"})


def rewritten(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=2, sort_keys=True))


def adapter_off(run: Path) -> None:
    scaled(run / "adapter_model.safetensors", 0.0)


def adapter_off_by_its_settings(run: Path) -> None:
    rewritten(run / "adapter_config.json", lora_alpha=0)


def adapter_of_another_run(run: Path) -> None:
    scaled(run / "adapter_model.safetensors", 1.5)


def tokenizer_of_another_model(run: Path) -> None:
    content = json.loads((run / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[300:302]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (run / "tokenizer.json").write_text(json.dumps(content))


def template_changed(run: Path) -> None:
    path = run / "chat_template.jinja"
    path.write_text(path.read_text() + " ")


def weights_lost(run: Path) -> None:
    (run / "tokenizer.json").unlink()


PLANTED: dict[Callable[[Path], None], str] = {
    adapter_off: "adapter_model.safetensors (the adapter's weights) is not the file that the run wrote",
    adapter_off_by_its_settings: "adapter_config.json (the adapter's settings) is not the file that the run wrote",
    adapter_of_another_run: "adapter_model.safetensors (the adapter's weights) is not",
    tokenizer_of_another_model: "tokenizer.json (the tokenizer) is not",
    template_changed: "chat_template.jinja (the chat template) is not",
    weights_lost: "tokenizer.json is missing, and the run wrote it",
}


@pytest.mark.parametrize("mistake", PLANTED, ids=lambda mistake: mistake.__name__)
def test_files_that_the_run_did_not_write(copy: Path, mistake: Callable[[Path], None]) -> None:
    assert PLANTED[mistake] not in said_by("evaluate", copy)
    mistake(copy)
    before = sorted(copy.rglob("*"))
    for command in (
        ("evaluate", copy),
        ("chat", copy, "--prompt", "Who?"),
        ("merge", copy, "-o", copy.parent / "merged"),
        ("relearn-attack", copy, "-p", "steps=0+1"),
        ("push", copy, "org/name", "--dry-run"),
    ):
        assert PLANTED[mistake] in said_by(*command, code=2), command
    assert sorted(copy.rglob("*")) == before


def test_the_original_where_the_unlearned_is_expected(files: Files, copy: Path) -> None:
    """Swapped: the run is measured on the original, or the original's evaluation is taken for the baseline."""
    assert "only one model is measured" in said_by("evaluate", files["run"], "--model", files["base"], code=2)
    shutil.copy(files["base"] / "model.safetensors", copy / "adapter_model.safetensors")
    assert "(the adapter's weights) is not" in said_by("evaluate", copy, code=2)
    assert "knows the forget rows" in said_by("compare", files["run"], "--baseline", files["original"], code=2)


def test_the_unlearned_where_the_original_is_expected(files: Files, tmp_path: Path) -> None:
    data = ("-f", files["forget"], "-r", files["retain"])
    run = ("forget", "-m", files["run"], *data, *QUICK, "--max-steps", 1, *FEW, "-o", tmp_path / "again")
    assert "'before' means after that run" in " ".join(unlearn(*run).stderr.split())
    said = said_by("evaluate", "-m", files["base"], *data, "--baseline", files["run"], "-o", tmp_path / "e", code=2)
    assert "is a run of `unlearn forget`, whose model has seen the forget rows" in said


def test_a_baseline_that_is_the_candidate(files: Files, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(files["run"], tmp_path / "copied"))
    for baseline in (files["run"], copied):
        said = said_by("compare", files["run"], "--baseline", baseline, code=2)
        assert "is run itself: every forget row has the same probability" in said
    for command in (("evaluate",), ("relearn-attack", "-p", "steps=0+1")):
        said = said_by(command[0], files["run"], *command[1:], "--baseline", files["run"], code=2)
        assert "has seen the forget rows" in said or "is the model under test itself" in said


@pytest.mark.parametrize(
    ("flag", "rows", "words"),
    [
        ("--holdout", "forget", "8 rows are in both holdout and forget (first: forget.jsonl:1 = forget.jsonl:1)"),
        ("--holdout", "retain", "16 rows are in both holdout and retain"),
        ("--retain-eval", "retain", "16 rows are in both the retain rows that judge and those that training sees"),
        ("--retain", "forget", "8 rows are in both forget and retain"),
    ],
)
def test_rows_that_judge_among_those_that_are_trained_on(
    files: Files, tmp_path: Path, flag: str, rows: str, words: str
) -> None:
    given = {"-f": files["forget"], "--retain": files["retain"], flag: files[rows]}
    data = [word for pair in given.items() for word in pair]
    assert words in said_by("forget", "-m", files["base"], *data, "--dry-run", "-o", tmp_path / "run", code=2)
    allowed = said_by("forget", "-m", files["base"], *data, "--dry-run", "--allow-overlap", "-o", tmp_path / "run")
    assert "note: " + words.partition(" (first")[0] in allowed


def test_an_evaluation_on_rows_that_were_trained_on_says_so(files: Files, copy: Path) -> None:
    assert "16 rows are in both holdout and retain" in said_by("evaluate", copy, "--holdout", files["retain"], *FEW)


def test_an_adapter_that_changes_nothing(files: Files, tmp_path: Path) -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])
    get_peft_model(AutoModelForCausalLM.from_pretrained(files["base"]), config).save_pretrained(tmp_path / "adapter")
    said = said_by("evaluate", "-m", tmp_path / "adapter", "-f", files["forget"], *FEW, "-o", tmp_path / "e")
    assert "changes nothing: all its lora_B matrices are zero" in said


def test_an_adapter_that_is_applied_twice(files: Files, copy: Path) -> None:
    """On the base into which it was merged, named by a flag or by the adapter's own file."""
    words = f"{files['merged']} is not the base of"
    assert words in said_by("evaluate", files["run"], "--base", files["merged"], code=2)
    rewritten(copy / "adapter_config.json", base_model_name_or_path=str(files["merged"]))
    assert words in said_by("evaluate", copy, code=2)


def test_a_base_that_has_only_moved_is_taken(files: Files, copy: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(files["base"], tmp_path / "moved")
    rewritten(copy / "adapter_config.json", base_model_name_or_path=str(moved))
    assert said_by("evaluate", copy)


def test_a_base_that_has_changed_in_its_place(files: Files, copy: Path, tmp_path: Path) -> None:
    """The same path or name, another revision."""
    changed = Path(shutil.copytree(files["base"], tmp_path / "changed"))
    scaled(changed / "model.safetensors", 1.01)
    rewritten(copy / "adapter_config.json", base_model_name_or_path=str(changed))
    for command in (("evaluate", copy), ("chat", copy, "--prompt", "Who?"), ("relearn-attack", copy, "-p", "steps=0+1")):
        assert f"{changed} is not the base of {copy}: its weights differ" in said_by(*command, code=2)


@pytest.mark.parametrize(("flags", "now"), [(("--load-in-4bit",), "nf4 and float32"), (("--dtype", "bfloat16"), "bfloat16")])
def test_another_precision_than_in_training(copy: Path, flags: tuple[str, ...], now: str) -> None:
    said = said_by("evaluate", copy, *flags)
    assert f"was trained on a base in float32, and this one is in {now}" in said
    assert "the forget before was measured differently (precision" in said and "its scores are left out" in said


def test_rows_in_another_order(files: Files, copy: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in files["forget"].read_text().splitlines()]
    other = write_rows(tmp_path / "reversed.jsonl", rows[::-1])
    assert "the forget rows are those of the run in another order" in said_by("evaluate", copy, "-f", other, *FEW)
    fewer = write_rows(tmp_path / "fewer.jsonl", rows[:4])
    assert "the forget rows are not those of the run" in said_by("evaluate", copy, "-f", fewer, *FEW)


def test_ids_that_several_rows_have(files: Files, tmp_path: Path) -> None:
    """The numbers of the rows name them then, so that no row gets the wrong answers of another one."""
    rows = [{**row, "id": "a"} for row in splits()["forget"][:4]]
    run = ("-m", files["base"], "-f", write_rows(tmp_path / "same.jsonl", rows), *FEW)
    said = said_by("evaluate", *run, "-o", tmp_path / "same")
    assert "forget data: several rows have the same id (first: same.jsonl:1): all rows are named by their numbers" in said
    lines = [json.loads(line) for line in (tmp_path / "same" / "rows.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines if line["split"] == "forget"] == ["0", "1", "2", "3"]


def test_a_baseline_of_another_tokenizer(files: Files, copy: Path, tmp_path: Path) -> None:
    baseline = Path(shutil.copytree(BASELINE, tmp_path / "baseline"))
    tokenizer_of_another_model(baseline)
    said = said_by("evaluate", copy, "--baseline", baseline, *FEW, code=2)
    assert "was measured differently" in said and "another one: --chat-template none" in said
