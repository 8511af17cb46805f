"""`unlearn chat`: the same question to the model before and after unlearning, with one base in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.config import ChatConfig, DataOptions, ModelOptions, PlacementOptions, restored
from unlearn_cli.console import Reporter
from unlearn_cli.data.example import Example, Turn
from unlearn_cli.data.tokenize import Encoder, make_encoder
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.generate import Sampling, greedy, sample
from unlearn_cli.models.load import LoadedModel, load_model
from unlearn_cli.models.process import undisturbed
from unlearn_cli.models.source import check_weights
from unlearn_cli.rendering.tables import replies_table
from unlearn_cli.report import RunReport, read_report

QUIT = ("/quit", "/exit", "/q", "quit", "exit")
HELP = "a question; quit ends"


@dataclass
class Speaker:
    """One of the two models."""

    name: str
    loaded: LoadedModel
    encoder: Encoder
    active: Callable[[], AbstractContextManager]  # inside it the loaded model is this one
    turns: list[Turn] = field(default_factory=list)

    def answer(self, question: str, config: ChatConfig) -> str:
        """The model's answer; with --history its own earlier turns come before the question."""
        turns: tuple[Turn, ...] = (("system", config.system),) if config.system else ()
        turns = (*turns, *self.turns, ("user", question))
        prompt = self.encoder.encode_answer(
            Example("0", turns, "-", "qa" if len(turns) == 1 else "messages"), "-"
        ).prompt_ids
        with self.active():
            if config.temperature:
                sampling = Sampling(config.temperature, count=1, seed=config.seed)
                ids = sample(self.loaded, [prompt], config.max_new_tokens, sampling)[0][0]
            else:
                ids = greedy(self.loaded, [prompt], config.max_new_tokens)[0]
        text = self.loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()
        if config.history:
            self.turns += [("user", question), ("assistant", text)]
        return text


@undisturbed()
def run(config: ChatConfig, reporter: Reporter) -> None:
    """Answer the questions of --prompt, or the ones that the user types until `quit`.

    Raises:
        UnlearnError: the folder holds no run, or its model cannot be loaded.
    """
    report = read_report(config.run)
    if report.command != "forget":
        raise UnlearnError(f"{config.run} is not a run of `unlearn forget`", "give the folder that `unlearn forget` wrote")
    reporter.say(f"loading {config.run}")
    speakers = _speakers(config, report)
    for question in _questions(config, reporter):
        answers = {speaker.name: speaker.answer(question, config) for speaker in speakers}
        if config.json_output:
            reporter.data(json.dumps({"question": question, **answers}, ensure_ascii=False))
        elif config.quiet or not sys.stdout.isatty():
            reporter.data("\n".join([f"question: {question}", *(f"{name}: {text}" for name, text in answers.items())]))
        else:
            reporter.show(replies_table(answers))


def _speakers(config: ChatConfig, report: RunReport) -> list[Speaker]:
    here = {name: getattr(config, name) for name in PlacementOptions.model_fields}

    def load(model: str, **update: Any) -> LoadedModel:
        return load_model(restored(ModelOptions, report.config, granted=config, model=model, **here, **update))

    after = load(str(config.run), revision=None, base=config.base)
    # A run that wrote a model, or started from an adapter, is not its base plus one adapter: two models are loaded.
    whole = (report.artifact and report.artifact.kind == "model") or (report.model and report.model.adapter)
    before = load(report.config["model"]) if whole else after
    if whole and report.model:
        check_weights(before.source.location, before.source, report.model, "the model before", "the run was made from")
    data = restored(DataOptions, report.config)
    encoder = make_encoder(data, after.tokenizer, after.stop_ids, getattr(after.config, "max_position_embeddings", None))
    off = nullcontext if whole else after.model.disable_adapter
    return [Speaker("before", before, encoder, off), Speaker("after", after, encoder, nullcontext)]


def _questions(config: ChatConfig, reporter: Reporter) -> Iterator[str]:
    if config.prompt:
        yield from config.prompt
        return
    live = sys.stdin.isatty()
    if live:
        reporter.say(HELP)
    while True:
        try:
            text = input("> " if live else "").strip()
        except EOFError:
            return
        if text.lower() in QUIT:
            return
        if text:
            yield text
