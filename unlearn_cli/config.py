"""Settings of every command. A field is the flag, the key in a config file, the entry in the report and the schema.

Values come, later ones winning, from the defaults here, a config file, `UNLEARN_*` environment variables and flags;
`resolve` remembers which. Fields that are None are filled by the method or the model, and their origin says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import unknown

Settings = TypeVar("Settings", bound="Options")


def option(default: Any, help: str, panel: str, **extra: Any) -> Any:  # noqa: A002 - the word every reader expects
    """One option: its default, help text and the panel of `--help` it stands in.

    `short` is a one-letter flag, `metavar` what its value is called, `required=True` marks an argument that must be given,
    `runtime=True` options that do not change the result and are left out when configurations are compared. Everything else
    goes to pydantic (bounds).
    """
    cli = {key: extra.pop(key) for key in ("short", "metavar", "runtime", "flag", "required") if key in extra}
    return Field(default, description=help, json_schema_extra={"panel": panel, **cli}, **extra)


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)):
        return [part.strip() for item in value for part in (item.split(",") if isinstance(item, str) else [item])]
    return value


def _as_lines(value: Any) -> Any:
    """A mapping, as config files may hold, to `name=value` texts; texts are split at commas."""
    return [f"{key}={text}" for key, text in value.items()] if isinstance(value, Mapping) else _listed(value)


def _pairs(value: Any) -> Any:
    """`a=1,b=2`, or a list of such, to a dict; a dict passes."""
    if isinstance(value, Mapping) or value is None:
        return value
    made = {}
    for part in _listed(value):
        key, equals, text = part.partition("=")
        if not equals or not key:
            raise ValueError(f"'{part}' is not name=value")
        made[key.strip().replace("-", "_")] = yaml.safe_load(text) if text else ""
    return made


def _grids(value: Any) -> Any:
    """`a=1,2`, or a list of such, to {"a": (1, 2)}; a dict passes."""
    if isinstance(value, Mapping) or value is None:
        return value
    made: dict[str, list[Any]] = {}
    key = None
    for part in _listed(value):
        name, equals, text = part.partition("=")
        if equals:
            key = name.strip().replace("-", "_")
            made[key] = []
        elif key is None:
            raise ValueError(f"'{part}' is not name=values")
        else:
            text = part
        made[key].append(yaml.safe_load(text) if text else "")
    return {name: tuple(values) for name, values in made.items()}


Grids = Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_grids)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Expressions = Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
Columns = Annotated[tuple[str, ...], BeforeValidator(_as_lines)]
Pairs = Annotated[dict[str, Any], BeforeValidator(_pairs)]


class Options(BaseModel):
    """A group of options: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


class ModelOptions(Options):
    """Which model, and how it is loaded."""

    model: str = option("", "folder, Hub id, or adapter folder on its base", "Model", short="-m", metavar="MODEL")
    revision: str | None = option(None, "branch, tag or commit of a Hub id", "Model")
    load_in_4bit: bool = option(False, "NF4 with double quantization", "Model")
    load_in_8bit: bool = option(False, "LLM.int8()", "Model")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "auto: the checkpoint's, if the device can", "Model"
    )
    device: str = option("auto", "auto (cuda, mps, cpu), or one device such as cuda:1", "Model")
    attn_implementation: str = option("sdpa", "anything but sdpa pads rows instead of packing them", "Model")
    trust_remote_code: bool = option(False, "run code that the model brings along", "Model")
    allow_pickle: bool = option(False, "load .bin checkpoints, which can run code when loaded", "Model")


class DataOptions(Options):
    """Which rows, and how they become tokens."""

    forget: str | None = option(
        None,
        "rows to forget: a file, a folder, or hf:org/name[/config][@revision]:split",
        "Data",
        short="-f",
        metavar="SPEC",
    )
    retain: str | None = option(None, "rows to keep", "Data", short="-r", metavar="SPEC")
    holdout: str | None = option(
        None, "rows like the forget rows that no model has seen, for membership inference", "Data", metavar="SPEC"
    )
    columns: Columns = option((), "your column names: prompt=q,answer=a", "Data", metavar="NAMES")
    limit: int | None = option(None, "the first N rows of each split only", "Data", ge=1, metavar="N")
    chat_template: str = option("auto", "auto (the tokenizer's), none, or a Jinja file", "Data")
    max_length: int = option(2048, "tokens of a row; capped at what the model can take", "Data", ge=8)
    stride: int = option(0, "raw documents: tokens a window repeats from the one before, as context", "Data", ge=0)


class LoraOptions(Options):
    """What is trained."""

    lora_r: int = option(16, "rank of the adapter", "LoRA", ge=1)
    lora_alpha: int = option(32, "scale of the adapter is alpha / r", "LoRA", ge=1)
    lora_dropout: float = option(0.0, "costs time and memory", "LoRA", ge=0, lt=1)
    lora_target_modules: Names = option(("all-linear",), "module names, or all-linear", "LoRA", metavar="NAMES")
    lora_init: Literal["default", "fila", "pissa"] | None = option(
        None, "how the adapter starts; fila: where the forget rows matter most; default: the method's", "LoRA"
    )
    full: bool = option(False, "train every weight and write a model instead of an adapter", "LoRA")


class MethodOptions(Options):
    """The objective."""

    method: str = option("npo", "see `unlearn list methods`, or a file of your own", "Method", metavar="NAME")
    retain_term: str | None = option(
        None, "see `unlearn list retain-terms`; default: the method's", "Method", metavar="NAME"
    )
    forget_weight: float | None = option(None, "weight of the forget term; default: the method's", "Method", ge=0)
    retain_weight: float | None = option(None, "weight of the retain term; default: the method's", "Method", ge=0)
    parameters: Pairs = option(
        {},
        "a parameter of the method, repeatable: -p beta=0.1",
        "Method",
        short="-p",
        flag="--parameter",
        metavar="NAME=VALUE",
    )
    retain_parameters: Pairs = option(
        {}, "a parameter of the retain term, repeatable", "Method", flag="--retain-parameter", metavar="NAME=VALUE"
    )
    robust: str | None = option(
        None, "against relearning: sam, gru, lat or none; default: the method's", "Method", metavar="NAME"
    )
    robust_parameters: Pairs = option(
        {}, "a parameter of the robust rule, repeatable", "Method", flag="--robust-parameter", metavar="NAME=VALUE"
    )
    calibrate: str | None = option(
        None,
        "after training, the strongest unlearning that keeps this: 'retain.probability >= 0.95*before'",
        "Method",
        metavar="EXPR",
    )


class TrainingOptions(Options):
    """The training loop."""

    epochs: float | None = option(None, "passes over the forget rows; default: the method's", "Training", gt=0)
    max_steps: int | None = option(None, "optimiser steps, instead of epochs", "Training", ge=1)
    learning_rate: float | Literal["auto"] = option(
        "auto", "auto: LoRA scaling rule times the method's multiplier", "Training"
    )
    batch_size: int | None = option(None, "forget rows in one pass; default: the method's", "Training", ge=1)
    gradient_accumulation_steps: int = option(1, "passes for each optimiser step", "Training", ge=1)
    retain_ratio: int | None = option(None, "retain rows for each forget row; default: the method's", "Training", ge=1)
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = option("cosine", "shape after warm-up", "Training")
    warmup_ratio: float = option(0.1, "share of the steps spent warming up", "Training", ge=0, lt=1)
    weight_decay: float = option(0.0, "decoupled weight decay", "Training", ge=0)
    max_grad_norm: float = option(1.0, "gradient clipping", "Training", gt=0)
    optim: Literal["auto", "adamw", "paged_adamw_8bit", "sophia"] | None = option(
        None, "auto: AdamW; 8-bit paged for --full on CUDA; default: the method's, mostly auto", "Training"
    )
    activation_checkpointing: Literal["auto", "on", "off"] = option(
        "auto", "auto: on if the memory estimate asks for it", "Training"
    )
    seed: int = option(42, "of everything that is drawn", "Training", ge=0)
    deterministic: bool = option(False, "deterministic kernels, slower on CUDA", "Training")
    forget_loss_floor: float | None = option(None, "stop when the forget loss falls below this", "Training")
    eval_every: int | None = option(
        None, "measure every N steps; with --stop-when once an epoch", "Training", ge=1, metavar="N"
    )
    stop_when: str | None = option(
        None, "stop at the first measurement where this holds: 'forget.probability < 0.05'", "Training", metavar="EXPR"
    )
    save_every: int | None = option(
        None, "checkpoint every N steps; default: once an epoch", "Training", ge=1, metavar="N", runtime=True
    )


class MeasuringOptions(Options):
    """What is measured before and after."""

    eval_limit: int = option(1000, "rows of each split that are measured, evenly spread; 0: all", "Measuring", ge=0)
    generate_limit: int = option(200, "of those, rows answered by greedy generation; 0: all", "Measuring", ge=0)
    max_new_tokens: int = option(200, "longest generated answer", "Measuring", ge=1)
    samples: int = option(
        0, "sampled answers to each answered question, for bounds on what leaks; 32 is quick, 128 usual", "Measuring", ge=0
    )
    sample_temperature: float = option(1.0, "of the sampled answers", "Measuring", gt=0)
    sample_top_p: float = option(0.9, "they are drawn from the likeliest tokens of this mass", "Measuring", gt=0, le=1)
    grad_norms: bool = option(
        False, "measure each row's gradient as well, for membership inference: one backward pass a row", "Measuring"
    )
    metric_parameters: Pairs = option(
        {},
        "a parameter of a metric, repeatable: --metric-parameter rouge_l.stem=false",
        "Measuring",
        flag="--metric-parameter",
        metavar="METRIC.NAME=VALUE",
    )
    bootstrap_samples: int = option(1000, "resamples behind the confidence intervals", "Measuring", ge=1)
    token_budget: int = option(2048, "tokens of one measuring pass", "Measuring", ge=1, runtime=True)


class OutputOptions(Options):
    """Where things go."""

    output_dir: Path | None = option(
        None, "run folder; default: runs/MODEL-METHOD", "Output", short="-o", metavar="DIR", runtime=True
    )
    overwrite: bool = option(False, "replace what is in the output folder", "Output", runtime=True)
    quiet: bool = option(False, "only errors, and the path of the report", "Output", short="-q", runtime=True)
    json_output: bool = option(
        False, "the whole report on stdout, as one JSON object", "Output", flag="--json", runtime=True
    )
    offline: bool = option(False, "never ask the Hub (HF_HUB_OFFLINE=1)", "Output", runtime=True)


class ForgetConfig(OutputOptions, MeasuringOptions, TrainingOptions, MethodOptions, LoraOptions, DataOptions, ModelOptions):
    """Settings of `unlearn forget`."""

    allow_overlap: bool = option(False, "accept rows that are in both splits", "Data")
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = option(
        "none", "a tracker that sees every step as well; metrics.jsonl is always written", "Output", runtime=True
    )
    push_to_hub: str | None = option(
        None,
        "when it is done, upload the run as `unlearn push` does: private, without rows",
        "Output",
        metavar="REPO",
        runtime=True,
    )
    resume: bool = option(False, "go on from the newest checkpoint in the output folder", "Output", runtime=True)
    dry_run: bool = option(False, "read everything but the weights, print the plan, and stop", "Output", runtime=True)


class SweepConfig(ForgetConfig):
    """Settings of `unlearn sweep`: those of forget, and what varies."""

    methods: Names = option((), "methods to run; default: --method", "Method", metavar="NAMES")
    parameters: Grids = option(
        {},
        "values of a parameter, of all methods or of one: -p npo.beta=0.05,0.1",
        "Method",
        short="-p",
        flag="--parameter",
        metavar="[METHOD.]NAME=VALUES",
    )
    grid: Grids = option(
        {}, "values of an option, repeatable: --grid learning_rate=1e-4,3e-4", "Method", metavar="NAME=VALUES"
    )
    seeds: Names = option((), "each setting once for each; default: --seed", "Training", metavar="NUMBERS")
    score: str = option(
        "retain.probability - forget.probability", "by which runs are ranked, larger is better", "Output", metavar="EXPR"
    )
    halving: bool = option(False, "all settings at a quarter of the epochs, the better half at half, and so on", "Training")
    budget_minutes: float | None = option(None, "start no run after so many minutes", "Training", gt=0)


class EvaluateConfig(OutputOptions, MeasuringOptions, DataOptions, ModelOptions):
    """Settings of `unlearn evaluate`."""

    run: Path | None = option(None, "run folder of `unlearn forget`", "Model", metavar="RUN")
    measured: Path | None = option(
        None,
        "score what was measured before, without a model: a run folder, TOFU's eval_log_aggregated.json, or TOFU_EVAL.json",
        "Data",
    )
    benchmark: str | None = option(
        None, "a preset of splits: tofu:forget01|05|10, muse:news|books, wmdp:bio|chem|cyber", "Data", metavar="NAME"
    )
    choices: str | None = option(
        None, "multiple choice for general ability: rows of question, choices, answer", "Data", metavar="SPEC"
    )
    probes: Names = option((), "ask the forget questions otherwise as well: paraphrase, jailbreak", "Data", metavar="NAMES")
    lm_eval: Names = option(
        (),
        "tasks of the evaluation harness to run on the model: mmlu, ... (pip install unlearn-cli[lm-eval])",
        "Measuring",
        metavar="TASKS",
    )
    lm_eval_limit: int | None = option(None, "documents of each task; default: all", "Measuring", ge=1, metavar="N")
    benchmark_dir: Path | None = option(None, "the benchmark's files, instead of the Hub", "Data", metavar="DIR")
    metrics: Names = option((), "metrics to score; default: all", "Measuring", metavar="NAMES")
    baseline: str | None = option(
        None, "a model that never saw the forget rows: folder or Hub id; with --measured its measurements", "Model",
        metavar="MODEL",
    )  # fmt: skip
    show: int = option(0, "print N forget questions with the answers before and after", "Output", ge=0, metavar="N")
    full_table: bool = option(False, "show every metric; the report has them in any case", "Output", runtime=True)
    junit: Path | None = option(None, "the gates as a JUnit XML file, for CI dashboards", "Output", metavar="FILE")
    fail_if: Expressions = option((), "exit 3 if this holds: 'forget.rouge_l > 0.3'; repeatable", "Output", metavar="EXPR")


class AttackConfig(Options):
    """Settings of `unlearn relearn-attack`."""

    run: Path = option(Path(), "run folder of `unlearn forget`", "Model", metavar="RUN", required=True)
    baseline: str | None = option(
        None, "a model that never saw the forget rows, attacked alike: what it gains is teaching, not recovery", "Model",
        metavar="MODEL",
    )  # fmt: skip
    skip_original: bool = option(False, "do not attack the model before unlearning as well", "Model")
    device: str = option("auto", "auto (cuda, mps, cpu), or one device such as cuda:1", "Model")
    attack: Names = option((), "see `unlearn list attacks`; default: those of the suite", "Method", metavar="NAMES")
    suite: Literal["quick", "standard", "full"] | None = option(
        None, "quick: minutes; standard; full: every attack, three rates, three seeds; default: relearning alone", "Method"
    )
    parameters: Pairs = option(
        {},
        "a parameter of the attack, repeatable: -p data=retain-only -p steps=0+15",
        "Method",
        short="-p",
        flag="--parameter",
        metavar="NAME=VALUE",
    )
    attack_data: str | None = option(None, "rows of your own to relearn on, with -p data=given", "Data", metavar="SPEC")
    share: float = option(0.5, "of the forget rows that the attacker has; the others judge", "Data", gt=0, lt=1)
    learning_rates: Names = option(
        (),
        "each is a curve of its own, and the worst counts; default: by the LoRA scaling rule",
        "Training",
        metavar="NUMBERS",
    )
    seeds: Names = option((), "curves are averaged over them; default: 0", "Training", metavar="NUMBERS")
    eval_limit: int = option(100, "judged forget rows, and rows to keep, evenly spread; 0: all", "Measuring", ge=0)
    generate_limit: int = option(20, "of those, rows answered by greedy generation; 0: all; -1: none", "Measuring", ge=-1)
    max_new_tokens: int = option(64, "longest generated answer", "Measuring", ge=1)
    bootstrap_samples: int = option(1000, "resamples behind the confidence intervals", "Measuring", ge=1)
    fail_if: Expressions = option(
        (), "exit 3 if this holds: 'relearn.recovery.max > 0.3'; repeatable", "Output", metavar="EXPR"
    )
    plot: Path | None = option(
        None, "the curves as PNG or SVG (pip install unlearn-cli[plot])", "Output", metavar="FILE", runtime=True
    )
    quiet: bool = option(False, "only errors, and the paths of the reports", "Output", short="-q", runtime=True)
    json_output: bool = option(False, "the reports on stdout, as one JSON object", "Output", flag="--json", runtime=True)
    offline: bool = option(False, "never ask the Hub (HF_HUB_OFFLINE=1)", "Output", runtime=True)


class MergeConfig(Options):
    """Settings of `unlearn merge`."""

    run: Path = option(Path(), "run folder of `unlearn forget`", "Model", metavar="RUN", required=True)
    output_dir: Path | None = option(None, "where the merged model goes", "Output", short="-o", metavar="DIR")
    base: Literal["auto", "dequantized", "original"] = option(
        "auto", "of a 4-bit run: its rounded weights, which the adapter was trained on (auto), or the original ones", "Model"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto", "auto: the checkpoint's", "Model")
    device: str = option("auto", "auto (cuda, mps, cpu), or one device such as cuda:1", "Model")
    tolerance: float = option(
        0.05, "nats by which the mean log-probability of an answer may change, on average; beyond it nothing is written",
        "Measuring", gt=0,
    )  # fmt: skip
    rows: int = option(32, "rows of each split by which that is seen", "Measuring", ge=1)
    overwrite: bool = option(False, "replace what is in the output folder", "Output", runtime=True)
    quiet: bool = option(False, "only errors and the path", "Output", short="-q", runtime=True)
    json_output: bool = option(False, "what was found, as one JSON object", "Output", flag="--json", runtime=True)
    offline: bool = option(False, "never ask the Hub (HF_HUB_OFFLINE=1)", "Output", runtime=True)


class ChatConfig(Options):
    """Settings of `unlearn chat`."""

    run: Path = option(Path(), "run folder of `unlearn forget`", "Model", metavar="RUN", required=True)
    prompt: Expressions = option((), "ask this and stop; repeatable", "Data", metavar="TEXT")
    system: str | None = option(None, "a system prompt", "Data", metavar="TEXT")
    history: bool = option(False, "keep earlier turns, each model its own", "Data")
    max_new_tokens: int = option(200, "longest answer", "Measuring", ge=1)
    temperature: float = option(0.0, "0: greedy", "Measuring", ge=0)
    seed: int = option(0, "of sampled answers", "Measuring", ge=0)
    device: str = option("auto", "auto (cuda, mps, cpu), or one device such as cuda:1", "Model")
    quiet: bool = option(False, "only answers", "Output", short="-q", runtime=True)
    json_output: bool = option(False, "one JSON object a question", "Output", flag="--json", runtime=True)
    offline: bool = option(False, "never ask the Hub (HF_HUB_OFFLINE=1)", "Output", runtime=True)


class PushConfig(Options):
    """Settings of `unlearn push`."""

    run: Path = option(Path(), "run folder of `unlearn forget`", "Model", metavar="RUN", required=True)
    repo: str = option(
        "", "repository on the Hub, org/name; made if it is not there", "Model", metavar="REPO", required=True
    )
    public: bool = option(False, "visible to everybody; otherwise private", "Output")
    include_samples: bool = option(
        False, "upload measured/ too: forget questions, true answers and what the model said", "Output"
    )
    dry_run: bool = option(False, "list what would be uploaded, and stop", "Output", runtime=True)
    quiet: bool = option(False, "only errors and the address", "Output", short="-q", runtime=True)


class CompareConfig(Options):
    """Settings of `unlearn compare`."""

    runs: tuple[Path, ...] = option((), "run folders, or their report.json", "Model", metavar="RUN...")
    baseline: Path | None = option(
        None,
        "an evaluation of a model that never saw the forget rows: a folder of `unlearn evaluate`",
        "Model",
        metavar="RUN",
    )
    metrics: Names = option((), "columns, as SPLIT.METRIC; default: those that every run has", "Measuring", metavar="NAMES")
    sort: str | None = option(None, "best first by this SPLIT.METRIC", "Output", metavar="NAME")
    group_by: Names = option(
        (), "runs that differ in these settings alone become one row with its spread: seed", "Output", metavar="NAMES"
    )
    front: Names = option(
        ("forget.probability", "retain.probability"),
        "forgetting against utility, for the Pareto front",
        "Output",
        metavar="X,Y",
    )
    allow_different: bool = option(
        False, "compare runs that were measured on different rows, with different templates or limits, and mark them", "Data"
    )
    bootstrap_samples: int = option(2000, "resamples of the rows behind each difference", "Measuring", ge=1)
    include_samples: int = option(
        0,
        "in --html: N forget questions with what each run answers; the forget rows are sensitive",
        "Output",
        ge=0,
        metavar="N",
    )
    csv: Path | None = option(None, "the table as CSV; - for stdout", "Output", metavar="FILE", runtime=True)
    markdown: Path | None = option(
        None, "the table for a pull-request comment; - for stdout", "Output", metavar="FILE", runtime=True
    )
    html: Path | None = option(None, "a page of its own, without scripts or links", "Output", metavar="FILE", runtime=True)
    plot: Path | None = option(
        None,
        "forgetting against utility as PNG or SVG (pip install unlearn-cli[plot])",
        "Output",
        metavar="FILE",
        runtime=True,
    )
    fail_if: Expressions = option(
        (), "exit 3 if this holds for any run: 'retain.probability < 0.9'; repeatable", "Output", metavar="EXPR"
    )
    quiet: bool = option(False, "only errors and data", "Output", short="-q", runtime=True)
    json_output: bool = option(False, "everything on stdout, as one JSON object", "Output", flag="--json", runtime=True)


class DemoConfig(Options):
    """Settings of `unlearn demo`."""

    keep: Path | None = option(
        None, "leave model, data and run in this folder; default: a temporary one", "Output", metavar="DIR"
    )
    quiet: bool = option(False, "only errors, and the path of the report", "Output", short="-q", runtime=True)
    json_output: bool = option(
        False, "the whole report on stdout, as one JSON object", "Output", flag="--json", runtime=True
    )


def runtime_fields(model: type[Options]) -> set[str]:
    """Fields that do not change a result."""
    return {name for name, field in model.model_fields.items() if (field.json_schema_extra or {}).get("runtime")}


def default_of(field: Any) -> Any:
    """A field's default value, whether given outright or by a factory."""
    value = field.get_default(call_default_factory=True)
    return None if value is PydanticUndefined else value


def read_config_file(path: Path, model: type[Options]) -> dict[str, Any]:
    """The settings in a YAML or JSON file, or those of a report of ours, by field name.

    Raises:
        UnlearnError: missing, broken, not a mapping, or with a key that is no setting of `model`.
    """
    if not path.is_file():
        raise UnlearnError(f"config file not found: {path}", "--config takes YAML, JSON, or a report.json of an earlier run")
    text = path.read_text(encoding="utf-8")
    try:
        read = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise UnlearnError(f"{path}: {str(error).splitlines()[0]}", "the file is not valid YAML or JSON") from None
    if not isinstance(read, dict):
        raise UnlearnError(f"{path} holds no settings: expected names and values")
    if "schema_version" in read and isinstance(read.get("config"), dict):
        # A report is a recipe: its settings apply again, but not where it was written to or how loud it was.
        wanted = set(model.model_fields) - runtime_fields(model)
        return {key: value for key, value in read["config"].items() if key in wanted and value is not None}
    settings = {str(key).replace("-", "_"): value for key, value in read.items()}
    for key in settings:
        if key not in model.model_fields:
            raise unknown(f"setting in {path}:", key, model.model_fields)
    return settings


def _environment(model: type[Options]) -> dict[str, str]:
    names = {f"UNLEARN_{name.upper()}": name for name in model.model_fields}
    return {names[key]: value for key, value in os.environ.items() if key in names and value}


def resolve(model: type[Settings], flags: Mapping[str, Any], config_file: Path | None) -> tuple[Settings, dict[str, str]]:
    """Settings from all sources, and for each field where its value came from.

    Args:
        model: the settings of the command.
        flags: what was given on the command line, or from Python; None is "not given".
        config_file: what `--config` named.

    Raises:
        UnlearnError: an unknown key (with the nearest one), or a value of the wrong kind.
    """
    file = read_config_file(config_file, model) if config_file else {}
    for name in flags:
        if name not in model.model_fields:
            raise unknown("setting", name, model.model_fields)
    values: dict[str, Any] = {}
    sources = dict.fromkeys(model.model_fields, "default")
    layers = ((str(config_file), file), ("environment", _environment(model)), ("flag", flags))
    for source, layer in layers:
        for key, value in layer.items():
            if value is not None and value != []:
                values[key], sources[key] = value, source
    try:
        return model(**values), sources
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        flag = "--" + name.replace("_", "-")
        message = first["msg"].removeprefix("Value error, ")
        raise UnlearnError(f"{flag} {first['input']!r}: {message}", model.model_fields[name].description) from None
