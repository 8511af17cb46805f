"""Measure inputs under a model, and keep the measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unlearn_cli.config import MeasuringOptions
from unlearn_cli.console import Reporter
from unlearn_cli.evaluation.measure import measure, spread
from unlearn_cli.evaluation.store import load_measured, save_measured
from unlearn_cli.measured import Measured
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.inputs import Input


def measuring_key(data: Input, identity: str, options: MeasuringOptions) -> str:
    """Fingerprint of weights, rows and settings: equal keys mean equal measurements."""
    return data.key(identity, options.generate_limit, options.max_new_tokens)


def stored(
    inputs: Mapping[str, Input], identity: str, options: MeasuringOptions, folder: Path, moment: str
) -> dict[str, Measured]:
    """The splits that `folder` holds measurements of, under exactly this identity and these settings."""
    found = {
        name: load_measured(folder, f"{moment}-{name}", measuring_key(data, identity, options))
        for name, data in inputs.items()
    }
    return {name: measured for name, measured in found.items() if measured is not None}


def measure_inputs(
    loaded: LoadedModel,
    inputs: Mapping[str, Input],
    identity: str,
    options: MeasuringOptions,
    folder: Path,
    moment: str,
    reporter: Reporter,
) -> dict[str, Measured]:
    """Measure every split, or read what is stored under the same key.

    Args:
        loaded: the model as it is to be measured.
        inputs: splits by name.
        identity: fingerprint of the weights.
        options: limits and generation settings.
        folder: where measurements are kept.
        moment: before, after or baseline; part of the file names.
        reporter: shows progress.
    """
    made = stored(inputs, identity, options, folder, moment)
    for name, data in inputs.items():
        if name in made:
            continue
        rows = data.measured_rows
        answers = sum((own is not None) + len(wrong) for own, wrong in data.others)
        total = len(rows) + answers + len(spread(len(rows), options.generate_limit))
        with reporter.progress(f"measuring {name} {moment}", total) as bar:
            made[name] = measure(
                loaded,
                name,
                rows,
                data.prompts(),
                rows_in_split=len(data.rows),
                generate=options.generate_limit,
                max_new_tokens=options.max_new_tokens,
                token_budget=options.token_budget,
                advance=bar.advance,
                others=data.others,
            )
        save_measured(made[name], folder, f"{moment}-{name}", measuring_key(data, identity, options))
    return made
