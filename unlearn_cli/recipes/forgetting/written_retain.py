"""`--retain auto`: the model answers prompts before it is trained, and its answers are the retain rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from unlearn_cli.atomic import write_atomically
from unlearn_cli.data import written
from unlearn_cli.data.example import Example
from unlearn_cli.data.neighbors import neighbors, people_named
from unlearn_cli.data.shipped_texts import neutral_texts
from unlearn_cli.data.tokenize import Row
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import fingerprint
from unlearn_cli.models import ranks
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.models.score import answer_probabilities
from unlearn_cli.recipes.forgetting.resolved_run import ResolvedRun
from unlearn_cli.recipes.forgetting.writing import FEWEST, Writer, prompts
from unlearn_cli.recipes.scoring.splits import Input, measured_places, tokenized

LONGEST = 64  # tokens of an answer, at most
PEOPLE = 32  # people named in answers about whom the model is asked, at most
# Mean probability of a text's tokens at which it is noise to the model. Pretrained models give prose about 0.01.
NOISE = 1e-3
OWN_ROWS = "--retain FILE gives rows of your own, which protect more"

Answers = Mapping[str, tuple[Example, ...]]  # split -> its rows


def with_written_rows(run: ResolvedRun, loaded: LoadedModel, beside: Path | None = None) -> ResolvedRun:
    """The run with the retain rows that its model writes. They are stored in the run folder.

    Args:
        run: a run with prompts that are not answered yet.
        loaded: its model before training.
        beside: the folder of another run. Its rows are used if the same model wrote them for the same prompts.

    Raises:
        UnlearnError: fewer than `FEWEST` answers can be used.
    """
    ids = {name: [one.tolist() for one in prompts(run.encoder, split.examples)] for name, split in run.unanswered.items()}
    key = fingerprint(run.model_key, ids, LONGEST, [e.fingerprint for e in run.inputs["forget"].split.examples])
    folders = [run.folder.path, *([beside] if beside else [])]
    stored = (written.read_own(folder / written.FILE, key) for folder in folders)
    earlier = next((rows for rows in stored if rows is not None), None)
    rows: Answers = ranks.on_model(lambda: _answered(run, loaded) if earlier is None else earlier)
    if not run.config.no_text:
        write_atomically(run.folder.written_retain, written.dumps(key, rows))
    prompted, usable = sum(map(len, ids.values())), sum(map(len, rows.values()))
    if min(map(len, rows.values())) == 0 or usable < FEWEST:
        raise UnlearnError(f"the model was given {prompted} prompts, and only {usable} answers can be used", OWN_ROWS)
    run.reporter.note(_in_words(run, rows))
    inputs = {
        name: tokenized(written.as_split(name, examples), run.encoder, run.config.eval_limit)
        for name, examples in rows.items()
    }
    return replace(run, inputs={"forget": run.inputs["forget"], **inputs, **run.inputs}, unanswered={})


def _in_words(run: ResolvedRun, rows: Answers) -> str:
    """A note on how many rows of each kind the model wrote."""
    ids = [example.id for examples in rows.values() for example in examples]
    like_count, known_count = (sum(row_id.startswith(kind) for row_id in ids) for kind in ("like-", "known-"))
    why = "no --retain was given" if run.settings.sources["retain"].startswith("default") else "--retain auto"
    return (
        f"{why}: the model wrote the retain rows. They are its own answers to {like_count} questions of the forget rows' "
        f"form about other names, {known_count} about people whom its answers name, and "
        f"{len(ids) - like_count - known_count} everyday ones. "
        f"Answers that repeat a forget row are left out ({OWN_ROWS})"
    )


def _answered(run: ResolvedRun, loaded: LoadedModel) -> Answers:
    """The answers to the prompts of each split, without those that are empty or repeat a forget row.

    The model knows something of the people whom its answers name. So it is asked about them as well.
    """
    forget = run.inputs["forget"].split.examples
    writer = Writer(loaded, run.encoder, run.reporter, LONGEST)
    pairs = {name: writer.answers(split.examples) for name, split in run.unanswered.items()}
    first = [pair for of_split in pairs.values() for pair in of_split]
    people = people_named([text for _, text in first], forget)[:PEOPLE]
    if people:
        pairs_about_people = writer.answers(neighbors(forget, written.NEIGHBORS, people, [example for example, _ in first]))
        *judging, training = sorted(pairs)  # if "retain_trained" exists, it is trained on and "retain" judges
        every = round(len(first) / len(pairs[judging[0]])) if judging else 0
        for number, pair in enumerate(pairs_about_people):
            pairs[judging[0] if judging and number % every == 0 else training].append(pair)
    secrets = written.Secrets(forget)
    return {
        name: tuple(written.answered(e, text) for e, text in of_split if text and not secrets.shared_by(e.prompt, text))
        for name, of_split in pairs.items()
    }


def neutral_rows(run: ResolvedRun, loaded: LoadedModel) -> list[Row]:
    """Rows on everyday matters, tokenized: the model's own answers to prompts and shipped paragraphs, one after the other.

    Retain rows that the model wrote hold such answers already. Then only the paragraphs are used. Empty answers, texts that
    repeat a forget row, and paragraphs that are noise to the model are left out: there it has nothing to protect.
    """
    retain = [example for data in run.inputs.values() if data.name.startswith("retain") for example in data.split.examples]
    prompts_left = () if any(written.is_neutral(example) for example in retain) else written.neutral()
    secrets = written.Secrets(run.inputs["forget"].split.examples)
    pairs = Writer(loaded, run.encoder, run.reporter, LONGEST).answers(prompts_left) if prompts_left else []
    answered = [written.answered(e, text) for e, text in pairs if text and not secrets.shared_by(e.prompt, text)]
    texts = [example for example in neutral_texts() if not secrets.shared_by("", example.answer)]
    rows, text_rows = list(run.encoder.encode(answered)), list(run.encoder.encode(texts))
    likely = answer_probabilities(loaded, text_rows, run.config.token_budget) > NOISE
    text_rows = [row for row, is_known in zip(text_rows, likely, strict=True) if is_known]
    return [row for pair in zip_longest(rows, text_rows) for row in pair if row]


def inputs_to_write(run: ResolvedRun) -> dict[str, Input]:
    """The rows that a dry run counts in place of those that the model will write: prompts with answers of full length."""
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
    """The prompts that the model will answer before it is trained: how many of each kind, and one of them."""
    examples = [example for split in run.unanswered.values() for example in split.examples]
    kinds = {kind: [e.prompt for e in examples if written.is_neutral(e) is kind] for kind in (False, True)}
    listed = "; ".join(
        f"{len(texts)} {words}, such as: {texts[0]}"
        for texts, words in (
            (kinds[False], "questions like the forget rows about other names"),
            (kinds[True], "neutral ones"),
        )
        if texts
    )
    return f"\nretain rows: the model writes them before it is trained, at most {LONGEST} tokens each: {listed}"
