"""`unlearn evaluate`: measure a run or any model again, score it, and judge it by gates."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from unlearn_cli.config import EvaluateConfig, restored, without_consents
from unlearn_cli.console import Reporter
from unlearn_cli.contract import METRICS
from unlearn_cli.data import row_notes
from unlearn_cli.data.example import Split
from unlearn_cli.data.load import unordered_sha256
from unlearn_cli.data.tokenize import make_encoder
from unlearn_cli.data.written import AUTO
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.store import load_measured
from unlearn_cli.lineage import statements
from unlearn_cli.measured import Measured
from unlearn_cli.models import harness, memory
from unlearn_cli.models.device import resolve_device, resolve_dtype
from unlearn_cli.models.environment import environment
from unlearn_cli.models.load import LoadedModel, load_model, load_tokenizer, quantization_of
from unlearn_cli.models.process import undisturbed
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.auditing import chain
from unlearn_cli.recipes.forgetting.describe import model_report
from unlearn_cli.recipes.forgetting.interrupt import keeping
from unlearn_cli.recipes.forgetting.resume import identified
from unlearn_cli.recipes.scoring import splits, superseded
from unlearn_cli.recipes.scoring.evaluation import Evaluation
from unlearn_cli.recipes.scoring.measurements import Store, measure_inputs, stored
from unlearn_cli.recipes.scoring.scores import comparable_moments, protocol_differences
from unlearn_cli.recipes.scoring.splits import Input
from unlearn_cli.recipes.storage.lock import locked
from unlearn_cli.recipes.storage.run_folder import RunFolder
from unlearn_cli.report import EVALUATION, ROWS, RunReport, read_report
from unlearn_cli.report_parts import ModelReport

FROM_RUN = (
    "forget", "retain", "retain_held_out", "retain_eval", "holdout", "benchmark", "benchmark_dir", "columns", "limit",
    "chat_template", "enable_thinking", "reasoning", "max_length", "stride",
    "eval_limit", "generate_limit", "max_new_tokens", "bootstrap_samples", "no_general", "no_text",
    "load_in_4bit", "load_in_8bit", "dtype", "attn_implementation",
)  # fmt: skip
OF_WEIGHTS = ("load_in_4bit", "load_in_8bit", "dtype", "attn_implementation")  # a model made from a run has its own


@undisturbed()
def run(
    config: EvaluateConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter
) -> tuple[RunReport, Path]:
    """Measure, score and judge. Returns the report and its path; failed gates are in it.

    Raises:
        UnlearnError: a problem that the user can fix.
    """
    if config.lineage:
        _check_derived(config)
    folder = config.output_dir or config.run
    assert folder is not None
    with locked(folder, "-o DIR writes the evaluation into another folder"):
        return _run(config, sources, command_line, reporter, folder)


def _run(
    config: EvaluateConfig, sources: dict[str, str], command_line: list[str], reporter: Reporter, folder: Path
) -> tuple[RunReport, Path]:
    """See `run`. No other process writes into the folder meanwhile."""
    if config.lm_eval:
        harness.check_installed()
    origin = config.run or config.lineage  # the run whose rows, settings and scores before are used
    run_report = read_report(origin) if origin else None
    config, sources = _with_run(config, sources, run_report)
    evaluation = Evaluation(config, sources, command_line, reporter)
    metrics = tuple(METRICS.canonical(name) for name in config.metrics or METRICS.names())
    target = folder / EVALUATION if config.run and folder.resolve() == config.run.resolve() else folder
    superseded.check_target(target)
    _check_baseline_models(config, run_report)
    texts = splits.load_splits(config, config.run, trained=sources.get("benchmark") == str(config.run))
    if not texts:
        raise UnlearnError("no rows to measure", "--forget forget.jsonl --retain retain.jsonl")
    for note in row_notes.notes(texts):
        reporter.note(note)
    if config.retain == AUTO and "retain" not in texts:
        reporter.note(f"the retain rows that the model wrote are not measured: {config.run} keeps no texts")
    _note_other_data(run_report, texts, reporter)
    measured_folder = folder / "measured"
    with keeping("splits measured so far"):
        measured = _measure(
            config, texts, measured_folder, "after", reporter, run_report.model if run_report and config.run else None
        )
        inputs, after = measured.inputs, measured.scores
        moments = {"after": after}
        baselines = {
            model: _measure(_as_baseline(config, model), texts, measured_folder, f"baseline{number or ''}", reporter).scores
            for number, model in enumerate(config.baseline)
        }
    _check_protocols(after, baselines)
    if run_report is not None and origin is not None:
        before = _before(run_report, inputs, origin, any_precision=config.lineage is not None)
        moments = comparable_moments(moments | before, reporter.note)
    scores = evaluation.score(moments, metrics, baselines)
    data = {name: split.report() for name, split in inputs.items()}
    if lost := superseded.superseded_evaluation(target, data, scores):
        reporter.note(lost)
    report, path = evaluation.finish(
        moments, metrics, scores, target, run_report,
        environment=environment(measured.placement),
        model=measured.model, data=data,
        harness=measured.harness, peak_memory=memory.peak(resolve_device(config.device)), texts=RunFolder(folder).texts(),
    )  # fmt: skip
    if config.run and config.run.resolve() in path.resolve().parents:
        chain.extend(config.run, "evaluate", command_line, [path, path.with_name(ROWS), *chain.measurements(config.run)])
    if config.lineage:
        _add_derived(config, config.lineage, path, command_line, reporter)
    return report, path


def _with_run(
    config: EvaluateConfig, sources: dict[str, str], report: RunReport | None
) -> tuple[EvaluateConfig, dict[str, str]]:
    """The settings; those that were not given are the run's, from its report."""
    if report is None:
        return config, sources
    values: dict[str, Any] = {}
    for name, value in without_consents(EvaluateConfig, {"retain_held_out": 0.0} | report.config).items():
        if name in FROM_RUN and not (config.lineage and name in OF_WEIGHTS) and sources.get(name, "default") == "default":
            values[name] = value
    if not config.model:
        values["model"] = str(config.run)
    filled = restored(EvaluateConfig, {**config.model_dump(), **values}, granted=config)
    return filled, {**sources, **dict.fromkeys(values, str(config.run or config.lineage))}


def _check_derived(config: EvaluateConfig) -> None:
    """Check that the model can be added to the lineage of the run.

    Raises:
        UnlearnError: the model is no folder, or the run has no lineage.
    """
    assert config.lineage is not None
    if not Path(config.model).is_dir():
        raise UnlearnError(f"--lineage: {config.model} is not a folder", "a model that was made from the run is expected")
    if not statements(config.lineage):
        raise UnlearnError(f"{config.lineage} has no lineage", "a run that this version of `unlearn forget` wrote")


def _add_derived(config: EvaluateConfig, run: Path, report: Path, command_line: list[str], reporter: Reporter) -> None:
    """Add the model and its report to the lineage of the run from which the model was made."""
    inside = [path for path in (report, report.with_name(ROWS)) if run.resolve() in path.resolve().parents]
    with locked(run):
        loading = {name: getattr(config, name) for name in OF_WEIGHTS[:3]}
        place = chain.derive(run, Path(config.model), "evaluate", command_line, inside, loaded=loading)
    reporter.say(f"added to the lineage of {run} as {place}")


def _note_other_data(report: RunReport | None, texts: Mapping[str, Split], reporter: Reporter) -> None:
    """Note the splits whose rows are not those of the run."""
    for name, split in texts.items():
        if report is not None and name in report.data and report.data[name].sha256 != split.origin.sha256:
            reordered = report.data[name].unordered_sha256 == unordered_sha256(split.examples)
            what = "are those of the run in another order" if reordered else "are not those of the run"
            reporter.note(f"the {name} rows {what}: the scores before are left out")


HARNESS_BATCH = 8


class MeasuredModel(NamedTuple):
    """What was measured of one model."""

    inputs: dict[str, Input]
    scores: dict[str, Measured]
    model: ModelReport | None
    harness: dict[str, dict[str, float]] = {}
    placement: dict[str, int] = {}  # weights on each device, if the model was loaded and spread over several


def _measure(
    config: EvaluateConfig,
    texts: Mapping[str, Split],
    folder: Path,
    moment: str,
    reporter: Reporter,
    known: ModelReport | None = None,
) -> MeasuredModel:
    """Measure a model, or read what was measured of it before.

    `known` is the part about the model in the run's report. It is written again, whether the model is loaded or not.
    """
    model_config, key = identified(config)
    source = resolve_source(config.model, config.revision, config.base)
    tokenizer, stops = load_tokenizer(source, config)
    limit = getattr(model_config.get_text_config(), "max_position_embeddings", None)
    encoder = make_encoder(config, tokenizer, stops, limit)
    inputs = splits.make_inputs(texts, encoder, config.eval_limit, reporter.note)
    if known is not None:
        dtype = str(resolve_dtype(config.dtype, model_config, resolve_device(config.device))).removeprefix("torch.")
        changes = {"dtype": dtype, "quantization": quantization_of(config, model_config)}
        changes |= {"model": source.location, "revision": source.revision, "chat_template_sha256": encoder.template_sha256}
        known = known.model_copy(update=changes)
    cached = stored(inputs, key, config, folder, moment)
    tasks = config.lm_eval if moment == "after" else ()
    if len(cached) == len(inputs) and moment == "after" and config.run is not None and not tasks:
        reporter.say("cached: measured before with the same weights, data and settings")
        return MeasuredModel(inputs, cached, known)
    reporter.say(f"loading {config.model}")
    loaded: LoadedModel = load_model(config)
    for note in loaded.notes:
        reporter.note(note)
    measured = measure_inputs(loaded, inputs, config, moment, reporter, store=Store(key, folder))
    results: dict[str, dict[str, float]] = {}
    if tasks:
        reporter.say(f"running the evaluation harness: {', '.join(tasks)}")
        results = harness.run_harness(loaded, tasks, config.lm_eval_limit, HARNESS_BATCH)
    return MeasuredModel(inputs, measured, known or model_report(loaded, encoder), results, dict(loaded.placement))


def _check_protocols(after: Mapping[str, Measured], baselines: Mapping[str, Mapping[str, Measured]]) -> None:
    """Refuse a baseline whose tokenizer or template writes the rows otherwise.

    Raises:
        UnlearnError: it does.
    """
    for baseline in baselines.values():
        for difference in protocol_differences({"after": after, "baseline": baseline}).values():
            hint = "its tokenizer or chat template is another one: --chat-template none, or a file for both"
            raise UnlearnError(difference, hint)


def _as_baseline(config: EvaluateConfig, model: str) -> EvaluateConfig:
    """A baseline, loaded in the precision of the model under test."""
    dtype = resolve_dtype(config.dtype, identified(config)[0], resolve_device(config.device))
    update = {"model": model, "revision": None, "base": None, "dtype": str(dtype).removeprefix("torch.")}
    return config.model_copy(update=update)


def _check_baseline_models(config: EvaluateConfig, report: RunReport | None) -> None:
    """Refuse a baseline whose weights are those of the model under test, of the model that the run started from, or of
    another baseline.

    Raises:
        UnlearnError: it has the weights of one of them.
    """
    hint = "give a model trained without the forget rows"
    keys: dict[str, str] = {}
    for model in config.baseline:
        key = identified(_as_baseline(config, model))[1]
        if key == identified(config)[1]:
            raise UnlearnError("--baseline is the model under test itself", hint)
        if key in keys:
            raise UnlearnError(f"--baseline {model} is the model {keys[key]} again", "each baseline is another training")
        keys[key] = model
    if report is None or not keys:
        return
    start = {"model": report.config["model"], "revision": report.config.get("revision")}
    same = False
    with suppress(UnlearnError):  # the model that the run started from may be gone
        same = identified(config.model_copy(update=start))[1] in keys
    if same:
        raise UnlearnError("--baseline is the model that the run started from, and it knows the forget rows", hint)


def _before(
    report: RunReport, inputs: Mapping[str, Input], run: Path, *, any_precision: bool
) -> dict[str, dict[str, Measured]]:
    """The run's measurements before training, of the splits whose rows are the same.

    `any_precision`: the precision may differ, as for a rounded model: its rounding is what is tested.
    """
    before = {}
    for name, data in inputs.items():
        same = name in report.data and report.data[name].sha256 == data.split.origin.sha256
        measured = load_measured(run / "measured", f"before-{name}") if same else None
        if measured is not None and measured.ids == tuple(row.id for row in data.measured_rows):
            parts = {part: value for part, value in measured.protocol.items() if part != "precision" or not any_precision}
            before[name] = replace(measured, protocol=parts)
    return {"before": before} if before else {}
