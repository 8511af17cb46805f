"""`unlearn forget --dry-run`: what would happen, from the data and the model's config, without its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

from unlearn_cli.config import ForgetConfig, default_of
from unlearn_cli.config.groups import OfflineOptions
from unlearn_cli.console import Reporter
from unlearn_cli.data.example import Split
from unlearn_cli.data.row_notes import cut_notes
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models import memory
from unlearn_cli.models.load import (
    LoadedModel,
    load_config,
    load_tokenizer,
    quantization_of,
    resolve_device,
    resolve_dtype,
)
from unlearn_cli.models.reach import Reach, reach, with_lora
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.forgetting.resolve import Settled, default_output, make_encoder, settle_model
from unlearn_cli.recipes.scoring import splits
from unlearn_cli.recipes.scoring.splits import Input
from unlearn_cli.report import finite
from unlearn_cli.training.loop import Rows
from unlearn_cli.training.pairing import Pairing

GIB = 2**30
SHOWN_TOKENS = 160
BRACKETS = (">>>", "<<<")  # which no chat template uses
SILENT = {*OfflineOptions.model_fields, "dry_run", "resume", "overwrite"}  # options that are no settings of a run
COUNTS = {
    "rows": "rows", "sequences": "sequences", "tokens": "tokens", "answer tokens": "answer_tokens",
    "truncated": "truncated_rows", "measured": "measured_rows",
}  # fmt: skip
NOTHING = {"robust": "none", "optim": "auto", "lora_init": "default"}


def tell(settled: Settled, texts: Mapping[str, Split], reporter: Reporter) -> None:
    """What `unlearn forget --dry-run` says; with --json the plan is on stdout as well.

    Raises:
        UnlearnError: the estimate does not fit the device.
    """
    told = show(settled, texts, reporter)
    if settled.config.json_output:
        reporter.data(dumps(told))
    check_fits(told, reporter)


def check_fits(told: Mapping[str, Any], reporter: Reporter) -> None:
    """Say that a plan fits.

    Raises:
        UnlearnError: it does not.
    """
    if not told["fits"]:
        needed, free = (told["memory"][name] / GIB for name in ("total", "free"))
        raise UnlearnError(
            f"does not fit: about {needed:.1f} GiB needed, {free:.1f} GiB free on {told['memory']['device']}",
            "cheapest first: --batch-size 1 --gradient-accumulation-steps 8, a shorter --max-length, --load-in-4bit",
        )
    reporter.say("fits")


def dumps(told: Mapping[str, Any]) -> str:
    """A plan as JSON text."""
    return json.dumps(finite(dict(told)), indent=2, ensure_ascii=False, default=str, allow_nan=False)


def show(settled: Settled, texts: Mapping[str, Split], reporter: Reporter) -> dict[str, Any]:
    """Show the plan; returns it as plain values, under the names of a report where it has them, memory in bytes."""
    source = resolve_source(settled.config.model, settled.config.revision, settled.config.base)
    config = load_config(source, settled.config)
    settle_model(settled, config)
    settled.fill_default("output_dir", default_output(settled.config))
    options = settled.config
    tokenizer, stops = load_tokenizer(source, options)
    encoder = make_encoder(options, tokenizer, stops, options.max_length)
    inputs = splits.make_inputs(texts, encoder, options.eval_limit, reporter.note)
    device = resolve_device(options.device)
    dtype = resolve_dtype(options.dtype, config, device)
    reached = _reach(settled, config, arrived=source.adapter is not None)
    needed = _estimate(settled, config, inputs, dtype)
    free, steps = memory.available(device), _steps(options, len(inputs["forget"].rows))

    reporter.show(_settings(settled))
    reporter.show(_data(options, inputs, steps))
    for note in cut_notes({name: data.rows for name, data in inputs.items()}, encoder.max_length):
        reporter.note(note)
    reporter.show(_rendered(encoder, inputs["forget"].rows[0], styled=reporter.styled))
    parts = {name: getattr(needed, name) for name in ("base", "adapter", "activations", "logits")}
    listed = ", ".join(f"{name} {value / GIB:.2f}" for name, value in parts.items())
    reporter.say(f"\nmemory, estimated: {needed.total / GIB:.2f} GiB ({listed}); free on {device}: {free / GIB:.1f} GiB")
    if reached is not None:
        (reporter.note if reached.notable else reporter.say)(reached.summary())
    return {
        "command": "forget",
        "lora_share": reached.share if reached else None,
        "config": options.model_dump(mode="json"),
        "config_sources": settled.sources,
        "data": {name: data.report().model_dump(mode="json") for name, data in inputs.items()},
        "steps": steps,
        "memory": {"total": needed.total, **parts, "free": free, "device": str(device)},
        "fits": needed.total <= free,
    }


def _reach(settled: Settled, config: Any, *, arrived: bool) -> Reach | None:
    """What LoRA will reach, seen on a model without weights; targets that cannot be are refused as in the run."""
    options, method = settled.config, settled.objective.method
    if options.full or arrived or method.trains != "all":
        return None
    return reach(with_lora(memory.skeleton(config, trust_remote_code=options.trust_remote_code), options, "planned"))


def _estimate(
    settled: Settled, config: object, inputs: Mapping[str, Input], dtype: torch.dtype, *, checkpointing: bool = False
) -> memory.Estimate:
    options = settled.config
    tokens, answers = _step_size(options, settled.objective.groups, {n: x.rows for n, x in inputs.items()})
    return memory.estimate(
        config,
        dtype=dtype,
        quantization=quantization_of(options, config),
        lora_r=options.lora_r,
        targets=options.lora_target_modules,
        full=options.full,
        tokens=tokens,
        answer_tokens=answers,
        checkpointing=checkpointing or options.activation_checkpointing == "on",
        trust_remote_code=options.trust_remote_code,
    )


def _step_size(options: ForgetConfig, groups: tuple[str, ...], rows: Mapping[str, tuple[Row, ...]]) -> tuple[int, int]:
    """Tokens and answer tokens of one pass with the longest rows it could meet."""
    counts = {"forget": options.batch_size, "retain": options.batch_size * options.retain_ratio}
    if "alternative" in groups:
        counts["forget"] *= 2
    chosen = []
    for name, count in counts.items():
        if name == "forget" or name in groups:
            chosen += sorted(rows.get(name, ()), key=lambda row: -len(row.input_ids))[:count]
    return sum(len(row.input_ids) for row in chosen), sum(row.answer_length for row in chosen)


def wants_checkpointing(options: ForgetConfig, loaded: LoadedModel, rows: Rows, groups: tuple[str, ...]) -> bool:
    """Whether activations are recomputed: as asked, or if the estimate without it does not fit what is free."""
    if options.activation_checkpointing != "auto":
        return options.activation_checkpointing == "on"
    tokens, answers = _step_size(options, groups, {"forget": tuple(rows.forget), "retain": tuple(rows.retain)})
    needed = memory.estimate(
        loaded.config, dtype=loaded.dtype, quantization=loaded.quantization, lora_r=options.lora_r,
        targets=options.lora_target_modules, full=options.full, tokens=tokens, answer_tokens=answers,
        checkpointing=False, trust_remote_code=options.trust_remote_code,
    )  # fmt: skip
    # The base is loaded already.
    return needed.total - needed.base > memory.available(loaded.device)


def _steps(options: ForgetConfig, rows: int) -> int:
    batch = options.batch_size * options.gradient_accumulation_steps
    return options.max_steps or Pairing(0, rows, 0, batch, 0).steps(options.epochs)


def _settings(settled: Settled) -> Table:
    table = Table(title="settings that are not defaults", box=None, title_justify="left", header_style="bold")
    for heading in ("", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name, value in settled.config.model_dump(mode="json").items():
        if _worth_telling(settled, name, value):
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            table.add_row(Text(name), Text(shown), Text(settled.sources[name]))
    return table


def _worth_telling(settled: Settled, name: str, value: Any) -> bool:
    """Neither a default, nor a method's word for doing nothing special, nor about what is shown."""
    origin, default = settled.sources.get(name, "default"), default_of(ForgetConfig.model_fields[name])
    if name in SILENT or value is None or origin == "default" or getattr(settled.config, name) == default:
        return False
    return not (origin.startswith("method ") and value == NOTHING.get(name))


def _data(options: ForgetConfig, inputs: Mapping[str, Input], steps: int) -> Table:
    """A line for each count and a column for each split, which fits a narrow terminal whatever the counts."""
    table = Table(title="\ndata", box=None, title_justify="left", header_style="bold")
    table.add_column("", overflow="fold")
    for name in inputs:
        table.add_column(name, justify="right", overflow="fold")
    reports = [data.report() for data in inputs.values()]
    for heading, field in COUNTS.items():
        table.add_row(heading, *(f"{getattr(report, field):,}" for report in reports))
    table.add_row("format", *(Text(report.format) for report in reports))
    batch, rows = options.batch_size * options.gradient_accumulation_steps, len(inputs["forget"].rows)
    table.caption = f"{steps} steps of {batch} forget rows = {steps * batch / rows:.1f} epochs"
    table.caption_justify = "left"
    return table


def _rendered(encoder: Encoder, row: Row, *, styled: bool) -> Text:
    """One row as the model sees it: the prompt dimmed, the scored answer bright, or in brackets where there is no style."""
    ids = row.input_ids.tolist()
    opening, closing, key = ("", "", "dim: seen but not scored") if styled else (*BRACKETS, f"{' '.join(BRACKETS)}: scored")
    shown = Text(f"\nfirst forget row ({key})\n", style="bold")
    shown.append(encoder.tokenizer.decode(ids[: row.answer_start][-SHOWN_TOKENS:]), style="dim")
    answer = encoder.tokenizer.decode(ids[row.answer_start :][:SHOWN_TOKENS])
    shown.append(f"{opening}{answer}{closing}", style="not dim green")
    if not styled:
        shown.append(f"\n({row.answer_start} tokens are not scored, {row.answer_length} are)", style="not bold")
    return shown
