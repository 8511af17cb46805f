"""`unlearn forget --dry-run`: show a run's settings, rows and memory. It reads the data and the model's config only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from unlearn_cli.config import ForgetConfig, default_of
from unlearn_cli.config.groups import OfflineOptions
from unlearn_cli.console import Reporter
from unlearn_cli.data.row_notes import cut_notes
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import to_json
from unlearn_cli.models import memory
from unlearn_cli.models.reach import Reach, reach, with_lora
from unlearn_cli.recipes.forgetting import footprint
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.forgetting.settings import Settings
from unlearn_cli.recipes.forgetting.written_retain import inputs_to_write, plan_in_words
from unlearn_cli.recipes.scoring.splits import Input
from unlearn_cli.rendering.tables import UNBOUNDED, ResponsiveTable
from unlearn_cli.report_parts import DataReport

GIB = 2**30
SHOWN_TOKENS = 160
BRACKETS = (">>>", "<<<")  # no chat template uses them
HIDDEN = {*OfflineOptions.model_fields, "dry_run", "resume", "overwrite"}  # options that are not settings of a run
COUNTS = {
    "rows": "rows", "sequences": "sequences", "tokens": "tokens", "answer\ntokens": "answer_tokens",
    "cut": "truncated_rows", "measured": "measured_rows",
}  # fmt: skip
PARTS = {
    "process": "libraries", "base": "base", "adapter": "adapter", "copies": "copies and optimizer of the method",
    "step": "a step", "measuring": "or to measure",
}  # fmt: skip
NOTHING = {"robust": "none", "optim": "auto", "lora_init": "default"}  # values of a method that change nothing


def show_and_check(run: ResolvedRun) -> None:
    """Show the plan of a run; with --json, print it on stdout as well.

    Raises:
        UnlearnError: the run does not fit the device's memory.
    """
    plan = show(run)
    if run.config.json_output:
        run.reporter.data(to_json(plan))
    check_fits(plan, run.reporter)


def check_fits(plan: Mapping[str, Any], reporter: Reporter) -> None:
    """Check that the estimated memory is free on the device.

    Raises:
        UnlearnError: it is not.
    """
    if not plan["fits"]:
        needed, free, process = (plan["memory"][name] / GIB for name in ("total", "free", "process"))
        device = plan["memory"]["device"]
        raise UnlearnError(
            f"does not fit: about {needed - process:.1f} GiB more needed, {free:.1f} GiB free on {device}",
            "cheapest first: --batch-size 1 --gradient-accumulation-steps 8, a shorter --max-length, --load-in-4bit",
        )
    reporter.say("fits")


def show(run: ResolvedRun) -> dict[str, Any]:
    """Show a run's settings, rows and memory. Returns them under the names of a report's fields, memory in bytes."""
    reporter, device = run.reporter, run.outline.device
    inputs = {"forget": run.inputs["forget"], **inputs_to_write(run), **run.inputs}
    settings, forget = run.settings, run.inputs["forget"].rows
    steps, reached = settings.steps(settings.pairing(len(forget), 0)), _reach(run)
    spread = run.config.device_map != "none"
    free, place = memory.available(device, spread=spread), f"{device} and others" if spread else str(device)
    needed, again = _estimate(run, inputs, free)

    reporter.show(_settings(settings))
    reporter.show(_data(settings, inputs, steps))
    if run.unanswered:
        reporter.say(plan_in_words(run))
    for note in cut_notes({name: data.rows for name, data in inputs.items()}, run.encoder.max_length):
        reporter.note(note)
    reporter.show(_rendered(run.encoder, forget[0], styled=reporter.styled))
    parts = {name: getattr(needed, name) for name in PARTS}
    listed = ", ".join(f"{PARTS[name]} {value / GIB:.2f}" for name, value in parts.items() if value)
    reporter.say(f"\nmemory, estimated: {needed.total / GIB:.2f} GiB ({listed}); free on {place}: {free / GIB:.1f} GiB")
    if again:
        reporter.say("activations are computed twice, because they do not fit otherwise (--activation-checkpointing)")
    if reached is not None:
        (reporter.note if reached.notable else reporter.say)(reached.summary())
    return {
        "command": "forget",
        "lora_share": reached.share if reached else None,
        "config": run.config.model_dump(mode="json"),
        "config_sources": settings.sources,
        "data": {name: data.report().model_dump(mode="json") for name, data in inputs.items()},
        "steps": steps,
        "memory": {"total": needed.total, **parts, "free": free, "device": place},
        "fits": _fits(run, needed, free),
    }


def _reach(run: ResolvedRun) -> Reach | None:
    """The share of the weights that LoRA adapts, computed on a model without weights; None if no new adapter is trained."""
    config, outline = run.config, run.outline
    if config.full or outline.source.adapter is not None or run.objective.method.trains != "all":
        return None
    skeleton = memory.skeleton(outline.model.config, trust_remote_code=config.trust_remote_code)
    return reach(with_lora(skeleton, config, "planned"))


def _estimate(run: ResolvedRun, inputs: Mapping[str, Input], free: int) -> tuple[memory.Estimate, bool]:
    """The memory of the run; and whether it computes activations twice because it does not fit otherwise."""
    rows, process = {name: data.rows for name, data in inputs.items()}, memory.resident(run.outline.device)
    needed = footprint.estimate(run.settings, run.outline, rows, process=process)
    if run.config.activation_checkpointing != "auto" or _fits(run, needed, free):
        return needed, False
    again = run.settings.filled("memory", activation_checkpointing="on")
    return footprint.estimate(again, run.outline, rows, process=process), True


def _fits(run: ResolvedRun, needed: memory.Estimate, free: int) -> bool:
    """Whether the run fits. What does not fit of a spread base waits on the disk."""
    return needed.more - (needed.base if run.config.device_map != "none" else 0) <= free


def _settings(settings: Settings) -> Table:
    table = Table(title="settings that are not defaults", box=None, title_justify="left", header_style="bold")
    for heading in ("", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name, value in settings.config.model_dump(mode="json").items():
        if _is_shown(settings, name, value):
            text = f"{value:.4g}" if isinstance(value, float) else ",".join(value) if _is_words(value) else str(value)
            table.add_row(Text(name), Text(text), Text(settings.sources[name]))
    return table


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _is_shown(settings: Settings, name: str, value: Any) -> bool:
    """Whether a setting is shown: it is not a default, not a method's "none", and not hidden."""
    origin, default = settings.sources.get(name, "default"), default_of(ForgetConfig.model_fields[name])
    if name in HIDDEN or value is None or origin == "default" or getattr(settings.config, name) == default:
        return False
    return not (origin.startswith("method ") and value == NOTHING.get(name))


def _data(settings: Settings, inputs: Mapping[str, Input], steps: int) -> Group:
    """A line for each split and a column for each count; where they do not fit, the counts of a split in words.

    Counts that say nothing are left out: those that are the number of rows in every split, and rows cut if there are none.
    """
    reports = {name: data.report() for name, data in inputs.items()}
    headings = {h: field for h, field in COUNTS.items() if any(getattr(r, field) != _usual(r, h) for r in reports.values())}
    counts = {
        name: {heading: f"{getattr(report, field):,}" for heading, field in headings.items()}
        for name, report in reports.items()
    }

    def full() -> Table:
        table = Table(
            title="\ndata", box=None, title_justify="left", header_style="bold", padding=(0, 1, 0, 0), pad_edge=False
        )
        table.add_column("", no_wrap=True)
        for heading in headings:
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("format", overflow="fold")
        for name, report in reports.items():
            table.add_row(name, *counts[name].values(), Text(report.format))
        return table

    def narrow() -> Table:
        table = Table(
            title="\ndata", box=None, title_justify="left", show_header=False, padding=(0, 1, 0, 0), pad_edge=False
        )
        table.add_column("", no_wrap=True)
        table.add_column("", overflow="fold")
        for name, report in reports.items():
            words = ", ".join(f"{count} {heading.replace(chr(10), ' ')}" for heading, count in counts[name].items())
            table.add_row(name, Text(f"{words}, {report.format}"))
        return table

    rows = len(inputs["forget"].rows)
    batch = settings.pairing(rows, 0).batch
    length = f"{steps} steps of {batch} forget rows = {steps * batch / rows:.3g} epochs"
    caption = f"until the target is reached, at most {length}" if settings.has_target else length
    return Group(ResponsiveTable(full, narrow, usual=UNBOUNDED), Text(caption, style="italic"))


def _usual(report: DataReport, heading: str) -> int | None:
    """The count that says nothing."""
    return {"sequences": report.rows, "measured": report.rows, "cut": 0}.get(heading)


def _rendered(encoder: Encoder, row: Row, *, styled: bool) -> Text:
    """A row as the model sees it: the prompt dimmed, the scored answer bright. Without styles the answer is in brackets."""
    ids = row.input_ids.tolist()
    opening, closing, key = ("", "", "dim: seen but not scored") if styled else (*BRACKETS, f"{' '.join(BRACKETS)}: scored")
    rendered = Text(f"\nfirst forget row ({key})\n", style="bold")
    rendered.append(encoder.tokenizer.decode(ids[: row.answer_start][-SHOWN_TOKENS:]), style="dim")
    answer = encoder.tokenizer.decode(ids[row.answer_start :][:SHOWN_TOKENS])
    rendered.append(f"{opening}{answer}{closing}", style="not dim green")
    if not styled:
        rendered.append(f"\n({row.answer_start} tokens are not scored, {row.answer_length} are)", style="not bold")
    return rendered
