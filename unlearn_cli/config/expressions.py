"""Options that are expressions over scores: parsed when the settings are read, written as text everywhere else."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PlainValidator

from unlearn_cli.contract import METRICS
from unlearn_cli.expressions.parser import Arithmetic, Condition, arithmetic, parse

RECOVERY = "recovery"  # stands where a metric does in expressions about attacks


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a valid string")
    return value


def metric_names() -> list[str]:
    """Metrics as expressions write them."""
    return [name.replace("-", "_") for name in METRICS.names()]


def _condition(value: Any, *, more: tuple[str, ...] = (), any_metric: bool = False) -> Condition:
    """A condition from its text. `more`: names that count as metrics; `any_metric`: every name counts."""
    if isinstance(value, Condition):
        return value
    return parse(_text(value), metrics=[*more, *metric_names()], any_metric=any_metric)


def _arithmetic(value: Any) -> Arithmetic:
    return value if isinstance(value, Arithmetic) else arithmetic(_text(value), metrics=metric_names())


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, (str, Condition)) else value


_AS_TEXT = PlainSerializer(str, return_type=str)
OneCondition = Annotated[Condition, PlainValidator(_condition, json_schema_input_type=str), _AS_TEXT]
_OfAttacks = Annotated[
    Condition, PlainValidator(partial(_condition, more=(RECOVERY,)), json_schema_input_type=str), _AS_TEXT
]
_OfReports = Annotated[
    Condition, PlainValidator(partial(_condition, more=(RECOVERY,), any_metric=True), json_schema_input_type=str), _AS_TEXT
]
Conditions = Annotated[tuple[OneCondition, ...], BeforeValidator(_as_list)]
AttackConditions = Annotated[tuple[_OfAttacks, ...], BeforeValidator(_as_list)]
# Reports may hold metrics that are not installed here, so the reader of the reports checks the names.
ReportConditions = Annotated[tuple[_OfReports, ...], BeforeValidator(_as_list)]
Score = Annotated[Arithmetic, PlainValidator(_arithmetic, json_schema_input_type=str), _AS_TEXT]
