"""Hints for expressions in the syntax of other languages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unlearn_cli.contract import ATTACKS, SPLITS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import closest, unknown

_OTHER_LANGUAGES = {"=>": ">=", "=<": "<=", "<>": "!=", "&&": "and", "||": "or"}


def underscored(text: str, metrics: Sequence[str], moments: tuple[str, ...]) -> str:
    """`forget.rouge-l` and `few-shot.recovery` with the underscores of their names; a minus between names stays."""
    for name in sorted((name for name in metrics if "_" in name), key=len, reverse=True):
        text = re.sub(rf"(?<=\w\.){name.replace('_', '-')}(?!\w)", name, text)

    def split(match: re.Match[str]) -> str:
        return match[0] if match[0].split("-")[0] in moments else match[0].replace("-", "_")

    return re.sub(r"(?<![\w.-])[a-z]+(?:-[a-z]+)+(?=\.[a-z])", split, text)


def rewritten(text: str) -> str | None:
    """A hint for operators of other languages: the expression in ours; None if there are none."""
    corrected = text
    for wrong, right in _OTHER_LANGUAGES.items():
        corrected = corrected.replace(wrong, right)
    corrected = re.sub(r"(?<![<>=!])=(?!=)", "==", corrected)
    return f"did you mean '{corrected}'?" if corrected != text else None


def unknown_metric(text: str, name: str, metrics: Sequence[str]) -> UnlearnError:
    """The error for an unknown metric, with the nearest one."""
    if name == "recovery":
        return UnlearnError(f"'{text}': recovery is of attacks", "`unlearn relearn-attack` and `unlearn compare` judge it")
    error = unknown("metric", name, metrics, where="`unlearn list metrics` shows them")
    return UnlearnError(f"'{text}': {error.message}", error.hint)


def without_split(text: str, name: str, metrics: Sequence[str]) -> UnlearnError:
    """`probability > 0.1`, or what is left of `forget.rouge-x`."""
    hyphened = re.search(rf"\.([\w-]+-{re.escape(name)})\b", text)
    if hyphened:
        return unknown_metric(text, hyphened[1].replace("-", "_"), metrics)
    if name in SPLITS:
        return UnlearnError(f"'{text}': '{name}' has no metric", f"write SPLIT.METRIC: {name}.probability")
    if name == "recovery":
        return UnlearnError(f"'{text}': '{name}' has no attack", "write ATTACK.METRIC: relearn.recovery.max")
    if ATTACKS.has(name):
        return UnlearnError(f"'{text}': '{name}' has no metric", f"write ATTACK.METRIC: {name}.recovery.max")
    metric = closest(name, metrics) or "probability"
    return UnlearnError(f"'{text}': '{name}' has no split", f"write SPLIT.METRIC: forget.{metric}")
