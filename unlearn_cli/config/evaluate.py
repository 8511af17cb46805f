"""Settings of `unlearn evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import model_validator

from unlearn_cli.config.expressions import Conditions
from unlearn_cli.config.groups import DataOptions, MeasuringOptions, ModelOptions, OutputOptions
from unlearn_cli.config.option import MaybeRunFolder, Names, Texts, option
from unlearn_cli.values import MANY

DERIVED = "derived"  # in a run folder: reports on models made from the run


class EvaluateConfig(OutputOptions, MeasuringOptions, DataOptions, ModelOptions):
    """Settings of `unlearn evaluate`."""

    output_dir: Path | None = option(
        None,
        "folder for measurements and report; default: the run folder, with the report in RUN/evaluation; needed without a "
        "run, unless --json is given",
        "Output",
        short="-o",
        metavar="DIR",
        runtime=True,
    )
    run: MaybeRunFolder = option(None, "run folder of `unlearn forget`", "Model", metavar="RUN")
    lineage: MaybeRunFolder = option(
        None, "the run that the model comes from, as by `unlearn merge`: its rows and settings are used, and the model "
        "and this test of it go into the run's lineage", "Model", metavar="RUN",
    )  # fmt: skip
    measured: Path | None = option(
        None,
        "score earlier measurements, without a model: a run folder, TOFU's eval_log_aggregated.json, or TOFU_EVAL.json",
        "Data",
    )
    choices: str | None = option(
        None, "multiple choice for general ability: rows of question, choices, answer", "Data", metavar="SPEC", path=True
    )
    probes: Names = option(
        (), "also ask the forget questions in other ways: paraphrase, jailbreak, instructed", "Data", metavar="NAMES"
    )
    lm_eval: Names = option(
        (),
        "tasks of the evaluation harness to run on the model: mmlu, ... (pip install unlearn-cli[lm-eval])",
        "Measuring",
        metavar="TASKS",
        consent="files",
    )
    lm_eval_limit: int | None = option(None, "documents of each task; default: all", "Measuring", ge=1, le=MANY, metavar="N")
    metrics: Names = option((), "metrics to score; default: all", "Measuring", metavar="NAMES", names="metrics")
    baseline: Texts = option(
        (), "a model trained without the forget rows: folder or Hub id; with --measured: its measurements; repeatable: the "
        "others, as of other seeds, show how far such models are from each other", "Model", metavar="MODEL", path=True,
    )  # fmt: skip
    show: int = option(0, "print N forget questions with the answers before and after", "Output", ge=0, le=MANY, metavar="N")
    full_table: bool = option(False, "show every metric; the report always has all", "Output", runtime=True)
    junit: Path | None = option(None, "write the gates as a JUnit XML file, for CI dashboards", "Output", metavar="FILE")
    fail_if: Conditions = option(
        (), "exit code 3 if this holds: 'forget.rouge_l > 0.3'; repeatable", "Output", metavar="EXPR"
    )

    @model_validator(mode="before")
    @classmethod
    def _model_of_a_lineage(cls, values: Any) -> Any:
        """With --lineage the argument is the model that was made from the run, and the run's folder gets its report."""
        lineage = values.get("lineage") if isinstance(values, dict) else None
        if not isinstance(lineage, (str, Path)) or not str(lineage):
            return values
        values = dict(values)
        if not values.get("model") and isinstance(values.get("run"), (str, Path)):
            values["model"] = str(values.pop("run"))
        if not values.get("output_dir") and isinstance(values.get("model"), str):
            lineage = Path(lineage).parent if Path(lineage).name == "report.json" else Path(lineage)
            bits = "-4bit" if values.get("load_in_4bit") else "-8bit" if values.get("load_in_8bit") else ""
            values["output_dir"] = lineage / DERIVED / (Path(values["model"]).name + bits)
        return values
