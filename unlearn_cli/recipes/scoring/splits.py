"""Splits as recipes use them: examples, tokenized rows, and the rows that are measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from unlearn_cli.config import DataOptions, EvaluateConfig, MeasuringOptions
from unlearn_cli.data import written
from unlearn_cli.data.columns import parse_columns
from unlearn_cli.data.example import Example, Split
from unlearn_cli.data.general_ability import GENERAL, general_splits
from unlearn_cli.data.held_out import FEWEST, RETAIN_TRAINED, held_out
from unlearn_cli.data.load import load_split, rows_sha256, unordered_sha256
from unlearn_cli.data.probes import probe
from unlearn_cli.data.tokenize import Encoder, Row
from unlearn_cli.data.written import AUTO
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.measure import spread
from unlearn_cli.hashing import fingerprint
from unlearn_cli.recipes.scoring import benchmark_splits
from unlearn_cli.report_parts import DataReport

TRAINED_LIMIT = 60  # trained retain rows that are measured, at most; they only show a gap to the held-out rows
LETTER_TOKENS = 4  # tokens generated for an answer that is one letter


@dataclass(frozen=True)
class Input:
    """One split, tokenized."""

    split: Split
    rows: tuple[Row, ...]
    measured: tuple[int, ...]  # indices of the rows that are measured
    # For each measured row: its question with the paraphrased answer, and with each wrong answer; empty: not measured.
    others: tuple[tuple[Row | None, tuple[Row, ...]], ...] = ()
    texts_sha256: str = ""  # hash of what turns generated tokens into text

    @property
    def max_new_tokens(self) -> int | None:
        """The longest generated answer, if the split sets it."""
        if self.split.examples[0].style == "choice":
            return LETTER_TOKENS
        return self.split.max_new_tokens

    def generated(self, limit: int) -> int:
        """Number of rows for which answers are generated, by `limit` and the split's own limit: 0 is all, -1 is none."""
        own_limit = self.split.generate_limit
        if own_limit is None or limit < 0:
            return limit
        return own_limit if limit == 0 or own_limit < 0 else min(own_limit, limit)

    @property
    def name(self) -> str:
        """forget, retain, ..."""
        return self.split.name

    @cached_property
    def measured_rows(self) -> list[Row]:
        """The rows that are measured."""
        return [self.rows[i] for i in self.measured]

    def prompts(self) -> list[str]:
        """The question of each measured row as text; empty for a raw document."""
        by_id = {example.id: example.prompt for example in self.split.examples}
        return [by_id.get(row.id, "") for row in self.measured_rows]

    @cached_property
    def rows_key(self) -> str:
        """A fingerprint of the measured rows."""
        return fingerprint(self.name, [row.content for row in self.measured_rows])

    @cached_property
    def others_key(self) -> str:
        """A fingerprint of the other answers to their questions."""
        contents = [[answer and answer.content, [row.content for row in wrong]] for answer, wrong in self.others]
        return fingerprint(contents)

    def report(self) -> DataReport:
        """The report on the split, without its text."""
        origin = self.split.origin
        return DataReport(
            spec=origin.spec,
            files=list(origin.files),
            format=origin.format,
            revision=origin.revision,
            pinned=origin.pinned,
            sha256=origin.sha256,
            unordered_sha256=unordered_sha256(self.split.examples),
            rows=origin.rows,
            rows_in_source=origin.rows_in_source,
            sequences=len(self.rows),
            tokens=sum(len(row.input_ids) for row in self.rows),
            answer_tokens=sum(row.answer_length for row in self.rows),
            truncated_rows=sum(row.truncated > 0 for row in self.rows),
            truncated_tokens=sum(row.truncated for row in self.rows),
            measured_rows=len(self.measured),
            published=origin.published,
        )


def load_splits(options: DataOptions, run: Path | None = None, *, trained: bool | None = None) -> dict[str, Split]:
    """The splits that the options name; for a command that measures, those of general ability as well.

    Args:
        options: the options that name rows.
        run: for --retain auto, the folder of the run whose model wrote the retain rows. None: they are not written yet, and
            the splits contain prompts only.
        trained: use the splits of a benchmark that a run trains on; default: True unless the command is an evaluation.
    """
    columns = parse_columns(options.columns) if options.columns else {}
    named = {name: getattr(options, name, None) for name in ("forget", "retain", "holdout", "choices")}
    load = partial(load_split, columns=columns, limit=options.limit, reasoning=options.reasoning == "score")
    specs = {name: spec for name, spec in named.items() if spec and (name, spec) != ("retain", AUTO)}
    trained = not isinstance(options, EvaluateConfig) if trained is None else trained
    splits = benchmark_splits.load(options, trained=trained, given=specs) if options.benchmark else {}
    loaded = {name: load(name, spec, elsewhere=True) for name, spec in specs.items()}
    for_all = {column for key, column in columns.items() if "." not in key}
    if for_all - {column for split in loaded.values() for column in split.origin.columns}:
        for name, spec in specs.items():  # a column is in no file; this raises an error that names it
            load(name, spec)
    splits |= loaded
    if options.retain == AUTO and "forget" in splits:
        splits |= _written(options, splits["forget"], run, load)
    elif "retain" in splits and RETAIN_TRAINED not in splits and (options.retain or trained):
        splits |= _held_out_apart(options, splits["retain"], load)
    for name in getattr(options, "probes", ()):
        if "forget" not in splits:
            raise UnlearnError(f"--probes {name} needs forget rows", "--forget forget.jsonl")
        split = probe(name, splits["forget"])
        splits[split.name] = split
    if splits and isinstance(options, MeasuringOptions) and not options.no_general:
        splits |= general_splits()
    return splits


def _held_out_apart(options: DataOptions, retain: Split, load: Callable[..., Split]) -> dict[str, Split]:
    """The retain rows in two splits: `retain` judges, `retain_trained` is trained on. Empty if no rows are held out."""
    rows = retain.examples
    if options.retain_eval:
        judged = load("retain", options.retain_eval)
        return {"retain": judged, RETAIN_TRAINED: replace(retain, name=RETAIN_TRAINED, generate_limit=-1)}
    chosen = held_out(rows, share=options.retain_held_out)
    if not chosen:
        return {}
    judged = _part(retain, [example for i, example in enumerate(rows) if i in chosen])
    trained = _part(retain, [example for i, example in enumerate(rows) if i not in chosen])
    return {"retain": judged, RETAIN_TRAINED: replace(trained, name=RETAIN_TRAINED, generate_limit=-1)}


def _written(options: DataOptions, forget: Split, run: Path | None, load: Callable[..., Split]) -> dict[str, Split]:
    """The retain rows that the model writes: those that a run stored, or prompts that are not answered yet."""
    judged = {"retain": load("retain", options.retain_eval)} if options.retain_eval else {}
    if run is not None:
        stored = written.read(run / written.FILE)
        return {name: written.as_split(name, examples) for name, examples in stored.items()} | judged
    prompts = written.prompts(forget.examples)
    share = 0.0 if judged else options.retain_held_out
    chosen = set(spread(len(prompts), max(round(share * len(prompts)), FEWEST))) if share else set()
    parts = {"retain": [prompts[i] for i in sorted(chosen)]} if chosen else {}
    parts[RETAIN_TRAINED if chosen or judged else "retain"] = [e for i, e in enumerate(prompts) if i not in chosen]
    return {name: written.as_split(name, examples) for name, examples in parts.items()} | judged


def _part(split: Split, examples: Sequence[Example]) -> Split:
    """A split of some of a split's rows."""
    origin = replace(split.origin, rows=len(examples), sha256=rows_sha256(tuple(examples)))
    return replace(split, examples=tuple(examples), origin=origin)


def training_retain(inputs: Mapping[str, Input]) -> Input | None:
    """The retain rows that are trained on."""
    return inputs.get(RETAIN_TRAINED) or inputs.get("retain")


def make_inputs(
    splits: Mapping[str, Split], encoder: Encoder, eval_limit: int, note: Callable[[str], None] = lambda text: None
) -> dict[str, Input]:
    """Encode every split. General ability is left out, with a note, if its rows do not fit.

    Raises:
        UnlearnError: a prompt of another split leaves no room for its answer.
    """
    general = {name: split for name, split in splits.items() if name in GENERAL}
    inputs = {name: tokenized(split, encoder, eval_limit) for name, split in splits.items() if name not in general}
    try:
        return inputs | {name: tokenized(split, encoder, eval_limit) for name, split in general.items()}
    except UnlearnError as error:
        note(f"general ability is not measured: {error.message}")
        return inputs


def tokenized(split: Split, encoder: Encoder, eval_limit: int) -> Input:
    """Encode a split, with its wrong answers if it has any, and choose the rows to measure.

    Args:
        split: the examples.
        encoder: turns them into tokens.
        eval_limit: number of rows to measure, evenly spread; 0: all.

    Raises:
        UnlearnError: a prompt leaves no room for its answer.
    """
    if split.answer_tokens:
        cut = (replace(example, answer=encoder.cut(example.answer, split.answer_tokens)) for example in split.examples)
        split = replace(split, examples=tuple(cut))
    rows = tuple(encoder.encode(split.examples, windows=split.windows))
    if split.free_answers:
        free = encoder.encode(replace(example, prefill="") for example in split.examples)
        rows = tuple(replace(row, own_prompt=plain.prompt_ids) for row, plain in zip(rows, free, strict=True))
    if not rows:
        raise UnlearnError(
            f"{split.name} data has no row with an answer", "`unlearn data check FILE` says what the rows contain"
        )
    chosen = measured_places(split, len(rows), eval_limit)
    others: tuple[tuple[Row | None, tuple[Row, ...]], ...] = ()
    if any(example.perturbed for example in split.examples):
        by_id = {example.id: example for example in split.examples}
        others = tuple(_other_answers(by_id[rows[i].id], encoder) for i in chosen)
    return Input(split, rows, chosen, others, encoder.texts_sha256)


def measured_places(split: Split, rows: int, eval_limit: int) -> tuple[int, ...]:
    """The indices of the measured rows, of a split with `rows` rows."""
    if split.name == RETAIN_TRAINED:
        eval_limit = min(eval_limit or TRAINED_LIMIT, TRAINED_LIMIT)
    return tuple(spread(rows, eval_limit))


def _other_answers(example: Example, encoder: Encoder) -> tuple[Row | None, tuple[Row, ...]]:
    paraphrased = example.paraphrased_answer
    return (
        encoder.encode_answer(example, paraphrased) if paraphrased else None,
        tuple(encoder.encode_answer(example, text) for text in example.perturbed),
    )


def alternatives(examples: Sequence[Example], encoder: Encoder) -> list[list[Row]]:
    """The alternative answers of each example as rows.

    Raises:
        UnlearnError: the examples are raw documents, which have no questions.
    """
    check_questions(examples)
    return [[encoder.encode_answer(example, text) for text in example.alternatives] for example in examples]


def check_questions(examples: Sequence[Example]) -> None:
    """Check that all examples have questions, which can have other answers.

    Raises:
        UnlearnError: the examples are raw documents, which have none.
    """
    documents = [example.where for example in examples if example.style == "text"]
    if documents:
        raise UnlearnError(
            f"this method trains on other answers to questions, and raw documents have none ({documents[0]})",
            "use npo, simnpo or grad-diff for raw text",
        )
