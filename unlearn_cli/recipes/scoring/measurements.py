"""Measure the inputs under a model, and store the measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from unlearn_cli.config import MeasuringOptions
from unlearn_cli.console import Reporter
from unlearn_cli.evaluation.measure import Plan, Questions, measure
from unlearn_cli.evaluation.store import load_measured, save_measured
from unlearn_cli.hashing import fingerprint
from unlearn_cli.measured import Measured
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.scoring.splits import Input


def measuring_key(data: Input, identity: str, options: MeasuringOptions) -> str:
    """A fingerprint of weights, rows and settings: equal keys mean equal measurements."""
    return fingerprint(identity, protocol(data, options), len(data.rows), options.grad_norms)


def protocol(data: Input, options: MeasuringOptions, precision: str = "") -> dict[str, str]:
    """The protocol of a split, in parts. Two measurements are comparable if the parts that both have are equal."""
    plan = _plan(data, options)
    answered = plan.answered(len(data.measured))
    generation = (plan.max_new_tokens, answered, data.texts_sha256)
    sampling = (*generation, plan.samples, plan.temperature, plan.top_p)
    parts = {
        "rows": data.rows_key,
        "other answers": data.others_key if data.others else "",
        "generated answers": fingerprint(generation) if answered else "",
        "sampled answers": fingerprint(sampling) if answered and plan.samples else "",
        "precision": precision,
    }
    return {name: value for name, value in parts.items() if value}


def _plan(data: Input, options: MeasuringOptions) -> Plan:
    return Plan(
        generate=data.generated(options.generate_limit),
        max_new_tokens=data.max_new_tokens or options.max_new_tokens,
        token_budget=options.token_budget,
        samples=options.samples,
        temperature=options.sample_temperature,
        top_p=options.sample_top_p,
        grad_norms=options.grad_norms,
    )


def stored(
    inputs: Mapping[str, Input], identity: str, options: MeasuringOptions, folder: Path, moment: str
) -> dict[str, Measured]:
    """The measurements in `folder` of the same weights, rows and settings, by split."""
    measured_or_none = {
        name: load_measured(folder, f"{moment}-{name}", measuring_key(data, identity, options))
        for name, data in inputs.items()
    }
    return {name: measured for name, measured in measured_or_none.items() if measured is not None}


class Store(NamedTuple):
    """The place where measurements of one model are stored."""

    identity: str  # fingerprint of the weights
    folder: Path


def measure_inputs(
    loaded: LoadedModel,
    inputs: Mapping[str, Input],
    options: MeasuringOptions,
    moment: str,
    reporter: Reporter,
    *,
    store: Store | None = None,
) -> dict[str, Measured]:
    """Measure every split, or read the measurements that are stored under the same key.

    Args:
        loaded: the model, in the state to be measured.
        inputs: splits by name.
        options: limits and generation settings.
        moment: before, after or baseline; a part of the file names.
        reporter: shows progress.
        store: where measurements are stored; None: nowhere, for weights without a fingerprint.
    """
    measurements = stored(inputs, store.identity, options, store.folder, moment) if store else {}
    precision = f"{loaded.dtype} {loaded.quantization}"
    without_run = moment == "after" and getattr(options, "run", True) is None  # then "after" would mean nothing
    when = "" if without_run else f" {moment}"
    for name, data in inputs.items():
        if name in measurements:
            continue
        questions = Questions(name, data.measured_rows, data.prompts(), len(data.rows), data.others)
        plan = _plan(data, options)
        with reporter.progress(f"measuring {name}{when}", plan.work(len(questions.rows), data.others)) as bar:
            measured = measure(loaded, questions, plan, bar.advance)
        measurements[name] = replace(measured, protocol=protocol(data, options, precision))
        if store:
            key = measuring_key(data, store.identity, options)
            save_measured(measurements[name], store.folder, f"{moment}-{name}", key, texts=not options.no_text)
    return measurements
