"""`unlearn forget --dry-run`: what would happen, from the data and the model's config, without its weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from rich.table import Table
from rich.text import Text

from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data.example import Split
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models import memory
from unlearn_cli.models.load import LoadedModel, load_config, load_tokenizer, resolve_device, resolve_dtype
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes import inputs as splits
from unlearn_cli.recipes.inputs import Input
from unlearn_cli.recipes.settle import Settled, default_output, make_encoder, settle_model
from unlearn_cli.training.loop import Rows
from unlearn_cli.training.pairing import Pairing

GIB = 2**30
SHOWN_TOKENS = 160


def show(settled: Settled, texts: Mapping[str, Split], reporter: Reporter) -> None:
    """Print the plan.

    Raises:
        UnlearnError: the estimate does not fit the device.
    """
    source = resolve_source(settled.config.model, settled.config.revision)
    config = load_config(source, settled.config)
    settle_model(settled, config)
    options = settled.config
    tokenizer, stops = load_tokenizer(source, options)
    encoder = make_encoder(options, tokenizer, stops, options.max_length)
    inputs = {name: splits.tokenized(split, encoder, options.eval_limit) for name, split in texts.items()}
    device = resolve_device(options.device)
    dtype = resolve_dtype(options.dtype, config, device)
    needed = _estimate(settled, config, inputs, dtype)

    settled.fill_default("output_dir", default_output(options))
    reporter.show(_settings(settled))
    reporter.show(_data(settled, inputs))
    reporter.show(_rendered(encoder, inputs["forget"].rows[0]))
    free = memory.available(device)
    parts = ", ".join(f"{name} {getattr(needed, name) / GIB:.2f}" for name in ("base", "adapter", "activations", "logits"))
    reporter.say(f"\nmemory, estimated: {needed.total / GIB:.2f} GiB ({parts}); free on {device}: {free / GIB:.1f} GiB")
    if needed.total > free:
        raise UnlearnError(
            f"does not fit: about {needed.total / GIB:.1f} GiB needed, {free / GIB:.1f} GiB free on {device}",
            "cheapest first: --batch-size 1 --gradient-accumulation-steps 8, a shorter --max-length, --load-in-4bit",
        )
    reporter.say("fits")


def _estimate(
    settled: Settled, config: object, inputs: Mapping[str, Input], dtype: torch.dtype, *, checkpointing: bool = False
) -> memory.Estimate:
    options = settled.config
    tokens, answers = _step_size(options, settled.objective.groups, {n: x.rows for n, x in inputs.items()})
    return memory.estimate(
        config,
        dtype=dtype,
        quantization="nf4" if options.load_in_4bit else "int8" if options.load_in_8bit else None,
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


def _settings(settled: Settled) -> Table:
    table = Table(title="settings that are not defaults", box=None, title_justify="left", header_style="bold")
    for heading in ("", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name, value in settled.config.model_dump(mode="json").items():
        if settled.sources.get(name) != "default" and value is not None and name != "dry_run":
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            table.add_row(Text(name), Text(shown), Text(settled.sources[name]))
    return table


def _data(settled: Settled, inputs: Mapping[str, Input]) -> Table:
    table = Table(title="\ndata", box=None, title_justify="left", header_style="bold")
    for heading in ("", "rows", "sequences", "tokens", "answer tokens", "truncated", "measured", "format"):
        table.add_column(heading, justify="left" if heading in ("", "format") else "right")
    for name, data in inputs.items():
        r = data.report()
        counts = (r.rows, r.sequences, r.tokens, r.answer_tokens, r.truncated_rows, r.measured_rows)
        table.add_row(name, *(f"{count:,}" for count in counts), r.format)
    options = settled.config
    batch = options.batch_size * options.gradient_accumulation_steps
    rows = len(inputs["forget"].rows)
    steps = options.max_steps or Pairing(0, rows, 0, batch, 0).steps(options.epochs)
    table.caption = f"{steps} steps of {batch} forget rows = {steps * batch / rows:.1f} epochs"
    table.caption_justify = "left"
    return table


def _rendered(encoder: Encoder, row: Row) -> Text:
    """One row as the model sees it: the prompt dimmed, the scored answer bright."""
    ids = row.input_ids.tolist()
    shown = Text("\nfirst forget row (dim: seen but not scored)\n", style="bold")
    shown.append(encoder.tokenizer.decode(ids[: row.answer_start][-SHOWN_TOKENS:]), style="dim")
    shown.append(encoder.tokenizer.decode(ids[row.answer_start :][:SHOWN_TOKENS]), style="not dim green")
    if not sys.stderr.isatty():
        shown.append(f"\n({row.answer_start} tokens are not scored, {row.answer_length} are)", style="not bold")
    return shown
