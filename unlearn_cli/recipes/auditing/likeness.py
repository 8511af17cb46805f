"""How near a second run is to the first: its inputs, its environment, its scores. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from unlearn_cli.lineage import FOLDER, Link
from unlearn_cli.report import RunReport, Score

Weight = Literal["decides", "rounds", "none"]
# By how much a difference may matter: another device or version of these can compute something else; of those, rounds
# otherwise; the rest is not on the way from rows to scores.
DECIDES = {"unlearn", "torch", "transformers", "peft", "bitsandbytes", "devices", "cuda", "tf32"}
ROUNDS = {
    "cpu_threads",
    "cpu_threads_from",
    "processes",
    "numpy",
    "scipy",
    "accelerate",
    "deterministic",
    "python",
    "platform",
    "rouge_score",
    "safetensors",
}
ORDER: tuple[Weight, ...] = ("decides", "rounds", "none")
IN_WORDS = {"decides": "may change results", "rounds": "may change roundings", "none": "does not matter"}


@dataclass(frozen=True)
class Difference:
    """One difference between the two runs."""

    name: str
    first: Any
    second: Any
    matters: Weight = "decides"

    @property
    def in_words(self) -> str:
        """A line."""
        return f"{self.name}: {_short(self.first)} -> {_short(self.second)}"


@dataclass(frozen=True)
class ScorePair:
    """One score in both runs."""

    name: str  # SPLIT.METRIC
    first: float
    second: float
    ci: tuple[float, float] | None  # of the first

    @property
    def within(self) -> bool | None:
        """Whether the second is inside the interval of the first; None where there is no interval and they differ."""
        if self.first == self.second:
            return True
        return None if self.ci is None else self.ci[0] <= self.second <= self.ci[1]


@dataclass(frozen=True)
class Likeness:
    """How near the second run is."""

    environment: list[Difference]
    scores: list[ScorePair]
    status: tuple[str, str]
    files: dict[str, bool]  # of the artifact -> the same bytes

    @property
    def same_floats(self) -> bool:
        """Every score is the same number."""
        return all(pair.first == pair.second for pair in self.scores)

    @property
    def outside(self) -> list[ScorePair]:
        """Scores outside of the first run's intervals."""
        return [pair for pair in self.scores if pair.within is False]

    @property
    def reproduced(self) -> bool:
        """Whether the run ended in the same way and no score is outside."""
        return self.status[0] == self.status[1] and not self.outside

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "reproduced": self.reproduced,
            "same_floats": self.same_floats,
            "status": list(self.status),
            "environment": [asdict(one) for one in self.environment],
            "scores": [asdict(pair) | {"within": pair.within} for pair in self.scores],
            "artifact": self.files,
        }


def likeness(first: RunReport, second: RunReport) -> Likeness:
    """Compare two runs of one configuration."""
    artifacts = [report.artifact.files if report.artifact else {} for report in (first, second)]
    return Likeness(
        environment=environment_differences(first.environment, second.environment),
        scores=list(score_pairs(first, second)),
        status=(first.status, second.status),
        files={name: artifacts[1].get(name) == sha for name, sha in artifacts[0].items()},
    )


def input_differences(first: Link, second: Mapping[str, str]) -> list[Difference]:
    """Files and rows that are not those of the first run; `second`: PLACE/FILE -> sha256 as they are now."""
    before = {name: sha for name, sha in first.read.items() if not name.startswith(f"{FOLDER}/")}
    names = [name for name in {**before, **second} if before.get(name) != second.get(name)]
    return [Difference(name, before.get(name), second.get(name)) for name in names]


def environment_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """What differs between two environments, what matters most first."""
    flat = [{**{k: v for k, v in one.items() if k != "packages"}, **one.get("packages", {})} for one in (first, second)]
    differing = [
        Difference(name, flat[0].get(name), flat[1].get(name), _matters(name))
        for name in {**flat[0], **flat[1]}
        if flat[0].get(name) != flat[1].get(name)
    ]
    return sorted(differing, key=lambda one: (ORDER.index(one.matters), one.name))


def score_pairs(first: RunReport, second: RunReport) -> list[ScorePair]:
    """The scores after, of both runs, by name; those that only one of them has are left out."""
    pairs = []
    for split, metrics in first.scores.items():
        for metric, both in metrics.items():
            again = second.scores.get(split, {}).get(metric)
            old, new = both.after, again.after if again else None
            if old and new and old.value is not None and new.value is not None:
                pairs.append(ScorePair(f"{split}.{metric}", old.value, new.value, _interval(old)))
    return pairs


def _interval(score: Score) -> tuple[float, float] | None:
    return score.ci


def _matters(name: str) -> Weight:
    return "decides" if name in DECIDES else "rounds" if name in ROUNDS else "none"


def _short(value: Any) -> str:
    text = "none" if value in (None, []) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text[:12] if len(text) == 64 else text
