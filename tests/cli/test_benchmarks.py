"""Benchmarks, probes and multiple choice through `unlearn evaluate`, on files in the benchmarks' own form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import MODEL, read_report, unlearn, write_rows
from unlearn_cli.demo.facts import splits

FAST = ("--bootstrap-samples", 20, "--generate-limit", 2, "--max-new-tokens", 12, "--json")


def scores(*arguments: object) -> dict:
    result = unlearn("evaluate", "--model", MODEL, *arguments, *FAST)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def write_json(path: Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def muse(tmp_path_factory) -> Path:
    """MUSE's files with the demo's people in them: plain texts, continuations, questions and ten examples."""
    folder = tmp_path_factory.mktemp("muse")
    parts = splits()
    rows = {"forget": parts["forget"], "retain": parts["retain"], "holdout": parts["retain"][20:]}
    for name, chosen in rows.items():
        write_json(folder / "privleak" / f"{name}.json", [f"{row['question']} {row['answer']}" for row in chosen[:4]])
    for name in ("forget", "retain"):
        questions = [{"question": row["question"], "answer": row["answer"]} for row in rows[name]]
        write_json(folder / "knowmem" / f"{name}_qa.json", questions[:3])
        write_json(folder / "knowmem" / f"{name}_qa_icl.json", questions[3:5])
    write_json(
        folder / "verbmem" / "forget.json", [{"prompt": r["question"], "gt": r["answer"]} for r in parts["forget"][:3]]
    )
    return folder


def test_muse_by_name(muse: Path, tmp_path: Path) -> None:
    report = scores("--benchmark", "muse:news", "--benchmark-dir", muse, "-o", tmp_path / "out")
    by_split = report["scores"]
    assert {"forget", "retain", "holdout", "forget_verbmem", "forget_knowmem", "retain_knowmem", "privacy"} <= set(by_split)
    assert by_split["forget_verbmem"]["verbatim_memorization"]["after"]["value"] is not None
    assert by_split["forget_verbmem"]["verbatim_memorization"]["after"]["target"] == "min"
    assert by_split["retain_knowmem"]["knowledge_memorization"]["after"]["target"] == "max"
    assert "knowledge_memorization" not in by_split["forget"] and "knowledge_memorization" not in by_split["forget_verbmem"]
    assert by_split["privacy"]["privleak"]["after"]["reason"].startswith("needs --baseline")
    lines = (tmp_path / "out" / "measured" / "after-forget_knowmem.jsonl").read_text().splitlines()
    prompt = json.loads(lines[0])["prompt"]
    assert prompt.count("Question: ") == 3 and prompt.endswith("\nAnswer: ")


def test_a_missing_file_of_a_benchmark(muse: Path, tmp_path: Path) -> None:
    result = unlearn(
        "evaluate", "--model", MODEL, "--benchmark", "wmdp:bio", "--benchmark-dir", muse, "-o", tmp_path / "out"
    )
    assert result.exit_code == 2 and "wmdp-bio.json" in result.stderr
    typo = unlearn("evaluate", "--model", MODEL, "--benchmark", "wmdp:bo", "-o", tmp_path / "out")
    assert typo.exit_code == 2 and "did you mean 'wmdp:bio'" in typo.stderr


CHOICES = [
    {"question": "Which is a fruit?", "choices": ["iron", "apple", "chair", "river"], "answer": 1},
    {"question": "Which is a metal?", "choices": ["iron", "apple", "chair", "river"], "answer": "A"},
]


def test_wmdp_by_name(tmp_path: Path) -> None:
    write_rows(tmp_path / "wmdp-bio.jsonl", CHOICES)
    report = scores("--benchmark", "wmdp:bio", "--benchmark-dir", tmp_path, "-o", tmp_path / "out")
    accuracy = report["scores"]["forget"]["choice_accuracy"]["after"]
    assert accuracy["n"] == 2 and accuracy["value"] in (0.0, 0.5, 1.0) and accuracy["target"] == "min"
    row = json.loads((tmp_path / "out" / "measured" / "after-forget.jsonl").read_text().splitlines()[0])
    assert row["prompt"].startswith("The following are multiple choice questions (with answers) about biology.\n\nWhich is")
    assert row["prompt"].endswith("D. river\nAnswer:") and row["gold"] == "B"


def test_general_ability_beside_the_forget_rows(tmp_path: Path) -> None:
    choices = write_rows(tmp_path / "mc.jsonl", CHOICES)
    forget = write_rows(tmp_path / "forget.jsonl", splits()["forget"][:3])
    report = scores("--forget", forget, "--choices", choices, "-o", tmp_path / "out")
    assert report["scores"]["choices"]["choice_accuracy"]["after"]["target"] == "max"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q", "choices": ["a", "b"], "answer": 2}, "none of the 2 choices"),
        ({"question": "q", "choices": ["a"], "answer": 0}, "2 to 10"),
        ({"question": "q", "choices": "a, b", "answer": 0}, "not a list"),
    ],
)
def test_choices_that_cannot_be(row: dict, message: str, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "mc.jsonl", [row])
    result = unlearn("evaluate", "--model", MODEL, "--forget", data, "-o", tmp_path / "out")
    assert result.exit_code == 2 and message in result.stderr


def test_probes_ask_the_same_facts_otherwise(tmp_path: Path) -> None:
    rows = [{**row, "paraphrased_question": f"Tell me: {row['question']}"} for row in splits()["forget"][:4]]
    del rows[1]["paraphrased_question"]
    data = write_rows(tmp_path / "forget.jsonl", rows)
    report = scores("--forget", data, "--probes", "paraphrase,jailbreak,instructed", "-o", tmp_path / "out")
    by_split = report["scores"]
    assert by_split["forget_paraphrase"]["probability"]["after"]["n"] == 3
    assert by_split["forget_jailbreak"]["probability"]["after"]["n"] == 4
    assert by_split["forget_jailbreak"]["probability"]["after"]["target"] == "min"
    plain, probed = (by_split[name]["probability"]["after"]["value"] for name in ("forget", "forget_jailbreak"))
    assert plain != probed
    prompt_row = json.loads((tmp_path / "out" / "measured" / "after-forget_instructed.jsonl").read_text().splitlines()[0])
    assert "Do not answer it from memory." in prompt_row["prompt"] and rows[0]["question"] in prompt_row["prompt"]
    assert by_split["forget_instructed"]["probability"]["after"]["value"] != plain
    bare = write_rows(tmp_path / "bare.jsonl", [{"question": "q", "answer": "a"}])
    refused = unlearn("evaluate", "--model", MODEL, "--forget", bare, "--probes", "paraphrase", "-o", tmp_path / "out2")
    assert refused.exit_code == 2 and "paraphrased_question" in refused.stderr


def test_samples_gradients_and_what_it_cost(tmp_path: Path) -> None:
    """Two answered rows with three draws each; more draws are measured anew, the same ones are not."""
    forget = write_rows(tmp_path / "forget.jsonl", splits()["forget"][:4])
    other = write_rows(tmp_path / "holdout.jsonl", splits()["retain"][:4])
    flags = ["--forget", forget, "--holdout", other, "--grad-norms", "-o", tmp_path / "out"]
    report = scores(*flags, "--samples", 3)
    sampled = report["scores"]["forget"]["sampled_rouge_l"]["after"]
    assert sampled["n"] == 2 and {"max", "leak_bound", "expectation_bound", "deviation_bound"} <= set(sampled["details"])
    assert report["scores"]["privacy"]["grad_norm_auc"]["after"]["value"] is not None
    cost = report["passes"]["forget"]["after"]
    assert cost["tokens_run"] >= cost["tokens_needed"] > 0 < cost["tokens_generated"]
    again = scores(*flags, "--samples", 3)
    assert again["scores"] == report["scores"] and again["passes"] == report["passes"]
    more = scores(*flags, "--samples", 4)
    assert more["passes"]["forget"]["after"]["tokens_generated"] > cost["tokens_generated"]


def test_a_metric_takes_parameters(tmp_path: Path) -> None:
    forget = write_rows(
        tmp_path / "forget.jsonl", [{"question": "where", "answer": "他生于北京"}, {"question": "q", "answer": "x"}]
    )
    plain = scores("--forget", forget, "-o", tmp_path / "out")["scores"]["forget"]["rouge_l"]["after"]
    assert plain["dropped"] == 1 and "tokenizer=unicode" in plain["reason"]
    flags = ["--metric-parameter", "rouge_l.tokenizer=unicode"]
    chosen = scores("--forget", forget, "-o", tmp_path / "out", *flags)["scores"]["forget"]["rouge_l"]["after"]
    assert chosen["dropped"] == 0 and chosen["n"] == 2
    for wrong, said in (("rouge_l.tokenzer=unicode", "did you mean 'tokenizer'"), ("stem=false", "names no metric")):
        refused = unlearn(
            "evaluate", "--model", MODEL, "--forget", forget, "-o", tmp_path / "out", "--metric-parameter", wrong
        )
        assert refused.exit_code == 2 and said in refused.stderr, refused.stderr


def test_the_harness_is_asked_for_before_time_is_spent(tmp_path: Path) -> None:
    """Without the extra the command refuses at once; with it a task of the user's own runs."""
    forget = write_rows(tmp_path / "forget.jsonl", splits()["forget"][:2])
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        result = unlearn("evaluate", "--model", MODEL, "--forget", forget, "--lm-eval", "mmlu", "-o", tmp_path / "out")
        assert result.exit_code == 2 and "pip install 'unlearn-cli[lm-eval]'" in result.stderr
        return
    data = write_rows(tmp_path / "rows.jsonl", [{**CHOICES[0]}])
    task = tmp_path / "fruit.yaml"
    task.write_text(
        f"task: fruit\ndataset_path: json\ndataset_kwargs:\n  data_files: {{test: {data}}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: choices\ndoc_to_target: answer\n"
        "metric_list:\n  - metric: acc\n"
    )
    unlearn("evaluate", "--model", MODEL, "--forget", forget, "--lm-eval", task, "-o", tmp_path / "out")
    assert read_report(tmp_path / "out")["harness"]["fruit"]["acc,none"] in (0.0, 1.0)


def test_values_of_single_rows_are_kept(tmp_path: Path) -> None:
    """One line for each row of each split, whose mean is the score; no text of the data."""
    forget = write_rows(
        tmp_path / "forget.jsonl", [{**row, "id": f"row-{i}"} for i, row in enumerate(splits()["forget"][:3])]
    )
    report = scores("--forget", forget, "-o", tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["row-0", "row-1", "row-2"]
    mean = sum(line["probability"] for line in lines) / 3
    assert mean == pytest.approx(report["scores"]["forget"]["probability"]["after"]["value"])
    assert "rouge_l" in lines[0] and all(isinstance(v, float) for v in lines[1].values() if not isinstance(v, str))
