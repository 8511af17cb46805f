"""Parameters of metrics: `--metric-parameter rouge_l.stem=false`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearn_cli.contract import METRICS
from unlearn_cli.errors import UnlearnError


def by_metric(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`rouge_l.stem=false` as {"rouge_l": {"stem": false}}.

    Raises:
        UnlearnError: no metric of that name, or no metric named.
    """
    parameters: dict[str, dict[str, Any]] = {}
    for key, value in given.items():
        name, dot, parameter = key.partition(".")
        if not dot:
            raise UnlearnError(f"--metric-parameter {key} names no metric", "for example rouge_l.stem=false")
        parameters.setdefault(METRICS.canonical(name).replace("-", "_"), {})[parameter] = value
    return parameters


def check_metric_parameters(given: Mapping[str, Any]) -> None:
    """Check the parameters of metrics, before anything is measured.

    Raises:
        UnlearnError: an unknown metric or parameter, or an impossible value.
    """
    for metric, parameters in by_metric(given).items():
        METRICS.get(metric).resolve(parameters)
