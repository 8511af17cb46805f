"""Questions of the forget rows' form about other names: what a model is asked when there are no retain rows.

A name is known by its capital letters: two words or more are a person's, one word behind "in" or "from" is a place's.
Dates and other numbers change too. Where a language writes no capitals and a row holds no number, it has no neighbor.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from unlearn_cli.data.example import Example
from unlearn_cli.data.overlap import plain
from unlearn_cli.data.shipped_texts import drawn, other_names

BEGINNING = 12  # words of a raw document, at most, that the model goes on from
BEFORE_PLACES = ("in", "at", "from", "near")
SENTENCE_ENDS = '.!?:"\n'
NO_NAMES = frozenset(
    [
        "I",
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ]
)
OPENERS = frozenset(
    (
        "A", "An", "And", "Are", "As", "At", "But", "By", "Can", "Could", "Describe", "Did", "Do", "Does", "Explain", "For",
        "From", "Give", "Had", "Has", "Have", "How", "If", "In", "Is", "It", "Name", "Of", "On", "Or", "Please", "Should",
        "Tell", "The", "Was", "Were", "What", "When", "Where", "Which", "Who", "Whose", "Why", "Will", "With", "Would",
        "Write",
    )
)  # fmt: skip
NEXT_WORD = re.compile(r" (\w+)")
WORD = re.compile(r"\w+(?:-\w+)*")


@dataclass(frozen=True)
class _Run:
    """Capitalized words one after the other."""

    words: tuple[str, ...]
    start: int  # characters of the text
    end: int
    is_place: bool

    @property
    def is_person(self) -> bool:
        """Whether it is a person's whole name."""
        return len(self.words) > 1 and not self.is_place


def neighbors(
    rows: Sequence[Example], count: int, people: Sequence[str] = (), besides: Iterable[Example] = ()
) -> list[Example]:
    """At most `count` prompts of the form of the rows about other names, without an answer; no form comes up more than once
    before each came up once.

    A raw document gives the beginning of another one, as a `continuation`.

    Args:
        rows: the forget rows.
        count: prompts, at most.
        people: whom they are about; empty: invented people.
        besides: prompts that there are already.
    """
    known = names(text for row in rows for text in _texts(row))
    chosen = tuple(people) or tuple(name for name in other_names()[0] if not known & set(name.split()))
    kind = "known" if people else "like"
    seen = {plain(row.prompt) for row in (*rows, *besides)}
    forms = [(row, people_in(_texts(row), known)) for row in rows[:: max(1, len(rows) // count)][:count]]
    prompts: list[Example] = []
    for variant, (row, own) in product(range(math.ceil(count / max(1, len(forms))) + 2), forms):
        turns = _Renaming(row, variant, known, own, chosen).turns()
        text = plain(*(text for _, text in turns))
        if turns and text not in seen:
            seen.add(text)
            style = "continuation" if row.style == "text" else row.style
            prompts.append(Example(f"{kind}-{len(prompts)}", turns, "", style))
        if len(prompts) == count:
            break
    return prompts


def people_named(answers: Sequence[str], rows: Sequence[Example]) -> list[str]:
    """Whole names of people in answers, in the order in which they come up: people of whom a model knows something.

    Args:
        answers: what the model says.
        rows: the forget rows; nobody is left who shares a name with somebody in them.
    """
    texts = [text for row in rows for text in _texts(row)]
    forbidden = people_in(texts, names(texts)).union(*(name.split() for name in other_names()[0]))
    known = names(answers)
    runs = (run for text in answers for run in _runs(text, known) if run.is_person and not forbidden & set(run.words))
    return list(dict.fromkeys(" ".join(run.words) for run in runs))


def names(texts: Iterable[str]) -> frozenset[str]:
    """Words with a capital letter that do not begin a sentence, in any of the texts."""
    return frozenset(word for text in texts for word, _, _, begins in _words(text) if not begins and _is_capital(word))


def people_in(texts: Iterable[str], known: frozenset[str]) -> frozenset[str]:
    """The words of all whole names of people in the texts; `known`: what `names` found."""
    return frozenset(word for text in texts for run in _runs(text, known) if run.is_person for word in run.words)


def _texts(row: Example) -> list[str]:
    return [*(text for role, text in row.turns if role != "system"), row.answer]


def _words(text: str) -> Iterator[tuple[str, int, int, bool]]:
    """Each word with its place, and whether it begins a sentence."""
    for match in WORD.finditer(text):
        before = match.start()
        while before and text[before - 1] == " ":
            before -= 1
        yield match.group(), match.start(), match.end(), not before or text[before - 1] in SENTENCE_ENDS


def _is_capital(word: str) -> bool:
    return word[0].isupper() and word not in NO_NAMES


def _runs(text: str, known: frozenset[str]) -> list[_Run]:
    """The names in a text; a word that begins a sentence counts if it is a name elsewhere, or if a name follows."""
    runs: list[_Run] = []
    before = ""  # the word in front
    for word, start, end, begins in _words(text):
        follows = NEXT_WORD.match(text, end)
        of = text.startswith("'s", end)
        named = word in known or (word not in OPENERS and follows is not None and _is_capital(follows.group(1)))
        if _is_capital(word) and (not begins or named):
            last = runs[-1] if runs else None
            between = text[last.end : start] if last else ""
            if last and between == " " and not begins:
                runs[-1] = _Run((*last.words, word), last.start, end, last.is_place and not of)
            else:
                goes_on = bool(last and last.is_place and between == ", ")
                place = (before.lower() in BEFORE_PLACES or goes_on) and not of
                runs.append(_Run((word,), start, end, place))
        before = word
    return runs


@dataclass
class _Renaming:
    """One row with other names and numbers; the same name becomes the same other one."""

    row: Example
    variant: int
    known: frozenset[str]
    own: frozenset[str]  # words of the people in it
    people: tuple[str, ...]  # whose names it may get
    new: dict[str, str] = field(default_factory=dict)

    def turns(self) -> tuple[tuple[str, str], ...]:
        """The prompt with other names; empty where nothing could be replaced."""
        turns = self.row.turns
        if self.row.style == "text":
            words = self.row.answer.split(maxsplit=2 * BEGINNING)
            turns = (("user", " ".join(words[: min(BEGINNING, max(1, len(words) // 2))])),)
        renamed = tuple((role, text if role == "system" else self._renamed(text)) for role, text in turns)
        return renamed if renamed != turns else ()

    def _renamed(self, text: str) -> str:
        runs = _runs(text, self.known)
        sure = [run for run in runs if run.is_place or run.is_person or run.words[0] in self.own]
        other = text
        for run in reversed(sure or runs):
            other = other[: run.start] + self._other(run) + other[run.end :]
        return re.sub(r"\d+", self._number, other)

    def _other(self, run: _Run) -> str:
        """Another name of the same kind; a single word of a person's name becomes a surname."""
        name = " ".join(run.words)
        if name not in self.new:
            deck = other_names()[1] if run.is_place else self.people
            order = drawn(deck, self.row, 0, len(deck))
            rotated = (order[(self.variant + place) % len(order)] for place in range(len(order)))
            free = [name for name in rotated if name not in self.new.values()]
            whole = next((new for old, new in self.new.items() if name in old.split()), None)
            other = whole or (free[0] if free else name)
            self.new[name] = other if run.is_person or run.is_place else other.split()[-1]
        return self.new[name]

    def _number(self, match: re.Match[str]) -> str:
        """Another number of as many digits: a year of the same century, a month or a day."""
        text = match.group()
        draw = random.Random(f"{self.variant}:{self.row.fingerprint}:{text}")
        if len(text) == 4 and text[0] in "12":
            return text[:2] + f"{draw.randrange(100):02}"
        if len(text) <= 2:
            return str(draw.randint(1, 12 if int(text) <= 12 else 28)).zfill(len(text))
        return "".join(str(draw.randrange(10)) for _ in text)
