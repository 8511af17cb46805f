"""Parts of `report.json` about the data, the model, the training and the artifact of a run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from unlearn_cli.errors import plain_reason


class Part(BaseModel):
    """A part of the report. Unknown fields are kept: within a major version later releases add fields."""

    model_config = ConfigDict(extra="allow")


def problem_of(error: ValidationError | RecursionError) -> str:
    """The first thing that is wrong with a report, in a line: the field, and why its value cannot be."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    first = error.errors(include_url=False)[0]
    return ": ".join([".".join(map(str, first["loc"])), plain_reason(first["msg"])])


class SettingsRead(Part):
    """Kinds of the settings that later commands read from a report, to calculate with them or to open a file."""

    model: str | None = None
    revision: str | None = None
    run: str | None = None
    baseline: str | list[str] | None = None  # of commands that take several
    forget: str | None = None
    retain: str | None = None
    benchmark: str | None = None
    benchmark_dir: str | None = None
    method: str | None = None
    parameters: dict[str, Any] | None = None
    retain_term: str | None = None
    retain_weight: float | None = None
    columns: list[str] | None = None
    seed: int | None = None
    limit: int | None = None
    samples: int | None = None
    sample_temperature: float | None = None
    sample_top_p: float | None = None
    generate_limit: int | None = None
    token_budget: int | None = None
    retain_ratio: float | None = None
    learning_rate: float | str | None = None
    max_steps: int | None = None
    epochs: float | None = None


def settings_of_known_kinds(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a report, unchanged.

    Raises:
        ValueError: one that is read again holds another kind of value than any command writes.
    """
    try:
        SettingsRead.model_validate(config, strict=True)
    except ValidationError as error:
        raise ValueError(problem_of(error)) from None
    return config


Config = Annotated[dict[str, Any], AfterValidator(settings_of_known_kinds)]


class DataReport(Part):
    """One split, described without its text."""

    spec: str = Field(description="what --forget, --retain or the like was given")
    files: list[str] = Field(description="the files that were read")
    format: str = Field(description="the row format, as recognized by its columns")
    revision: str | None = Field(description="resolved commit of a data set of the Hub; null for local files")
    pinned: bool | None = Field(
        None, description="whether that commit was asked for; false: the newest one was read; null for local files"
    )
    sha256: str = Field(description="over the content of the rows, in order")
    unordered_sha256: str | None = Field(None, description="over the content of the rows, in whatever order")
    rows: int = Field(description="rows that were taken")
    rows_in_source: int = Field(description="rows that the source holds, before --limit and what is held out")
    sequences: int = Field(description="rows after raw documents are cut into windows")
    tokens: int = Field(description="tokens of all sequences")
    answer_tokens: int = Field(description="of those, tokens that are scored")
    truncated_rows: int = Field(description="rows cut at --max-length")
    truncated_tokens: int = Field(description="tokens that were cut off")
    measured_rows: int = Field(description="rows that scores are made of; see --eval-limit")
    published: bool | None = Field(
        default=None, description="of a benchmark: the rows have the published hash; null: no hash is known here"
    )


class ModelReport(Part):
    """What was unlearned from."""

    model: str = Field(description="what --model was given: a folder or a Hub id")
    revision: str | None = Field(description="resolved commit of a Hub model")
    adapter: str | None = Field(default=None, description="the adapter the model arrived with")
    architecture: str = Field(description="class of the model in transformers")
    parameters: int = Field(description="number of weights")
    trainable_parameters: int = Field(description="number of weights that training changes")
    lora_share: float | None = Field(
        None, description="of the weights outside embeddings and head, those that LoRA was put on"
    )
    dtype: str = Field(description="data type of the weights that are not quantized")
    quantization: str | None = Field(description="nf4 or int8 for --load-in-4bit and --load-in-8bit; null for none")
    layout: str = Field(description="packed (no padding token is computed) or padded")
    chat_template_sha256: str | None = Field(description="hash of the template that wrote the prompts; null for none")
    weights_sha256: str | None = Field(description="of a local model's weight files")


class PassReport(Part):
    """What measuring one split under one model cost."""

    tokens_run: int = Field(description="tokens that went through the model to score answers")
    tokens_needed: int = Field(description="each question once and each of its answers once")
    tokens_generated: int = Field(description="tokens written as answers")


class Trajectory(Part):
    """Scores measured during training."""

    step: int = Field(description="steps that were done")
    scores: dict[str, dict[str, float | None]] = Field(description="split -> metric -> value")


class TrainingReport(Part):
    """What training did. Losses are averages over the first and the last tenth of the steps."""

    steps: int = Field(description="steps that were done")
    steps_planned: int = Field(description="steps of the schedule, or of the target's budget")
    epochs: float = Field(description="passes over the forget rows")
    effective_batch: int = Field(description="forget rows in a step")
    retain_rows_per_step: int = Field(description="retain rows in a step")
    tokens: int = Field(description="run with gradient")
    retain_tokens: int = Field(default=0, description="of those, tokens of rows to keep")
    tokens_per_second: float = Field(description="tokens run with gradient in a second of training")
    real_token_share: float = Field(description="tokens of rows over tokens computed; 1 when packed")
    seconds_per_step: float = Field(description="mean time of a step")
    forget_loss: tuple[float, float] | None = Field(
        description="mean over the first and over the last tenth of the steps; null where the method has none"
    )
    retain_loss: tuple[float, float] | None = Field(description="the same of the retain term; null without one")
    grad_norm_max: float | None = Field(description="largest gradient norm before clipping; null where none was taken")
    reference_seconds: float = Field(description="time of the passes through the reference")
    activation_checkpointing: bool = Field(description="whether activations were computed twice to save memory")
    resumed_from_step: int | None = Field(
        default=None, description="step of the checkpoint that --resume went on from; null for none"
    )
    stopped_by: str | None = Field(default=None, description="what ended training before its schedule; null for nothing")
    layers: list[int] = Field(default=[], description="blocks (1 is the first) whose hidden states the method reads")
    retain_layers: list[int] = Field(default=[], description="those that the retain term reads")
    trajectory: list[Trajectory] = Field(default=[], description="scores measured during training (--eval-every)")


class Aims(Part):
    """What a run is to reach. Probabilities are those of the metric."""

    level: float = Field(description="mean probability that the forget rows were to come down to")
    row_level: float = Field(description="above it a single forget row counts as not forgotten")
    source: str = Field(description="where the level was taken from")
    keep: float = Field(description="share of the held-out retain rows' probability that was to stay")


class TargetReport(Aims):
    """What a run was to reach, and whether it did, by all measured rows."""

    forget_reached: bool = Field(
        validation_alias=AliasChoices("forget_reached", "reached"), description="whether the forget half was reached"
    )
    retain_reached: bool = Field(
        validation_alias=AliasChoices("retain_reached", "kept"), description="whether the retain half was reached"
    )
    retain_share: float | None = Field(
        description="share of the held-out retain rows' probability that is left; null without such rows"
    )
    forget: float | None = Field(None, description="mean probability of the forget rows after training")
    rows_above: int = Field(description="forget rows above row_level")
    rows_known: int = Field(0, description="of those, rows that still have over half of what they had above the level")
    rows: int = Field(description="forget rows that were measured")
    worst: dict[str, float] = Field(description="ids of the likeliest forget rows, likeliest first")
    steps: int = Field(default=0, description="steps until training ended")
    best_step: int | None = Field(default=None, description="step whose weights were kept")


class EfficiencyReport(Part):
    """What a run cost, beside training anew without the rows. Without a counter of the device the energy is not known."""

    seconds: float = Field(description="of the whole run, measuring included, and the time before a resume")
    energy_joules: float | None = Field(description="null where the device does not tell, and of a resumed run")
    energy_source: str | None = Field(description="what was read")
    tokens: int = Field(description="that training ran with gradient")
    retraining_tokens: int | None = Field(
        description="of five epochs over the retain rows, as TOFU teaches its models; a model from scratch takes far more"
    )
    share_of_retraining: float | None = Field(description="tokens over retraining_tokens")


class ArtifactReport(Part):
    """What was written, and how well it reads back."""

    kind: Literal["adapter", "model", "logit_difference", "logit_offset", "reinforced_difference"] = Field(
        description="an adapter, a whole model, or how the logits of two passes are composed"
    )
    files: dict[str, str] = Field(description="name -> sha256")
    reload_max_diff: float | None = Field(description="largest difference of a token's log-probability after reading back")
    lora_b_nonzero: str | None = Field(default=None, description="trained lora_B matrices that are not zero, of all")


class CalibrationReport(Part):
    """`--calibrate`: the strongest unlearning that keeps a constraint."""

    expression: str = Field(description="the constraint, as it was given")
    scale: float = Field(description="share of the change of the weights that was kept; 1 is all")
    tried: list[tuple[float, bool]] = Field(description="scales tried, in order, and whether the constraint held")


class EarlierRun(Part):
    """A run that this run went on from, and what became of the rows that it forgot."""

    run: str = Field(description="its run folder")
    report_sha256: str = Field(description="of its report.json, as it was read")
    forget_sha256: str = Field(description="over the rows that it forgot, in order")
    split: str = Field(description="the name of these rows in this report")
    kept: str | None = Field(default=None, description="the name of the rows that it kept, where this run keeps others")
    probability: float | None = Field(default=None, description="of these rows after that run")
    before: float | None = Field(default=None, description="before this run")
    after: float | None = Field(default=None, description="after this run")
    returned: bool = Field(
        default=False,
        description="they are known again: their probability rose by more than 0.05 and beyond its interval",
    )


class GateReport(Part):
    """A `--fail-if` expression and what became of it."""

    expression: str = Field(description="the gate, as it was given")
    failed: bool = Field(description="whether it holds or cannot be told")
    reason: str | None = Field(default=None, description="why it has no value, or which runs it holds for")
    in_words: str | None = Field(
        default=None,
        validation_alias=AliasChoices("in_words", "told"),  # its name in reports of earlier versions
        description="the expression with the values that decided, in words",
    )


class AttackLine(Part):
    """One attack on the run, in a line; the whole is in `attacks/NAME/report.json`."""

    verdict: str = Field(description="what the attack brought back, in a sentence")
    recovery: float | None = Field(description="largest normalized recovery, by the attack's `shown_metric`")
    upper_bound: bool = Field(description="no baseline was attacked alike: counted from a score of 0")
