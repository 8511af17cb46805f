"""Whether runs are comparable: those measured or attacked differently are refused, or labeled and never ranked."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.attack_report import AttackReport
from unlearn_cli.config import EvaluateConfig
from unlearn_cli.errors import UnlearnError
from unlearn_cli.hashing import fingerprint
from unlearn_cli.recipes.comparison.runs import Entry


@dataclass(frozen=True)
class Comparability:
    """The scores of the runs that may be compared."""

    run_hashes: dict[str, str] = field(default_factory=dict)  # run -> short hash of its protocol; empty if all are equal
    differing: frozenset[str] = frozenset()  # splits whose protocol differs between the runs
    baseline_differing: frozenset[str] = frozenset()  # splits whose protocol differs between the baseline and a run
    attack_difference: str | None = None  # the difference between the relearning attacks, in words

    def comparable(self, split: str, splits: Collection[str]) -> bool:
        """Whether scores of a split may be ranked.

        Args:
            split: a split, or a group of scores over several splits, for which all splits must be comparable.
            splits: the splits of all runs.
        """
        return split not in self.differing if split in splits else not self.differing


def check_comparability(entries: Sequence[Entry], baseline: Entry | None, *, allow: bool) -> Comparability:
    """Compare the protocols of the runs, of the baseline, and of the relearning attacks.

    Args:
        entries: the runs.
        baseline: the evaluation given as baseline.
        allow: label runs whose protocols differ instead of refusing them.

    Raises:
        UnlearnError: protocols differ, and `allow` is false.
    """
    first: dict[str, Entry] = {}
    differing: set[str] = set()
    baseline_differing: set[str] = set()
    for entry in [*entries, *([baseline] if baseline else [])]:
        for key, protocol_hash in entry.protocol_hashes.items():
            earlier = first.setdefault(key, entry)
            if protocol_hash == earlier.protocol_hashes[key]:
                continue
            if not allow:
                names = f"{earlier.name} and {'the baseline ' if entry is baseline else ''}{entry.name}"
                raise UnlearnError(
                    f"{names} were measured differently: {_differences(earlier, entry, key)} differ",
                    _as_the_other(entry, earlier, key),
                )
            (baseline_differing if entry is baseline else differing).add(key)
    run_hashes = {}
    if differing:
        keys = sorted(differing)
        run_hashes = {entry.name: fingerprint([entry.protocol_hashes.get(key) for key in keys])[:6] for entry in entries}
    splits, baseline_splits = (frozenset(key.split()[0] for key in keys) for keys in (differing, baseline_differing))
    return Comparability(run_hashes, splits, baseline_splits, _attack_difference(entries))


def _protocol(entry: Entry, key: str) -> dict[str, Any]:
    """The protocol of the scores that are shown of a split."""
    sources = entry.sources(key.split()[0])
    return next(source for source in sources if key in source.protocol_hashes).protocol(key)


def _differences(one: Entry, other: Entry, key: str) -> str:
    """The parts of the protocol that differ, in words, with their values where those are numbers."""
    first, second = _protocol(one, key), _protocol(other, key)
    parts = []
    for name in _unequal(first, second):
        values = (first.get(name), second.get(name))
        parts.append(f"{name} ({values[0]} and {values[1]})" if all(type(v) in (int, float) for v in values) else name)
    return f"of {key} the {', '.join(parts)}"


def _as_the_other(run: Entry, other: Entry, key: str) -> str:
    """The command that measures a run with the other's settings; advice where that is not a matter of settings."""
    wanted = _protocol(other, key)
    names = _unequal(_protocol(run, key), wanted)
    marked = "or --allow-different, which marks them"
    settings = set(EvaluateConfig.model_fields)
    if run.report.command != "forget" or any(
        name not in settings or type(wanted[name]) not in (int, float) for name in names
    ):
        return f"evaluate both with the same data and limits, {marked}"
    flags = [part for name in names for part in (f"--{name.replace('_', '-')}", str(wanted[name]))]
    command = shlex.join(["unlearn", "evaluate", str(run.path), *flags, "-o", f"{str(run.path).rstrip('/')}-again"])
    return f"measure {run.name} like {other.name}, {marked}: {command}"


def _unequal(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return [name for name in {**first, **second} if first.get(name) != second.get(name)]


def _attack_difference(entries: Sequence[Entry]) -> str | None:
    """The difference between the relearning attacks on the runs, in words; None if they are comparable."""
    attacked = [entry for entry in entries if "relearn" in entry.report.attacks or entry.attack]
    if len(attacked) < 2:
        return None
    unknown = [entry.name for entry in attacked if entry.attack is None]
    if unknown:
        return f"how {', '.join(unknown)} was attacked is not known (attacks/relearn/report.json is missing)"
    protocols = [_attack_protocol(entry.attack) for entry in attacked if entry.attack]
    for entry, protocol in zip(attacked[1:], protocols[1:], strict=True):
        if names := _unequal(protocols[0], protocol):
            return f"{attacked[0].name} and {entry.name} were attacked differently: {', '.join(names)} differ"
    return None


def _attack_protocol(report: AttackReport) -> dict[str, Any]:
    """Everything except the run that recovery depends on."""
    values: dict[str, set[str]] = {}
    for curve in report.curves:
        if curve.role == "unlearned":
            for name, value in curve.parameters.items():
                values.setdefault(name, set()).add(json.dumps(value))
    given = report.config.get("baseline") or ()  # a text in reports of releases that took one
    controls = [str(one).rstrip("/").rsplit("/", 1)[-1] for one in ([given] if isinstance(given, str) else given)]
    return {
        "forget rows": (report.forget_sha256, report.judged_rows, report.attacker_rows),
        "share": report.config.get("share"),
        "attack_data": report.config.get("attack_data"),
        "baseline": None if report.upper_bound or not controls else " + ".join(controls),
    } | {name: sorted(texts) for name, texts in values.items()}
