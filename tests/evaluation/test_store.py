"""Measurements on disk."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tests.metrics.test_metrics import measured
from unlearn_cli.errors import UnlearnError
from unlearn_cli.evaluation.store import copy_measured, load_measured, save_measured
from unlearn_cli.measured import Measured


def sample() -> Measured:
    """Two rows whose texts hold everything that could be taken for the end of a line."""
    measurement = measured(
        [[-0.5, -1.25], [-3.0]], is_argmax=[[True, False], [True]], ends=[True, False],
        mu=[-1.0, -2.0, -3.0], sigma=[0.1, 0.2, 0.3],
    )  # fmt: skip
    return replace(
        measurement,
        ids=("a\u2028b", "ü\x85"),
        prompts=("line\u2028separator \u2029 paragraph", 'tab\tquote" back\\slash'),
        references=("two\nlines\r\nand\rthree", "\x0b\x0c\x1c\x1d\x1e 日本 😀"),
        generations=("", None),
        rows_in_split=17,
    )


def test_round_trip(tmp_path: Path) -> None:
    saved = sample()
    save_measured(saved, tmp_path / "new", "after", "key")
    for key in ("key", None):
        loaded = load_measured(tmp_path / "new", "after", key)
        for field in fields(Measured):
            ours, theirs = getattr(loaded, field.name), getattr(saved, field.name)
            if isinstance(theirs, np.ndarray):
                assert ours.dtype == theirs.dtype
                np.testing.assert_array_equal(ours, theirs)
            else:
                assert ours == theirs, field.name


def test_another_key_is_no_measurement(tmp_path: Path) -> None:
    save_measured(sample(), tmp_path, "after", "key")
    assert load_measured(tmp_path, "after", "other") is None
    assert load_measured(tmp_path, "before", "key") is None


@pytest.mark.parametrize("lost", ["after.jsonl", "after.safetensors"])
def test_half_a_measurement_is_none(tmp_path: Path, lost: str) -> None:
    save_measured(sample(), tmp_path, "after", "key")
    (tmp_path / lost).unlink()
    assert load_measured(tmp_path, "after", "key") is None


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    save_measured(sample(), tmp_path, "after", "key")
    with (tmp_path / "after.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "x", "prompt": "", "gold": "", "generation": null}\n')
    with pytest.raises(UnlearnError, match="does not belong"):
        load_measured(tmp_path, "after")
    assert load_measured(tmp_path, "after", "key") is None  # it is measured again


def test_of_two_measurements_no_half_is_taken_for_the_other(tmp_path: Path) -> None:
    """What a kill between the two moves leaves: the texts of the second, the numbers of the first."""
    save_measured(sample(), tmp_path / "old", "after", "old")
    save_measured(replace(sample(), generations=("other", "answers")), tmp_path / "new", "after", "new")
    os.replace(tmp_path / "old" / "after.safetensors", tmp_path / "new" / "after.safetensors")
    assert load_measured(tmp_path / "new", "after", "old") is None


def test_files_of_earlier_versions_are_a_pair(tmp_path: Path) -> None:
    save_measured(sample(), tmp_path, "after", "key")
    numbers = tmp_path / "after.safetensors"
    with safe_open(numbers, framework="np") as file:
        about = {name: value for name, value in file.metadata().items() if name != "texts_sha256"}
    save_file(load_file(numbers), numbers, about)
    assert load_measured(tmp_path, "after", "key") is not None


def test_saving_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    save_measured(sample(), tmp_path, "after", "old")
    save_measured(replace(sample(), rows_in_split=3), tmp_path, "after", "new")
    assert load_measured(tmp_path, "after", "old") is None
    assert load_measured(tmp_path, "after", "new").rows_in_split == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after.jsonl", "after.safetensors"]


def test_copies_are_of_whole_measurements_alone(tmp_path: Path) -> None:
    """Another process may be writing into the folder: what it has not finished is left, and so is every other file."""
    source, target = tmp_path / "source", tmp_path / "target"
    save_measured(sample(), source, "before-forget", "key")
    save_measured(sample(), source, "before-retain", "key")
    (source / "before-retain.safetensors").unlink()  # its texts are there and its numbers still to come
    (source / "before-forget.jsonl.part").symlink_to(tmp_path / "gone")
    copy_measured(source, target, "before-retain")
    assert not target.exists()
    copy_measured(source, target, "before-forget")
    assert sorted(path.name for path in target.iterdir()) == ["before-forget.jsonl", "before-forget.safetensors"]
    assert load_measured(target, "before-forget", "key") is not None


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (lambda arrays: arrays.pop("mu"), "mu are missing"),
        (lambda arrays: arrays.update(offsets=arrays["offsets"][:-1]), "offsets do not fit the rows"),
        (lambda arrays: arrays.update(offsets=np.array([0, 3, 3])), "offsets do not fit the rows"),
        (lambda arrays: arrays.update(offsets=np.array([0, 1, 4])), "offsets do not fit the rows"),
        (lambda arrays: arrays.update(sigma=arrays["sigma"][:-1]), "arrays do not fit the length of the rows"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(tmp_path: Path, changed, problem: str) -> None:
    save_measured(sample(), tmp_path, "after", "key")
    numbers = tmp_path / "after.safetensors"
    with safe_open(numbers, framework="np") as file:
        about = file.metadata()
    arrays = load_file(numbers)
    changed(arrays)
    save_file(arrays, numbers, about)
    with pytest.raises(UnlearnError, match=problem):
        load_measured(tmp_path, "after")


def test_a_text_that_is_a_number_is_refused(tmp_path: Path) -> None:
    save_measured(sample(), tmp_path, "after", "key")
    texts, numbers = tmp_path / "after.jsonl", tmp_path / "after.safetensors"
    with safe_open(numbers, framework="np") as file:
        about = {name: value for name, value in file.metadata().items() if name != "texts_sha256"}
    save_file(load_file(numbers), numbers, about)
    first, second, *_ = texts.read_text(encoding="utf-8").split("\n")
    texts.write_text(json.dumps(json.loads(first) | {"prompt": 7}) + "\n" + second + "\n", encoding="utf-8")
    with pytest.raises(UnlearnError, match="7 is not a text"):
        load_measured(tmp_path, "after")
