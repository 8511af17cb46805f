"""The first stage of a run: its complete settings and its rows. No weights are read and no file is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

import torch

from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data import row_notes
from unlearn_cli.data.alternatives import differing
from unlearn_cli.data.example import Split
from unlearn_cli.data.held_out import RETAIN_TRAINED
from unlearn_cli.data.overlap import check_overlap
from unlearn_cli.data.tokenize import Encoder, make_encoder
from unlearn_cli.data.written import is_unanswered
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models import adapter, lora_init
from unlearn_cli.models.compose import Composition
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import LoadedModel, load_outline
from unlearn_cli.recipes.forgetting import about, earlier
from unlearn_cli.recipes.forgetting.ignored import ignored_notes
from unlearn_cli.recipes.forgetting.resolve import resolve_method, resolve_model, resolve_objective
from unlearn_cli.recipes.forgetting.settings import CompleteConfig, Settings
from unlearn_cli.recipes.forgetting.tracking import check_tracker
from unlearn_cli.recipes.scoring import splits
from unlearn_cli.recipes.scoring.splits import Input, check_questions
from unlearn_cli.recipes.storage.run_folder import RunFolder, default_output
from unlearn_cli.recipes.storage.run_spec import RunSpec
from unlearn_cli.training.objective import Objective


@dataclass(frozen=True)
class Clock:
    """The start of a run, and the seconds of each of its phases. They add up to the whole: none counts twice."""

    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seconds: dict[str, float] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)  # the phases that run, outermost first
    _since: list[float] = field(default_factory=lambda: [0.0])  # up to when they are counted

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the seconds of a phase. While one runs inside another, the outer one is not counted."""
        self.count()
        self._open.append(name)
        try:
            yield
        finally:
            self.count()
            self._open.pop()

    def count(self) -> None:
        """Bring `seconds` up to now."""
        now = time.perf_counter()
        if self._open:
            self.add({self._open[-1]: now - self._since[0]})
        self._since[0] = now

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count the seconds of phases, such as those of the session that a run is resumed from."""
        for name, more in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + more


NONE_HELD_OUT = (
    "no retain row is held out, because they are too few or all alike: what is kept is judged by rows that training sees, "
    "and damage to others does not show there (--retain-eval FILE gives rows that judge)"
)


@dataclass(frozen=True)
class ResolvedRun:
    """The complete settings of a run, and its rows."""

    settings: Settings
    outline: LoadedModel  # without weights
    encoder: Encoder
    inputs: Mapping[str, Input]  # split -> its rows
    unanswered: Mapping[str, Split]  # splits of prompts that the model itself answers before it is trained
    hashes: Mapping[str, str]  # split -> sha256 of its source
    composition: Composition | None  # how the adapter is applied; None: it is added
    reporter: Reporter
    clock: Clock = field(default_factory=Clock)
    written: tuple[str, about.Rows] | None = None  # --about: the key and the rows of `about.rows_of`

    @property
    def config(self) -> CompleteConfig:
        """The settings."""
        return self.settings.config

    @property
    def objective(self) -> Objective:
        """The method and the retain term; those of its base for a procedure."""
        return self.settings.objective

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        assert self.config.output_dir is not None
        return RunFolder(self.config.output_dir)

    @cached_property
    def model_key(self) -> str:
        """Fingerprint of the model before training."""
        outline = self.outline
        return identity(outline.source, self.config, str(outline.dtype), outline.device.type)

    @cached_property
    def spec(self) -> RunSpec:
        """The run spec: everything that decides the result."""
        return RunSpec.of(self.config, self.model_key, self.hashes)


def resolve_run(config: ForgetConfig, sources: Mapping[str, str], reporter: Reporter) -> ResolvedRun:
    """Fill in the settings that were not given, read the rows, and refuse runs that cannot work.

    Raises:
        UnlearnError: settings, data or the model cannot be used, as far as this is known without weights.
    """
    check_tracker(config.report_to)
    config, sources = earlier.continued(config, sources)
    key, rows = "", None
    if config.about:
        config = about.with_places(config)
        written = ["forget", *(["retain"] if about.is_written(config.retain) else [])]
        sources = {**sources, **dict.fromkeys(written, "--about")}
    settings = resolve_method(config, sources)
    if config.output_dir is None:
        settings = settings.filled("default", output_dir=default_output(config))
    if config.about:
        key, rows = about.rows_of(config, reporter)
        texts = about.as_splits(config, rows)
        if config.dry_run:
            about.show(rows, reporter)
    else:
        texts = splits.load_splits(settings.config)
    if config.run:
        texts |= earlier.earlier_splits(config, texts)
    check_overlap(texts, allow=config.allow_overlap)
    if "alternative" in settings.objective.groups:
        differing(example for example in texts["forget"].examples if example.alternatives)
    for note in row_notes.notes(texts):
        reporter.note(note)
    trains = settings.objective.retain_groups or settings.procedure
    if trains and settings.config.retain_held_out and "retain" in texts and RETAIN_TRAINED not in texts:
        reporter.note(NONE_HELD_OUT)
    resolved = resolve_on_model(settings, texts, reporter)
    return replace(resolved, written=(key, rows)) if rows else resolved


def resolve_on_model(settings: Settings, texts: Mapping[str, Split], reporter: Reporter) -> ResolvedRun:
    """Fill in the settings that depend on the model, and tokenize the rows. Reads the model's config and tokenizer only.

    Raises:
        UnlearnError: the model does not allow the method or an option; a phrase or a template cannot be used; rows do not
            fit; the method trains on alternative answers, and the rows are raw documents.
    """
    outline = load_outline(settings.config)
    _check_model(settings, outline)
    has_adapter = outline.source.adapter is not None
    for note in ignored_notes(settings, has_adapter=has_adapter):
        reporter.note(note)
    settings = resolve_objective(resolve_model(settings, outline.config), outline.config, outline.tokenizer)
    config, objective = settings.config, settings.objective
    encoder = make_encoder(config, outline.tokenizer, outline.stop_ids, config.max_length)
    unanswered = {name: split for name, split in texts.items() if is_unanswered(split)}
    answered = {name: split for name, split in texts.items() if name not in unanswered}
    inputs = splits.make_inputs(answered, encoder, config.eval_limit, reporter.note)
    if "alternative" in objective.groups or objective.context_groups:
        check_questions(texts["forget"].examples)
    return ResolvedRun(
        settings=settings,
        outline=outline,
        encoder=encoder,
        inputs=inputs,
        unanswered=unanswered,
        hashes={name: split.origin.sha256 for name, split in texts.items()},
        composition=Composition.of(objective.method.applied, config.parameters, outline.config.num_hidden_layers),
        reporter=reporter,
    )


def _check_model(settings: Settings, outline: LoadedModel) -> None:
    """Refuse methods and options that this model does not allow.

    Raises:
        UnlearnError: the model has an adapter or quantized weights, and the run uses --calibrate, --lora-init, a method
            that chooses its own modules, or a procedure that edits matrices; or the model lacks a LoRA target.
    """
    config, method, procedure = settings.config, settings.objective.method, settings.procedure
    has_adapter = outline.source.adapter is not None
    own_modules = (method.trains, method.applied) != ("all", "adapter")
    edits = procedure if procedure and settings.writes_model else None
    for needs_base, name in ((own_modules, method.name), (config.calibrate, "--calibrate"), (edits, edits and edits.name)):
        if needs_base and has_adapter:
            raise UnlearnError(f"{name} needs a model without an adapter", "start from the base, or merge first")
    adapter.check(outline, config, arrived=has_adapter, targets=method.trains == "all")
    if config.lora_init != "default":
        lora_init.check(outline, config.lora_init, arrived=has_adapter)
    if edits and (outline.quantization or outline.dtype != torch.float32):
        raise UnlearnError(f"{edits.name} changes weights by steps too small for {outline.dtype}", "--dtype float32")
