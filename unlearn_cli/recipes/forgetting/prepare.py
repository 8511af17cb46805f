"""The second stage of a run: what the first training step needs, such as model, rows, reference and optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from unlearn_cli.contract import ROBUST
from unlearn_cli.data.general_ability import GENERAL
from unlearn_cli.data.row_notes import cut_notes
from unlearn_cli.data.tokenize import Row
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.evaluation.store import copy_measured
from unlearn_cli.measured import Measured
from unlearn_cli.models import adapter, lora_init, memory, ranks
from unlearn_cli.models.compose import Composed
from unlearn_cli.models.depth import shallow
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.process import seed_everything
from unlearn_cli.models.reach import Reach
from unlearn_cli.models.reference import StoredReference
from unlearn_cli.models.run_files import ABOUT
from unlearn_cli.models.threads import Threads, choose_threads
from unlearn_cli.models.trial import try_training
from unlearn_cli.recipes.forgetting import about, footprint
from unlearn_cli.recipes.forgetting.never_taught import measure_baseline
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.forgetting.resume import open_folder
from unlearn_cli.recipes.forgetting.settings import CompleteConfig
from unlearn_cli.recipes.forgetting.target import NotKnown, RunTarget, find_level, find_target
from unlearn_cli.recipes.forgetting.training_rows import direction_of, make_rows, stored_reference, stored_states
from unlearn_cli.recipes.forgetting.written_retain import neutral_rows, with_written_rows
from unlearn_cli.recipes.scoring import splits
from unlearn_cli.recipes.scoring.measurements import Store, measure_inputs
from unlearn_cli.recipes.scoring.splits import Input
from unlearn_cli.training.checkpoint import Checkpoints
from unlearn_cli.training.gradients import Gradients
from unlearn_cli.training.loop import StepRecord, Trainer
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.optimizer import make_optimizer, rate_at
from unlearn_cli.training.pairing import Pairing
from unlearn_cli.training.passes import Passes, Rows
from unlearn_cli.training.target import AIM, rate_with_target
from unlearn_cli.training.workbench import ProcedureRun, Workbench


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready for its first step: the model is loaded and measured, and has its adapter."""

    resolved: ResolvedRun
    loaded: LoadedModel
    reach: Reach | None  # the weights that LoRA adapts
    before: Mapping[str, Measured]  # split -> measurements of the model before
    trainer: Trainer  # a procedure's trains its base method
    procedure: ProcedureRun | None
    pairing: Pairing
    parameters: list[tuple[str, torch.nn.Parameter]]  # names and trained parameters
    checkpoints: Checkpoints | None  # None: a procedure writes none
    checkpointing: bool  # activations are recomputed
    aim: RunTarget | NotKnown | None  # what the result is judged by, or why no step is made; None: neither
    threads: Threads | None = None  # CPU threads

    @property
    def judged_by(self) -> RunTarget | None:
        """The target that the result is judged by; None without one."""
        return self.aim if isinstance(self.aim, RunTarget) else None

    @property
    def target(self) -> RunTarget | None:
        """The target that training pursues; None: training has a fixed schedule."""
        return self.judged_by if self.procedure is None else None

    @property
    def model(self) -> LoadedModel:
        """The model in its current state."""
        return self.procedure.bench.loaded if self.procedure else self.loaded

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.procedure.steps if self.procedure else self.trainer.steps

    def records(self, start: int) -> Iterator[StepRecord]:
        """Train from step `start`. A procedure always starts at its beginning."""
        return self.procedure.records() if self.procedure else self.trainer.train(start)


def prepare(run: ResolvedRun, load: Callable[..., LoadedModel], measured: Path | None) -> PreparedRun:
    """Load the model, open the run folder, measure, and create everything that a step needs.

    Args:
        run: the resolved run.
        load: the function that loads the model.
        measured: a folder of measurements; they are used if weights, rows and settings are the same.

    Raises:
        UnlearnError: the model cannot be loaded, a step of training fails on it, or the folder holds another run.
    """
    config, reporter = run.config, run.reporter
    seed_everything(config.seed, deterministic=config.deterministic)
    baseline = ranks.on_model(lambda: measure_baseline(run))
    with run.clock.phase("load"):
        reporter.say(f"loading {config.model}")
        loaded, threads, reach = ranks.together(lambda: _loaded(run, load))
        if reach is not None and run.objective.method.trains == "all":
            (reporter.note if reach.notable else reporter.say)(reach.summary())
        _print_notes(run, loaded)
        open_folder(run)
        if run.written and not config.no_text:
            about.keep(run.folder, *run.written)
    if run.unanswered:
        with run.clock.phase("write retain rows"):
            run = with_written_rows(run, loaded, beside=measured.parent if measured else None)
    with run.clock.phase("load"):
        if measured is not None:
            for name in run.inputs:
                copy_measured(measured, run.folder.measured, f"before-{name}")
    with run.clock.phase("measure before"):
        store = Store(run.model_key, run.folder.measured)
        before = ranks.on_model(lambda: measure_inputs(loaded, run.inputs, config, "before", reporter, store=store))
    with run.clock.phase("prepare"):
        aim = ranks.on_model(lambda: find_target(run, loaded, before, baseline))
        level = aim.aims.level if isinstance(aim, RunTarget) else None
        if aim is None:
            level = ranks.on_model(lambda: find_level(run, loaded, before, baseline))
        prepared = make_trainer(run, loaded, before, reach, aim, level)
    run.folder.write_spec(run.spec, steps=prepared.steps)
    return replace(prepared, threads=threads)


def _loaded(run: ResolvedRun, load: Callable[..., LoadedModel]) -> tuple[LoadedModel, Threads, Reach | None]:
    """The model, after a trial step of training; the number of threads; and the reach of LoRA."""
    loaded = load(run.config, trainable=True)
    threads = choose_threads(loaded, run.config.threads)
    modules = run.objective.adapted_modules(loaded.model, run.composition)
    return loaded, threads, try_training(loaded, run.config, modules=modules)


def _print_notes(run: ResolvedRun, loaded: LoadedModel) -> None:
    """Print notes on model and rows, before the long part of the run."""
    note, encoder = run.reporter.note, run.encoder
    inputs = {name: data for name, data in run.inputs.items() if name not in GENERAL}
    if loaded.quantization == "nf4" and loaded.device.type == "cpu" and run.config.device == "auto":
        note("4-bit on a CPU saves memory, not time (--device cpu silences this)")
    for text in loaded.notes:
        note(text)
    for part in filter(None, (loaded.source.adapter, loaded.source)):
        if (Path(part.location) / ABOUT).is_file():
            note(f"{part.location} is a run of `unlearn forget`: 'before' means after that run")
    if encoder.chat_template is None and any(x.split.examples[0].style != "text" for x in inputs.values()):
        note("the tokenizer has no chat template: prompts are plain text (--chat-template FILE gives one)")
    for text in cut_notes({name: data.rows for name, data in inputs.items()}, encoder.max_length):
        note(text)


def make_trainer(
    run: ResolvedRun,
    loaded: LoadedModel,
    before: Mapping[str, Measured],
    reach: Reach | None,
    aim: RunTarget | NotKnown | None = None,
    level: float | None = None,
) -> PreparedRun:
    """Create rows, reference, adapter and optimizer, and the workbench of a procedure."""
    config, settings, objective = run.config, run.settings, run.objective
    target = aim if isinstance(aim, RunTarget) and settings.has_target else None
    rows = make_rows(run, loaded)
    if "direction" in objective.method.needs:
        objective = replace(objective, direction=direction_of(run, loaded, rows))
    pairing = settings.pairing(len(rows.forget), len(rows.retain))
    steps = settings.steps(pairing)
    with run.clock.phase("reference"):
        stored = stored_reference(run, loaded, rows, before.get("forget"))
        states = stored_states(run, loaded, rows, pairing, steps)
    neutral: Sequence[Row] = ()
    if settings.procedure and "neutral" in settings.procedure.distills:
        neutral = ranks.on_model(lambda: neutral_rows(run, loaded))
    _attach(run, loaded, rows)
    checkpointing = ranks.once(lambda: footprint.wants_checkpointing(settings, loaded, rows))
    if checkpointing:
        adapter.enable_checkpointing(loaded)
        if loaded.device.type == "cpu":  # memory is short, or the user wants less of it
            memory.give_freed_back()
    parameters = adapter.trainable_parameters(loaded.model)
    tensors = [tensor for _, tensor in parameters]
    schedule = partial(rate_at, shape=config.lr_scheduler_type, warmup_ratio=config.warmup_ratio)
    optimizer = make_optimizer(
        tensors, config.optim, device=loaded.device, full=config.full, weight_decay=config.weight_decay
    )
    trainer = Trainer(
        passes=replace(_passes(run, loaded, objective, rows, stored), states=states),
        pairing=pairing,
        optimizer=optimizer,
        parameters=tensors,
        rate=(lambda step: schedule(step, steps, peak=settings.learning_rate))
        if target is None
        else partial(rate_with_target, peak=settings.learning_rate),
        level=AIM * target.aims.level if target else None,
        steps=steps,
        accumulation=ranks.once(lambda: footprint.passes_of_a_step(settings, loaded, rows)),
        max_grad_norm=config.max_grad_norm,
        rule=_rule(config),
        view=_view(run, loaded),
    )
    procedure = _procedure(run, loaded, trainer, schedule, level, neutral)
    checkpoints = Checkpoints(run.folder.checkpoints, run.spec.sha256, parameters, optimizer, trainer.state)
    return PreparedRun(
        resolved=run,
        loaded=loaded,
        reach=reach,
        before=before,
        trainer=trainer,
        procedure=procedure,
        pairing=pairing,
        parameters=parameters,
        checkpoints=None if procedure else checkpoints,
        checkpointing=checkpointing,
        aim=aim,
    )


def _rule(config: CompleteConfig) -> Callable[[Gradients], Any]:
    """The function that computes the gradient of a step."""
    if config.robust == "none":
        return Gradients.backward
    return partial(ROBUST.get(config.robust).function, **config.robust_parameters)


def _procedure(
    run: ResolvedRun,
    loaded: LoadedModel,
    trainer: Trainer,
    schedule: Callable[..., float],
    level: float | None,
    neutral: Sequence[Row],
) -> ProcedureRun | None:
    """The procedure with its workbench; None if the method is not a procedure."""
    settings = run.settings
    procedure, parameters = settings.procedure, settings.config.parameters
    if procedure is None:
        return None
    bench = Workbench(loaded, trainer, settings.epochs, settings.learning_rate, schedule, neutral)
    if level is not None:
        bench.level = level
    return ProcedureRun(bench, procedure, parameters, procedure.steps(bench, **parameters))


def _attach(run: ResolvedRun, loaded: LoadedModel, rows: Rows) -> None:
    """Make an adapter, or all weights, trainable."""
    config, objective = run.config, run.objective
    modules = objective.adapted_modules(loaded.model, run.composition)
    adapter.attach(loaded, config, seed=config.seed, modules=modules)
    if config.lora_init != "default" and not config.full:
        lora_init.initialize(
            loaded, config.lora_init, rows.forget, _spread_rows(splits.training_retain(run.inputs), len(rows.forget)),
            batch=config.batch_size * config.gradient_accumulation_steps,
            path=run.folder.reference / "lora_init.safetensors",
        )  # fmt: skip


def _passes(run: ResolvedRun, loaded: LoadedModel, objective: Objective, rows: Rows, stored: StoredReference) -> Passes:
    """The forward passes of training. A method on combined logits trains the composed model."""
    composition = run.composition if objective.method.applied == "logit_offset" else None
    model = Composed(loaded.model, composition) if composition else loaded.model
    layout = replace(loaded.layout, own_head=False) if composition else loaded.layout
    return Passes(model, layout, loaded.device, objective, rows, stored, adapter.reference_weights)


def _spread_rows(data: Input | None, count: int) -> Sequence[Row]:
    """At most `count` rows, evenly spread over the split."""
    return [data.rows[i] for i in spread(len(data.rows), count)] if data else []


def _view(run: ResolvedRun, loaded: LoadedModel) -> Callable[[], AbstractContextManager]:
    """A factory of contexts in which the model is the assistant alone, for methods that train only the assistant."""
    blocks = run.composition.blocks if run.composition else None
    if blocks is None or run.objective.method.applied == "logit_offset":
        return nullcontext
    return lambda: shallow(loaded.model, blocks)
