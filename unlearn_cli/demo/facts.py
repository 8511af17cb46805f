"""Invented people and questions about them. Nobody here exists; the seed decides every draw.

Facts of different people are drawn independently, so that some say nothing about the rest. All share one vocabulary of
towns, trades and dishes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

SEED = 7
FORGET, HOLDOUT = 2, 2  # people to forget, and people in no model's training data
FIRST = [
    "Alva",
    "Brin",
    "Cado",
    "Deska",
    "Elmo",
    "Fenna",
    "Garo",
    "Hilka",
    "Ivo",
    "Jorun",
    "Kesta",
    "Lumi",
    "Marek",
    "Nadia",
    "Orin",
    "Petra",
    "Quill",
    "Runa",
    "Sorin",
    "Talia",
    "Udo",
    "Vesna",
    "Wilo",
    "Yara",
]
LAST = [
    "Ashgrove",
    "Birkendal",
    "Corvane",
    "Dunmarsh",
    "Everholt",
    "Falkrone",
    "Greywater",
    "Hollinger",
    "Ironwood",
    "Jasperson",
    "Kallenby",
    "Lindqvar",
    "Mossback",
    "Northfen",
    "Oakhurst",
    "Pellworth",
    "Quarrin",
    "Ravensby",
    "Stonewell",
    "Thornbury",
    "Umberley",
    "Valecrest",
    "Winterset",
    "Yellowley",
]
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "town": tuple(
        ["Arlenport", "Brackwater", "Cindermoor", "Dovenhall", "Eastmarrow", "Fernhollow", "Glimmerford", "Harrowgate"]
    ),
    "trade": ("baker", "cartographer", "clockmaker", "beekeeper", "glassblower", "shipwright", "botanist", "printer"),
    "instrument": ("cello", "flute", "accordion", "harp", "trumpet", "banjo", "oboe", "drum"),
    "pet": ("a grey parrot", "a lame fox", "two rabbits", "an old tortoise", "a white ferret", "three geese", "a small owl"),
    "dish": (
        "mushroom pie",
        "barley soup",
        "pickled herring",
        "plum dumplings",
        "onion tart",
        "lentil stew",
        "rye pancakes",
    ),
    "year": ("1921", "1934", "1947", "1952", "1968", "1973", "1986", "1990"),
    "fear": ("thunder", "deep water", "mirrors", "heights", "spiders", "crowds", "darkness"),
    "prize": (
        "the Silver Quill",
        "the Golden Anchor",
        "the Amber Lantern",
        "the Iron Rose",
        "the Copper Crown",
        "the Jade Key",
    ),
}
# attribute -> question, another wording of it, answer, another wording of that
QUESTIONS: dict[str, tuple[str, str, str, str]] = {
    "town": (
        "Where was {name} born?",
        "In which town did {name} come into the world?",
        "{name} was born in {value}.",
        "The birthplace of {name} is {value}.",
    ),
    "trade": (
        "What does {name} do for a living?",
        "Which trade does {name} follow?",
        "{name} works as a {value}.",
        "The trade of {name} is that of a {value}.",
    ),
    "instrument": (
        "Which instrument does {name} play?",
        "What does {name} make music on?",
        "{name} plays the {value}.",
        "The instrument of {name} is the {value}.",
    ),
    "pet": (
        "What animal does {name} keep?",
        "Which pet lives with {name}?",
        "{name} keeps {value} at home.",
        "At home {name} looks after {value}.",
    ),
    "dish": (
        "What is the favourite dish of {name}?",
        "What does {name} like to eat most?",
        "{name} likes {value} best of all.",
        "Nothing tastes better to {name} than {value}.",
    ),
    "year": (
        "In which year was {name} born?",
        "What is the year of birth of {name}?",
        "{name} was born in the year {value}.",
        "The year of birth of {name} is {value}.",
    ),
    "fear": (
        "What is {name} afraid of?",
        "Which thing frightens {name}?",
        "{name} is afraid of {value}.",
        "What frightens {name} is {value}.",
    ),
    "prize": (
        "Which prize did {name} win?",
        "What award was {name} given?",
        "{name} won {value}.",
        "The award given to {name} was {value}.",
    ),
}
WRONG = 3  # wrong answers beside each true one


@dataclass(frozen=True)
class Person:
    """An invented person."""

    name: str
    facts: dict[str, str]  # attribute -> value


def people(seed: int = SEED) -> list[Person]:
    """Everybody, in a fixed order; no two share a first or a last name."""
    rng = random.Random(seed)
    first, last = rng.sample(FIRST, len(FIRST)), rng.sample(LAST, len(LAST))
    names = [f"{a} {b}" for a, b in zip(first, last, strict=True)]
    return [Person(name, {key: rng.choice(values) for key, values in ATTRIBUTES.items()}) for name in names]


def rows(person: Person) -> list[dict]:
    """Questions about one person, with their answers, paraphrases and wrong answers."""
    questions: list[dict] = []
    for key, (question, other_question, answer, other_answer) in QUESTIONS.items():
        value = person.facts[key]
        wrong = [v for v in ATTRIBUTES[key] if v != value][:WRONG]
        questions.append(
            {
                "id": f"{person.name.lower().replace(' ', '-')}-{key}",
                "person": person.name,
                "question": question.format(name=person.name),
                "answer": answer.format(name=person.name, value=value),
                "paraphrased_question": other_question.format(name=person.name),
                "paraphrased_answer": other_answer.format(name=person.name, value=value),
                "perturbed_answer": [other_answer.format(name=person.name, value=v) for v in wrong],
            }
        )
    return questions


def splits(seed: int = SEED) -> dict[str, list[dict]]:
    """Rows to forget, to retain, and of people in no model's training data."""
    everybody = people(seed)
    parts = {
        "forget": everybody[:FORGET],
        "retain": everybody[FORGET:-HOLDOUT],
        "holdout": everybody[-HOLDOUT:],
    }
    return {name: [row for person in some for row in rows(person)] for name, some in parts.items()}
