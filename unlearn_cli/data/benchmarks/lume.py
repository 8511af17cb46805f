"""LUME: invented stories, invented people's private data, and real biographies, forgotten together or one by one.

Ramakrishna et al., "LUME: LLM Unlearning with Multitask Evaluations" (2025, arXiv 2502.15097); task 4 of SemEval 2025.
Each row is a passage to be continued (its id ends in `sc1`) or a question (`qa0` to `qa4`). ROUGE-L judges the passages.
LUME judges questions by an exact match; here it is the share of tokens that the model would say (exact_memorization). The
rows that are trained on are those that are asked. The files lie in a repository, not on the Hub.
"""

from __future__ import annotations

from collections.abc import Callable

from unlearn_cli.data.benchmarks._benchmark import Benchmark, Part, Rows, Variant

TASKS = {"all": ("Task1", "Task2", "Task3"), "task1": ("Task1",), "task2": ("Task2",), "task3": ("Task3",)}


def _rows(tasks: tuple[str, ...], kind: str) -> Callable[[Rows], Rows]:
    """Rows of some tasks: passages (sc), questions (qa), or both."""

    def chosen(rows: Rows) -> Rows:
        return [
            {"id": str(row["id"]), "prompt": row["input"], "completion": row["output"]}
            for row in rows
            if row["task"] in tasks and kind in str(row["id"]).strip("\"'")[-3:]
        ]

    return chosen


def _variant(tasks: tuple[str, ...]) -> Variant:
    def part(file: str, kind: str, *metrics: str) -> Part:
        return Part(f"data/{file}", metrics=metrics, rows=_rows(tasks, kind))

    return Variant(
        forget=part("forget", ""),
        retain=part("retain", ""),
        evaluate={
            f"{file}_{name}": part(file, kind, metric)
            for file in ("forget", "retain")
            for name, kind, metric in (("passages", "sc", "rouge_l"), ("questions", "qa", "exact_memorization"))
        },
    )


lume = Benchmark(
    paper="2502.15097",
    says="stories, private data and biographies; task 4 of SemEval 2025",
    source="https://github.com/amazon-science/lume-llm-unlearning",
    variants={name: _variant(tasks) for name, tasks in TASKS.items()},
)
