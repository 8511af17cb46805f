"""What a loaded model cannot be used for, and what a careful user would want to know before waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data.example import Split
from unlearn_cli.data.general_ability import GENERAL
from unlearn_cli.data.row_notes import cut_notes
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models import adapter, lora_init
from unlearn_cli.models.compose import Composition
from unlearn_cli.models.load import LoadedModel, load_outline
from unlearn_cli.models.trial import try_training
from unlearn_cli.recipes.forgetting.prepare import placed
from unlearn_cli.recipes.forgetting.resolve import Settled, make_encoder, settle_model, settle_objective
from unlearn_cli.recipes.forgetting.run_state import Run
from unlearn_cli.recipes.scoring.splits import Input, check_questions, make_inputs


def check_loaded(run: Run, loaded: LoadedModel) -> None:
    """Refuse what a model cannot be used for before any time is spent on it.

    Raises:
        UnlearnError: --calibrate, --lora-init, a place of the method's own or an edit of whole matrices on a model that
            arrived with an adapter or whose weights are rounded; targets of LoRA that the model does not have; a step of
            training that fails.
    """
    check_model(run.settled, loaded, arrived=hasattr(loaded.model, "peft_config"))
    config, method = run.config, run.settled.objective.method
    blocks = Composition.of(method.applied, config.parameters, loaded.config.num_hidden_layers)
    run.reach = try_training(loaded, config, modules=placed(loaded, run.settled.objective, blocks))
    if run.reach is not None and method.trains == "all":
        (run.reporter.note if run.reach.notable else run.reporter.say)(run.reach.summary())


def check_outline(settled: Settled, texts: Mapping[str, Split]) -> None:
    """Refuse, before any weight is read, what is seen without weights; a run and its dry run both do.

    Raises:
        UnlearnError: what `check_model` refuses; depths, phrases or templates that cannot be; rows without room for tokens;
            raw documents for a method that trains on other answers.
    """
    outline = load_outline(settled.config)
    check_model(settled, outline, arrived=outline.source.adapter is not None)
    settle_model(settled, outline.config)
    settle_objective(replace(settled), outline)
    encoder = make_encoder(settled.config, outline.tokenizer, outline.stop_ids, settled.config.max_length)
    make_inputs(texts, encoder, settled.config.eval_limit)
    if "alternative" in settled.objective.groups:
        check_questions(texts["forget"].examples)


def check_model(settled: Settled, loaded: LoadedModel, *, arrived: bool) -> None:
    """Refuse what a model, with or without its weights, cannot be used for; `arrived`: it brought an adapter.

    Raises:
        UnlearnError: see `check_loaded`.
    """
    config, method, procedure = settled.config, settled.objective.method, settled.procedure
    own_place = (method.trains, method.applied) != ("all", "adapter")
    if own_place and arrived:
        raise UnlearnError(f"{method.name} needs a model without an adapter", "start from the base, or merge first")
    adapter.check(loaded, config, arrived=arrived, targets=method.trains == "all")
    if config.calibrate and arrived:
        raise UnlearnError("--calibrate needs a model without an adapter", "start from the base, or merge first")
    if config.lora_init != "default":
        lora_init.check(loaded, config.lora_init, arrived=arrived)
    if procedure and (config.full or procedure.artefact == "model"):
        name = procedure.name
        if arrived:
            raise UnlearnError(f"{name} needs a model without an adapter", "start from the base, or merge first")
        if loaded.quantization or loaded.dtype != torch.float32:
            raise UnlearnError(f"{name} edits matrices in steps too small for {loaded.dtype}", "--dtype float32")


def tell(
    config: ForgetConfig, loaded: LoadedModel, encoder: Encoder, inputs: Mapping[str, Input], reporter: Reporter
) -> None:
    """Tell what a careful user would want to know before waiting."""
    if loaded.quantization == "nf4" and loaded.device.type == "cpu" and config.device == "auto":
        reporter.note("4-bit on a CPU saves memory, not time (--device cpu silences this)")
    for note in loaded.layout.notes:
        reporter.note(note)
    inputs = {name: data for name, data in inputs.items() if name not in GENERAL}
    if encoder.chat_template is None and any(x.split.examples[0].style != "text" for x in inputs.values()):
        reporter.note("the tokenizer has no chat template: prompts are written plainly (--chat-template FILE changes that)")
    for note in cut_notes({name: data.rows for name, data in inputs.items()}, encoder.max_length):
        reporter.note(note)
