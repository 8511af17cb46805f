"""`--retain auto`: the model answers prompts before it is trained, and what it said is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from unlearn_cli.atomic import write_atomically
from unlearn_cli.data import written
from unlearn_cli.data.example import Example
from unlearn_cli.data.neighbors import neighbors, people_named
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import fingerprint
from unlearn_cli.models import ranks
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.forgetting.writing import FEWEST, Writer, prompts
from unlearn_cli.recipes.scoring.splits import Input, measured_places, tokenized

LONGEST = 64  # tokens of an answer
PEOPLE = 32  # named in answers, at most, that the model is asked about
OWN_ROWS = "--retain FILE gives rows of your own, which hold more"

Answers = Mapping[str, tuple[Example, ...]]  # split -> its rows


def with_written_rows(run: ResolvedRun, loaded: LoadedModel, beside: Path | None = None) -> ResolvedRun:
    """The run with the retain rows that its model writes, which are kept in the run folder.

    Args:
        run: with prompts that are yet to be answered.
        loaded: its model before training.
        beside: folder of another run, whose rows are used if they are the answers of the same model to the same prompts.

    Raises:
        UnlearnError: fewer than `FEWEST` answers can be used.
    """
    ids = {name: [one.tolist() for one in prompts(run.encoder, split.examples)] for name, split in run.unanswered.items()}
    key = fingerprint(run.model_key, ids, LONGEST, [e.fingerprint for e in run.inputs["forget"].split.examples])
    folders = [run.folder.path, *([beside] if beside else [])]
    stored = (written.read(folder / written.FILE, key) for folder in folders)
    kept = next((rows for rows in stored if rows is not None), None)
    rows: Answers = ranks.once(lambda: _answered(run, loaded) if kept is None else kept)
    if not run.config.no_text:
        write_atomically(run.folder.written_retain, written.dumps(key, rows))
    prompted, left = sum(map(len, ids.values())), sum(map(len, rows.values()))
    if min(map(len, rows.values())) == 0 or left < FEWEST:
        raise UnlearnError(f"the model was asked {prompted} prompts, and {left} answers can be kept", OWN_ROWS)
    run.reporter.note(_in_words(run, rows))
    inputs = {
        name: tokenized(written.as_split(name, some), run.encoder, run.config.eval_limit) for name, some in rows.items()
    }
    return replace(run, inputs={"forget": run.inputs["forget"], **inputs, **run.inputs}, unanswered={})


def _in_words(run: ResolvedRun, rows: Answers) -> str:
    ids = [example.id for some in rows.values() for example in some]
    like, known = (sum(one.startswith(kind) for one in ids) for kind in ("like-", "known-"))
    why = "no --retain was given" if run.settings.sources["retain"].startswith("default") else "--retain auto"
    return (
        f"{why}: the model wrote the rows to keep. They are its own answers to {like} questions of the forget rows' form "
        f"about other names, {known} about people whom its answers name, and {len(ids) - like - known} everyday ones. "
        f"Answers that say what a forget row says are left out ({OWN_ROWS})"
    )


def _answered(run: ResolvedRun, loaded: LoadedModel) -> Answers:
    """The answers to the prompts of each split, without those that are empty or say what a forget row says.

    People whom the answers name are people of whom the model knows something. It is asked about them as well.
    """
    forget = run.inputs["forget"].split.examples
    writer = Writer(loaded, run.encoder, run.reporter, LONGEST)
    pairs = {name: writer.answers(split.examples) for name, split in run.unanswered.items()}
    first = [pair for some in pairs.values() for pair in some]
    people = people_named([text for _, text in first], forget)[:PEOPLE]
    if people:
        more = writer.answers(neighbors(forget, written.NEIGHBORS, people, [example for example, _ in first]))
        *judging, training = sorted(pairs)  # "retain" judges where there is "retain_trained" beside it
        every = round(len(first) / len(pairs[judging[0]])) if judging else 0
        for number, pair in enumerate(more):
            pairs[judging[0] if judging and number % every == 0 else training].append(pair)
    secrets = written.Secrets(forget)
    return {
        name: tuple(written.answered(e, text) for e, text in some if text and not secrets.shared_by(e.prompt, text))
        for name, some in pairs.items()
    }


def inputs_to_write(run: ResolvedRun) -> dict[str, Input]:
    """The rows that a dry run counts where the model has not written them: the prompts with the longest answers."""
    inputs = {}
    for name, split in run.unanswered.items():
        pairs = zip(split.examples, prompts(run.encoder, split.examples), strict=True)
        rows = tuple(
            Row(example.id, np.append(ids, np.full(LONGEST, ids[-1])), len(ids), len(ids), "", ends=False)
            for example, ids in pairs
        )
        inputs[name] = Input(split, rows, measured_places(split, len(rows), run.config.eval_limit))
    return inputs


def plan_in_words(run: ResolvedRun) -> str:
    """What the model will be asked before it is trained, with a prompt of each kind."""
    examples = [example for split in run.unanswered.values() for example in split.examples]
    kinds = {kind: [e.prompt for e in examples if written.is_neutral(e) is kind] for kind in (False, True)}
    shown = "; ".join(
        f"{len(texts)} {words}, such as: {texts[0]}"
        for texts, words in (
            (kinds[False], "questions like the forget rows about other names"),
            (kinds[True], "neutral ones"),
        )
        if texts
    )
    return f"\nretain rows: the model writes them before it is trained, at most {LONGEST} tokens each: {shown}"
