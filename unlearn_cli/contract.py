"""What a method, a retain term or a metric declares, read from its signature.

Positional names say what it needs (forward passes for a method, splits for a metric); keyword-only names are its
hyper-parameters, each with a type, a default and, through `parameter`, bounds and a help text.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import Registry, unknown

ROLES = ("policy", "reference", "alternative", "alternative_reference")
SPLITS = ("split", "forget", "retain", "holdout", "baseline")

METHODS = Registry("method", "unlearn_cli.methods")
RETAIN_TERMS = Registry("retain term", "unlearn_cli.retain_terms")
METRICS = Registry("metric", "unlearn_cli.metrics")

Target = Literal["min", "max", "baseline"]


def parameter(help: str, **bounds: Any) -> Any:  # noqa: A002 - the word every reader expects
    """A hyper-parameter's help text and pydantic bounds (gt, ge, lt, le), for use inside `Annotated`."""
    return Field(description=help, **bounds)


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter of a method, retain term or metric."""

    name: str
    type: Any
    default: Any
    help: str

    def parse(self, owner: str, value: Any) -> Any:
        """The value in its declared type.

        Raises:
            UnlearnError: not of that type, or out of bounds.
        """
        try:
            return TypeAdapter(self.type).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UnlearnError(f"{owner}: parameter '{self.name}' = {value!r}: {reason}", self.help) from None


@dataclass(frozen=True)
class Declared:
    """A registered function together with what its signature declares; called like the function itself."""

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    paper: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @property
    def documentation(self) -> str:
        """The docstring of the file: name, formula, source, limits."""
        return inspect.cleandoc(inspect.getmodule(self.function).__doc__ or "")

    @property
    def summary(self) -> str:
        """The first line of the file's docstring."""
        return self.documentation.splitlines()[0]

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter's value: the default, unless given.

        Raises:
            UnlearnError: an unknown name or a bad value.
        """
        for name in given:
            if name not in self.parameters:
                where = None if self.parameters else f"{self.name} has no parameters"
                raise unknown(f"parameter of {self.name}:", name, self.parameters, where=where)
        return {n: p.parse(self.name, given[n]) if n in given else p.default for n, p in self.parameters.items()}


@dataclass(frozen=True)
class Defaults:
    """Settings that depend on the method: they apply where the user gives none.

    `learning_rate_multiplier` scales the rate of the LoRA scaling rule (`training/optimizer.py`); found by trial.
    """

    retain_term: str = "nll"
    forget_weight: float = 1.0
    retain_weight: float = 1.0
    epochs: int = 5
    batch_size: int = 8
    retain_ratio: int = 1
    learning_rate_multiplier: float = 1.0


@dataclass(frozen=True)
class Method(Declared):
    """A forget objective: (Outputs by role, parameters) -> losses [B]."""

    logits: frozenset[str] = frozenset()  # roles whose Outputs must carry logits
    defaults: Defaults = field(default_factory=Defaults)


@dataclass(frozen=True)
class RetainTerm(Declared):
    """A term that keeps the retain rows: same form as a method, seen on retain rows."""

    logits: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Metric(Declared):
    """A pure function of measurements: (Measured by split, parameters) -> values [R], or one number."""

    targets: Mapping[str, Target] = field(default_factory=dict)
    range: tuple[float, float] = (0.0, 1.0)
    generates: bool = False  # needs generated answers, not only teacher-forced ones


def _signature(function: Callable[..., Any], allowed: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, Parameter]]:
    hints = get_type_hints(function, include_extras=True)
    needs, parameters = [], {}
    for name, item in inspect.signature(function).parameters.items():
        if item.kind is inspect.Parameter.KEYWORD_ONLY:
            if item.default is inspect.Parameter.empty:
                raise TypeError(f"{function.__name__}: parameter '{name}' needs a default")
            extras = getattr(hints[name], "__metadata__", ())
            help_text = next((x.description for x in extras if isinstance(x, FieldInfo)), None) or ""
            parameters[name] = Parameter(name, hints[name], item.default, help_text)
        elif name in allowed:
            needs.append(name)
        else:
            raise TypeError(f"{function.__name__}: positional name '{name}' is none of {', '.join(allowed)}")
    return tuple(needs), parameters


def _declare(kind: type, allowed: tuple[str, ...], paper: str | None, **extra: Any) -> Callable[[Callable], Any]:
    if paper is not None and not re.fullmatch(r"\d{4}\.\d{4,5}", paper):
        raise TypeError(f"paper='{paper}' is no arXiv id")

    def decorate(function: Callable) -> Any:
        needs, parameters = _signature(function, allowed)
        # A metric's name is a key in reports and gates (forget.rouge_l), the others' are words of the command line.
        name = function.__name__ if kind is Metric else function.__name__.replace("_", "-")
        return kind(name, function, needs, MappingProxyType(parameters), paper, **extra)

    return decorate


def method(*, paper: str, defaults: Defaults, logits: tuple[str, ...] = ()) -> Callable[[Callable], Method]:
    """Declare a forget objective. `logits` names the roles whose Outputs must carry logits [B, T, V]."""
    return _declare(Method, ROLES, paper, logits=frozenset(logits), defaults=defaults)


def retain_term(*, paper: str | None = None, logits: tuple[str, ...] = ()) -> Callable[[Callable], RetainTerm]:
    """Declare a retain term; its roles are `policy` and `reference`, on retain rows."""
    return _declare(RetainTerm, ("policy", "reference"), paper, logits=frozenset(logits))


def metric(
    *,
    targets: Mapping[str, Target],
    range: tuple[float, float],  # noqa: A002 - the word every reader expects
    paper: str | None = None,
    generates: bool = False,
) -> Callable[[Callable], Metric]:
    """Declare a metric. `targets` says for each split whether smaller, larger or equal to the baseline is better."""
    return _declare(Metric, SPLITS, paper, targets=MappingProxyType(dict(targets)), range=range, generates=generates)
