"""Other answers to the forget questions, for methods that train on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from pydantic import BaseModel

from unlearn_cli.atomic import write_atomically
from unlearn_cli.data.alternatives import (
    alternative_prompt,
    differing,
    repeats_answer,
    with_mismatched,
    with_perturbed,
    with_refusals,
)
from unlearn_cli.data.contexts import behind
from unlearn_cli.data.example import Example
from unlearn_cli.hashing import fingerprint
from unlearn_cli.jsonfile import read_kept
from unlearn_cli.models.generate import Sampling, sample
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.scoring.splits import training_retain

PER_ROW = 4  # alternatives of a row
SAMPLES = 5  # generated answers of a row, unless the method gives a number
ROUNDS = 4  # of sampling, for a row whose samples all repeat the true answer
TEMPERATURE = 1.0  # as Mekala et al. (2024) sample


def alternative_examples(run: ResolvedRun, loaded: LoadedModel) -> tuple[Example, ...]:
    """The forget examples with the alternatives that the method declares; none of them is the true answer.

    Raises:
        UnlearnError: a row has no alternative.
    """
    kind, seed = run.objective.method.alternatives, run.config.seed
    examples = run.inputs["forget"].split.examples
    if kind == "mismatched":
        sources = retain.split.examples if (retain := training_retain(run.inputs)) else examples
        return differing(with_mismatched(examples, sources, seed=seed, count=PER_ROW))
    if kind == "perturbed":
        if not all(example.perturbed for example in examples):
            run.reporter.note("rows without perturbed answers get answers of other forget rows instead")
        return differing(with_perturbed(examples, examples, seed=seed, count=PER_ROW))
    if kind == "generated":
        more = 4 * run.objective.parameters.get("samples", SAMPLES)
        hint = f"give them 'alternatives' in the forget data, or try -p samples={more}"
        return differing(_generated(run, loaded, examples, alternative_prompt), hint)
    if kind == "novice":
        prompt = partial(behind, sentence=run.objective.parameters["novice_sentence"])
        # A model that knows a row by heart gives its answer behind any sentence.
        return differing(with_refusals(_generated(run, loaded, examples, prompt), seed=seed))
    if kind == "traces":
        return _traces(run, loaded, examples, run.objective.parameters["opening"])
    return differing(with_refusals(examples, seed=seed, count=PER_ROW))


class StoredAlternatives(BaseModel):
    """Generated alternatives as they are on disk, by the row's fingerprint. A run folder may come from a stranger."""

    key: str
    answers: dict[str, list[str]]


def _generated(
    run: ResolvedRun,
    loaded: LoadedModel,
    examples: Sequence[Example],
    prompt: Callable[[Example], Example],
    drop: Callable[[str, str], bool] = repeats_answer,
) -> tuple[Example, ...]:
    """Alternatives that the model generates from a `prompt` for each row, stored in the run folder.

    Rows that have alternatives keep them. `drop` is asked of each generated text and the true answer.
    """
    without = [example for example in examples if not example.alternatives and example.style != "text"]
    count = run.objective.parameters.get("samples", SAMPLES)
    answers: dict[str, list[str]] = {}
    if without:
        prompts = [row.prompt_ids for row in run.encoder.encode(map(prompt, without))]
        ids = [prompt.tolist() for prompt in prompts]
        key = fingerprint(run.model_key, ids, run.config.seed, count, run.config.max_new_tokens)
        path = run.folder.alternatives
        stored = read_kept(path, StoredAlternatives)
        if stored is None or stored.key != key:
            stored = StoredAlternatives(key=key, answers=_sampled(run, loaded, without, prompts, count, drop))
            if not run.config.no_text:
                write_atomically(path, json.dumps(stored.model_dump(), ensure_ascii=False) + "\n")
        answers = stored.answers
    return tuple(replace(e, alternatives=tuple(answers.get(e.fingerprint, e.alternatives))) for e in examples)


def _sampled(
    run: ResolvedRun,
    loaded: LoadedModel,
    examples: Sequence[Example],
    prompts: list[np.ndarray],
    count: int,
    drop: Callable[[str, str], bool],
) -> dict[str, list[str]]:
    """Fingerprint of an example -> the distinct texts among `count` samples that are not dropped.

    A row whose samples are all dropped, as when they repeat the true answer, is sampled again.
    """
    answers: dict[str, list[str]] = {example.fingerprint: [] for example in examples}
    for attempt in range(ROUNDS):
        rows = [row for row, example in enumerate(examples) if not answers[example.fingerprint]]
        if not rows:
            break
        with run.reporter.progress("sampling alternatives", len(rows) * count) as bar:
            sampling = Sampling(TEMPERATURE, count, run.config.seed + attempt)
            chosen = [prompts[row] for row in rows]
            samples = sample(loaded, chosen, run.config.max_new_tokens, sampling, bar.advance)
        for row, ids in zip(rows, samples, strict=True):
            texts = (run.encoder.tokenizer.decode(one, skip_special_tokens=True).strip() for one in ids)
            answer = examples[row].answer
            answers[examples[row].fingerprint] = list(dict.fromkeys(t for t in texts if t and not drop(t, answer)))
    dropped = len(examples) * count - sum(map(len, answers.values()))
    run.reporter.say(f"alternatives of {len(examples)} rows were sampled; {dropped} samples repeat the answer or each other")
    return answers


def _traces(run: ResolvedRun, loaded: LoadedModel, examples: Sequence[Example], opening: str) -> tuple[Example, ...]:
    """The forget examples with the model's own reasoning as alternatives; other alternatives of the data are left out.

    A trace may name the answer: it is what must go. It ends where the model closes its thought, as templates leave out
    what stands before that mark.
    """
    bare = [replace(example, alternatives=()) for example in examples]
    written = _generated(
        run, loaded, bare, lambda example: replace(example, prefill=opening, reasoning=""), lambda text, answer: False
    )

    if silent := sum(not example.alternatives for example in written):
        run.reporter.note(
            f"after '{opening}' the model writes nothing for {silent} of {len(written)} rows: their reasoning is these "
            "words alone; -p opening=... gives other words to begin with"
        )

    def traces(texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f"{opening} {text.partition('</think>')[0]}".strip() for text in texts or [""]))

    return tuple(replace(example, alternatives=traces(example.alternatives)) for example in written)
