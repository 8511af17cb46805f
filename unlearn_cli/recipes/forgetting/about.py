"""`--about NAME`: the model writes the rows itself, before it is trained. They are then used as any other rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import BaseModel

from unlearn_cli.atomic import write_atomically
from unlearn_cli.config import ForgetConfig
from unlearn_cli.console import Reporter
from unlearn_cli.data import about
from unlearn_cli.data.example import Example, Split
from unlearn_cli.data.neighbors import people_named
from unlearn_cli.data.tokenize import make_encoder
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import fingerprint
from unlearn_cli.jsonfile import read_complete_jsonl, read_kept
from unlearn_cli.models.generate import Sampling
from unlearn_cli.models.identity import identity
from unlearn_cli.models.load import load_model
from unlearn_cli.recipes.forgetting.writing import FEWEST, Writer
from unlearn_cli.recipes.scoring.splits import load_splits
from unlearn_cli.recipes.storage.run_folder import ABOUT_ROWS, RunFolder, default_output

KEY = "key.json"  # beside the rows: a hash of the model and the questions, by which --resume recognizes its own rows
SPLITS = ("forget", "retain")  # the second only if the user gives no retain rows
SAMPLES = 3  # answers to each question, beside the likeliest one
LONGEST = 96  # tokens of an answer, at most
TEMPERATURE, TOP_P = 0.8, 0.95
Rows = Mapping[str, Sequence[dict[str, str]]]  # split -> rows: forget, and retain unless the user gives retain rows


def with_places(config: ForgetConfig) -> ForgetConfig:
    """The settings, with --forget and --retain set to the files that the rows will have in the run folder.

    Raises:
        UnlearnError: rows to forget are given as well.
    """
    if config.benchmark or (config.forget and not is_written(config.forget)):
        option = "--benchmark" if config.benchmark else "--forget"
        raise UnlearnError(f"--about and {option} both give rows to forget", "leave one of them out")
    folder = RunFolder(config.output_dir or default_output(config))
    places = {"forget": str(folder.written / "forget.jsonl"), "output_dir": folder.path}
    if not config.retain or is_written(config.retain):
        places["retain"] = str(folder.written / "retain.jsonl")
    return config.model_copy(update=places)


def is_written(spec: str | None) -> bool:
    """Whether `spec` is a file in the folder where a run stores rows that its model wrote."""
    return spec is not None and Path(spec).parent.name == ABOUT_ROWS


def rows_of(config: ForgetConfig, reporter: Reporter) -> tuple[str, Rows]:
    """The rows that the model writes, and a hash of what they depend on. Rows that it wrote for this run before are reused.

    Raises:
        UnlearnError: the model knows too little of the subject, or names no neighbors.
    """
    folder = RunFolder(config.output_dir or Path())
    own_retain = is_written(config.retain)
    loaded = load_model(config)
    encoder = make_encoder(config, loaded.tokenizer, loaded.stop_ids, config.max_length)
    model = identity(loaded.source, config, str(loaded.dtype), loaded.device.type)
    key = fingerprint(
        model, config.about, config.neighbors, config.seed, own_retain, SAMPLES, LONGEST, about.questions("{}")
    )
    if stored := stored_rows(folder.written / KEY, key, SPLITS if own_retain else SPLITS[:1]):
        return key, stored
    assert config.about is not None
    reporter.say(f"the model writes what it knows of {config.about}")
    writer = Writer(loaded, encoder, reporter, LONGEST)
    rows = {"forget": _rows(writer, [config.about], config.seed)}
    if len(rows["forget"]) < FEWEST:
        raise UnlearnError(
            f"the model wrote only {len(rows['forget'])} usable answers about {config.about}: it hardly knows the name",
            "--forget FILE gives rows of your own",
        )
    if own_retain:
        names = list(config.neighbors) or _neighbors(writer, config.about, rows["forget"])
        if not names:
            raise UnlearnError(f"the model names no neighbors of {config.about}", "--neighbors 'A,B,C', or --retain FILE")
        # Not a note: notes stand in the report, which may be uploaded, and the model may name people.
        reporter.say(f"retain rows are about: {', '.join(names)}")
        rows["retain"] = _rows(writer, names, config.seed, without=config.about)
        if len(rows["retain"]) < FEWEST:
            raise UnlearnError("the model wrote too little about the neighbors", "other --neighbors, or --retain FILE")
    return key, rows


class StoredKey(BaseModel):
    """The content of `KEY`."""

    key: str
    splits: list[Literal["forget", "retain"]]


def stored_rows(path: Path, key: str, splits: Sequence[str]) -> Rows | None:
    """The rows beside a file `KEY`; None if there are none, if they have another key, or if a file is broken.

    Args:
        path: the file.
        key: the key that it must have.
        splits: names of the splits that it must have.
    """
    stored = read_kept(path, StoredKey)
    if stored is None or stored.key != key or sorted(stored.splits) != sorted(splits):
        return None
    files = [path.with_name(f"{name}.jsonl") for name in splits]
    rows = {file.stem: read_complete_jsonl(file) if file.is_file() else [] for file in files}
    whole = all(isinstance(row.get(name), str) for of in rows.values() for row in of for name in ("question", "answer"))
    return rows if whole and all(rows.values()) else None


def _neighbors(writer: Writer, subject: str, rows: Sequence[dict[str, str]]) -> list[str]:
    """The neighbors that the model lists, and then people whom its answers about the subject name."""
    request = Example("", (("user", about.WANTED.format(count=about.NEIGHBORS, name=subject)),), "", "qa")
    ((_, listed),) = writer.answers([request])
    forget = [Example("", (("user", subject),), "", "qa")]
    named = [name for name in people_named([row["answer"] for row in rows], forget) if not about.mentions(name, subject)]
    return list(dict.fromkeys([*about.neighbors_in(listed, subject), *named]))[: about.NEIGHBORS]


def _rows(writer: Writer, names: Sequence[str], seed: int, without: str | None = None) -> list[dict[str, str]]:
    """Questions about the names with the model's usable answers: of each question the likeliest, then sampled ones."""
    questions = [Example("", (("user", text),), "", "qa") for name in names for text in about.questions(name)]
    pairs = writer.answers(questions, Sampling(TEMPERATURE, SAMPLES, seed, TOP_P))
    return about.usable(((example.prompt, answer) for example, answer in pairs), without=without)


def as_splits(config: ForgetConfig, rows: Rows) -> dict[str, Split]:
    """The rows as splits, as if they were read from the run folder, into which they are written later."""
    written = RunFolder(config.output_dir or Path()).written
    with TemporaryDirectory() as scratch:
        places = {name: str(Path(scratch) / f"{name}.jsonl") for name in rows}
        for name, of_split in rows.items():
            Path(places[name]).write_text(_lines(of_split), encoding="utf-8")
        splits = load_splits(config.model_copy(update=places))

    def moved(text: str) -> str:
        return text.replace(str(Path(scratch).resolve()), str(written)).replace(scratch, str(written))

    origins = {
        name: replace(split.origin, spec=moved(split.origin.spec), files=tuple(map(moved, split.origin.files)))
        for name, split in splits.items()
    }
    return {name: replace(split, origin=origins[name]) for name, split in splits.items()}


def keep(folder: RunFolder, key: str, rows: Rows) -> None:
    """Write the rows into the run folder, each split as a file that every command can read."""
    folder.written.mkdir(exist_ok=True)
    for name, of_split in rows.items():
        write_atomically(folder.written / f"{name}.jsonl", _lines(of_split))
    write_atomically(folder.written / KEY, json.dumps({"key": key, "splits": list(rows)}) + "\n")


def show(rows: Rows, reporter: Reporter) -> None:
    """Show a few of the rows, in a dry run."""
    for name, of_split in rows.items():
        reporter.say(f"\n{len(of_split)} {name} rows that the model wrote, such as:\n{about.in_words(of_split)}")


def _lines(rows: Sequence[dict[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
