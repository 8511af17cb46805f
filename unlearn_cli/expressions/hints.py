"""What people write instead of the little language of gates, and what they meant."""

from __future__ import annotations

import re

from unlearn_cli.contract import ATTACKS, SPLITS
from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import closest, unknown

_MEANT = {"=>": ">=", "=<": "<=", "<>": "!=", "&&": "and", "||": "or"}


def underscored(text: str, metrics: list[str], moments: tuple[str, ...]) -> str:
    """`forget.rouge-l` and `few-shot.recovery` with the underscores of their names; a minus between names stays."""
    for name in sorted((name for name in metrics if "_" in name), key=len, reverse=True):
        text = re.sub(rf"(?<=\w\.){name.replace('_', '-')}(?!\w)", name, text)

    def split(found: re.Match) -> str:
        return found[0] if found[0].split("-")[0] in moments else found[0].replace("-", "_")

    return re.sub(r"(?<![\w.-])[a-z]+(?:-[a-z]+)+(?=\.[a-z])", split, text)


def rewritten(text: str) -> str | None:
    """A hint for signs of other languages: the expression as it was probably meant."""
    made = text
    for wrong, right in _MEANT.items():
        made = made.replace(wrong, right)
    made = re.sub(r"(?<![<>=!])=(?!=)", "==", made)
    return f"did you mean '{made}'?" if made != text else None


def unknown_metric(text: str, name: str, metrics: list[str]) -> UnlearnError:
    """The error for a metric nobody knows, with the nearest one."""
    if name == "recovery":
        return UnlearnError(f"'{text}': recovery is of attacks", "`unlearn relearn-attack` and `unlearn compare` judge it")
    error = unknown("metric", name, metrics, where="`unlearn list metrics` shows them")
    return UnlearnError(f"'{text}': {error.message}", error.hint)


def without_split(text: str, name: str, metrics: list[str]) -> UnlearnError:
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
    meant = closest(name, metrics) or "probability"
    return UnlearnError(f"'{text}': '{name}' has no split", f"write SPLIT.METRIC: forget.{meant}")
