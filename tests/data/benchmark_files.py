"""Data sets with the schemas of the published benchmarks, for a Hub on the loopback; the rows are the demo's people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlearn_cli.demo.facts import splits

FACTS = {name: [{"question": r["question"], "answer": r["answer"]} for r in rows] for name, rows in splits().items()}
FORGET, RETAIN = FACTS["forget"], FACTS["retain"]
PERSON = "Mira Okafor"
CHOICES = [{"question": "Which is a metal?", "choices": ["iron", "apple", "chair", "river"], "answer": 0}] * 3
Rows = Sequence[Mapping[str, Any]]


def data_set(folder: Path, parts: Mapping[tuple[str, str], Rows]) -> Path:
    """A data set with these configurations and splits, as its card declares them."""
    configs: dict[str, list[tuple[str, str]]] = {}
    for (config, split), rows in parts.items():
        file = folder / config / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        configs.setdefault(config, []).append((split, f"{config}/{split}.jsonl"))
    lines = ["---", "configs:"]
    for config, files in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        lines += [line for split, path in files for line in (f"  - split: {split}", f"    path: {path}")]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")
    return folder


def _texts(rows: Rows) -> list[dict[str, Any]]:
    return [{"text": f"{row['question']} {row['answer']}"} for row in rows]


def _wrong(rows: Rows) -> list[dict[str, Any]]:
    return [{**row, "paraphrased_answer": row["answer"], "perturbed_answer": ["No.", "Never so."]} for row in rows]


def muse(folder: Path) -> Path:
    """MUSE-News: raw texts, membership, continuations, questions with ten examples, and its series."""
    parts: dict[tuple[str, str], Rows] = {
        ("raw", "forget"): _texts(FORGET[:6]),
        ("raw", "retain1"): _texts(RETAIN[:12]),
        ("raw", "retain2"): _texts(RETAIN[12:18]),
        ("raw", "holdout"): _texts(RETAIN[18:20]),
        ("verbmem", "forget"): [{"prompt": r["question"], "gt": r["answer"]} for r in FORGET[:3]],
        **{("privleak", name): _texts(rows[20:23] if name != "forget" else FORGET[6:9])
           for name, rows in (("forget", FORGET), ("retain", RETAIN), ("holdout", RETAIN))},
        **{("sust", f"forget_{n}"): _texts(FORGET[3 * n - 3 : 3 * n]) for n in (1, 2, 3, 4)},
        **{("scal", f"forget_{n}"): _texts(FORGET[: 3 * n]) for n in (1, 2, 3, 4)},
    }  # fmt: skip
    for name, rows in (("forget", FORGET), ("retain", RETAIN)):
        parts[("knowmem", f"{name}_qa")] = rows[:3]
        parts[("knowmem", f"{name}_qa_icl")] = rows[3:5]
    return data_set(folder, parts)


def rwku(folder: Path) -> Path:
    """RWKU: two people, probes by level, neighbors, membership, utility."""
    people = (PERSON, "Somebody Else")

    def probes(rows: Rows, **more: str) -> list[dict[str, Any]]:
        return [
            {"subject": person, "level": "1", "type": "simple", "query": r["question"], "answer": r["answer"], **more}
            for person in people for r in rows
        ]  # fmt: skip

    def of(rows: Rows, **more: Any) -> list[dict[str, Any]]:
        return [{"subject": person, **row, **more} for person in people for row in rows]

    truthful = {"question": "Is iron a metal?", "mc1_targets": {"choices": ["Yes.", "No."], "labels": [1, 0]},
                "mc2_targets": {"choices": ["Yes.", "No."], "labels": [1, 0]}}  # fmt: skip
    return data_set(folder, {
        ("forget_target", "train"): [{"target": person, "intro": f"{person} is a person."} for person in people],
        **{(f"forget_level{n}", "test"): probes(FORGET[n : n + 2]) for n in (1, 2, 3)},
        **{(f"neighbor_level{n}", "test"): probes(RETAIN[n : n + 2], neighbor="A Neighbor") for n in (1, 2)},
        ("mia_forget", "test"): of(_texts(FORGET[:2]), ngram=7),
        ("mia_retain", "test"): of(_texts(RETAIN[:2]), ngram=7),
        ("utility_general", "test"): of(CHOICES[:1], task="physics"),
        ("utility_reason", "test"): of([{"question": "1+1?", "answer": "2", "cot": "Q: 1+0? A: 1", "task": "sums"}]),
        ("utility_truthfulness", "test"): of([truthful]),
        ("utility_factuality", "test"): of([{"question": "Who?", "answers": ["Mira", "Mira Okafor"]}]),
        ("utility_fluency", "test"): of([{"instruction": "Write a poem."}]),
        ("train_original_passage", "train"): of(_texts(FORGET[:2])),
        ("train_positive_llama3", "train"): of(_texts(FORGET[:5])),
        ("train_pair_llama3", "train"): of([{"prompt": "Who?", "response": ["Nobody.", "Mira."], "intro": "x"}]),
        ("train_refusal_llama3", "train"): of([{"instruction": "Who?", "output": "I cannot say."}]),
    })  # fmt: skip


def knowundo(folder: Path) -> Path:
    """KnowUnDo: each split is one row with two lists of questions and answers."""

    def nested(rows: Rows) -> list[dict[str, Any]]:
        items = [{"text": row["question"], "labels": row["answer"]} for row in rows]
        return [{"train": items[:6], "val": items[6:9]}]

    return data_set(folder, {
        (domain, split): nested(rows)
        for domain in ("copyright", "privacy") for split, rows in (("unlearn", FORGET), ("retention", RETAIN))
    })  # fmt: skip


def dusk(folder: Path) -> Path:
    """DUSK: documents by style, and questions in the split `eval`."""
    return data_set(folder, {
        ("raw", "forget_chronological"): _texts(FORGET[:6]),
        **{("raw", f"retain_{style}"): _texts(RETAIN[:8])
           for style in ("feature_story", "interview", "inverted_pyramid", "listicle")},
        ("raw", "full"): _texts(FORGET[:6] + RETAIN[:8]),
        ("eval_holdout", "eval"): _texts(RETAIN[20:22]),
        ("eval_general_qa", "eval"): RETAIN[:3],
        ("eval_specific_forget_qa", "eval"): FORGET[:3],
    })  # fmt: skip


def lume(folder: Path) -> Path:
    """LUME's files, as they lie in its repository; some ids hold quote marks."""
    (folder / "data").mkdir(parents=True)
    for name, rows in (("forget", FORGET), ("retain", RETAIN)):
        written = [
            {"id": ids.format(n), "input": r["question"], "output": r["answer"], "task": f"Task{n % 3 + 1}"}
            for n, r in enumerate(rows[:9]) for ids in ("{0}sc1", '"{0}qa0"')
        ]  # fmt: skip
        (folder / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written))
    return folder


def tofu(folder: Path) -> Path:
    """TOFU's configurations, each with the split `train`; not the published rows."""
    return data_set(folder, {
        ("forget01_perturbed", "train"): _wrong(FORGET[:6]),
        ("retain99", "train"): RETAIN[:16],
        ("retain_perturbed", "train"): _wrong(RETAIN[:4]),
        ("real_authors_perturbed", "train"): _wrong(RETAIN[20:22]),
        ("world_facts_perturbed", "train"): _wrong(RETAIN[22:24]),
        ("holdout01", "train"): RETAIN[24:26],
        ("full", "train"): RETAIN[:10] + FORGET[:10],
    })  # fmt: skip


def wmdp(folder: Path) -> Path:
    """WMDP's questions."""
    return data_set(folder, {(f"wmdp-{short}", "test"): CHOICES for short in ("bio", "chem", "cyber")})


def wmdp_corpora(folder: Path) -> Path:
    """WMDP's texts."""
    return data_set(folder, {
        ("cyber-forget-corpus", "train"): _texts(FORGET[:6]),
        ("cyber-retain-corpus", "train"): _texts(RETAIN[:8]),
        ("bio-retain-corpus", "train"): _texts(RETAIN[:8]),
    })  # fmt: skip


HUB = {
    "muse-bench/MUSE-News": muse, "jinzhuoran/RWKU": rwku, "zjunlp/KnowUnDo": knowundo, "AI-ISL/DUSK": dusk,
    "locuslab/TOFU": tofu, "cais/wmdp": wmdp, "cais/wmdp-corpora": wmdp_corpora,
}  # fmt: skip
