"""Held-out retain rows: no run trains on them, and they judge what a run keeps.

Training raises the probability of its retain rows, while all other knowledge may be lost. So a share of the retain rows
is held out. Near-duplicates stay together: a held-out row with a near-duplicate in training would be trained on, too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from unlearn_cli.data.example import Example
from unlearn_cli.data.overlap import content, plain

RETAIN_TRAINED = "retain_trained"  # the split of the other rows
SEED = 0  # not the run's: runs of other seeds are judged on the same rows
FEWEST = 8  # held-out rows: below that a mean says little
SMALLEST = 4  # retain rows: of fewer none is held out
ALIKE = 0.6  # Jaccard similarity of word triples from which two rows are near-duplicates
RAREST = 8  # of a row's triples are looked up in other rows
COMMON = 40  # a triple in more rows than this is common wording and is skipped


def held_out(examples: Sequence[Example], *, share: float) -> frozenset[int]:
    """Indices of the rows to hold out: a share of them, at least `FEWEST`, at most half; whole groups of near-duplicates.

    Args:
        examples: the retain rows.
        share: of the rows, in (0, 1); 0 holds none out.

    Returns:
        the indices; empty if there are fewer than `SMALLEST` rows, or if all rows are near-duplicates of each other.
    """
    count = len(examples)
    if not share or count < SMALLEST:
        return frozenset()
    wanted = min(max(round(share * count), FEWEST), count // 2)
    chosen: set[int] = set()
    groups = near_duplicates(examples)
    for index in np.random.default_rng([SEED, count]).permutation(len(groups)):
        group = groups[index]
        if len(chosen) + len(group) <= max(wanted, count // 2 if not chosen else wanted):
            chosen.update(group)
        if len(chosen) >= wanted:
            break
    return frozenset(chosen)


def near_duplicates(examples: Sequence[Example]) -> list[list[int]]:
    """Groups of indices: rows whose word triples are mostly the same, directly or over a third row; every row is in one."""
    triples = [_triples(example) for example in examples]
    rows_with: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, own in enumerate(triples):
        for triple in own:
            rows_with[triple].append(index)
    parent = list(range(len(examples)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first_at: dict[str, int] = {}
    for index, example in enumerate(examples):  # copies, however common their wording
        parent[index] = first_at.setdefault(content(example), index)
    for index, own in enumerate(triples):
        shared = sorted((len(rows_with[triple]), triple) for triple in own if 1 < len(rows_with[triple]) <= COMMON)
        others = {other for _, triple in shared[:RAREST] for other in rows_with[triple] if other > index}
        for other in others:
            both = len(own & triples[other])
            if both >= ALIKE * (len(own) + len(triples[other]) - both):
                parent[root(other)] = root(index)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(examples)):
        groups[root(index)].append(index)
    return list(groups.values())


def _triples(example: Example) -> frozenset[tuple[str, ...]]:
    """Every three words in a row of question and answer; of fewer words all of them."""
    words = re.findall(r"\w+", plain(*(text for role, text in example.turns if role != "system"), example.answer))
    return frozenset(zip(words, words[1:], words[2:], strict=False)) or frozenset({tuple(words)})
