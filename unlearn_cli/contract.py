"""What a method, a retain term or a metric declares, read from its signature.

Positional names say what it needs (forward passes for a method, splits for a metric); keyword-only names are its
hyper-parameters, each with a type, a default and, through `parameter`, bounds and a help text. Some parameter names mean
something to the recipe: `positions` (which tokens of a row count), `layer` or `layers` (relative depths at which hidden
states are read), and `samples` (alternatives that the model makes up for a question, where the method has them
generated). A parameter of type `Phrase` is text that arrives as token ids.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from unlearn_cli.errors import UnlearnError
from unlearn_cli.registry import Registry, unknown
from unlearn_cli.values import check_plain, check_size

OUTPUT_ROLES = ("policy", "reference", "alternative", "alternative_reference")
# progress: float, share of the steps that are done, 0 at the first and below 1 at the last. direction: [H] float32,
# mean hidden state where refusals are about to be given less that where forget answers are (`layer` says at which depth).
ROLES = (*OUTPUT_ROLES, "progress", "direction")
RETAIN_ROLES = ("policy", "reference", "alternative", "progress")
SPLITS = ("split", "forget", "retain", "holdout", "real_authors", "world_facts", "before", "baseline")

Target = Literal["min", "max", "baseline"]
Alternatives = Literal["refusals", "generated", "mismatched", "perturbed"]
Trains = Literal["all", "down_projection", "assistant"]
Applied = Literal["adapter", "negated_adapter", "logit_difference", "logit_offset", "reinforced_difference"]


SHOWN = 80  # characters of a wrong value that a message repeats


def parameter(help: str, **bounds: Any) -> Any:
    """A hyper-parameter's help text and pydantic bounds (gt, ge, lt, le), for use inside `Annotated`."""
    return Field(description=help, **bounds)


def _listed(kind: type) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if isinstance(value, str):
            return tuple(kind(part) for part in value.split("+"))
        return (value,) if isinstance(value, (int, float)) else value

    return parse


_PHRASE = "phrase"
Phrase = Annotated[str | tuple[int, ...], _PHRASE]  # text for the user, token ids for the method
# Relative depths, written 0.3+0.6.
Depths = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], BeforeValidator(_listed(float)), Field(min_length=1)]
Layers = Annotated[
    Literal["all"] | tuple[Annotated[float, Field(ge=0, le=1)], ...],
    BeforeValidator(lambda value: value if value == "all" else _listed(float)(value)),
]


def grid(smallest: int, largest: int) -> Any:
    """The type of a parameter that is several whole numbers, written 1+2+5, each within these bounds."""
    each = Annotated[int, Field(ge=smallest, le=largest)]
    return Annotated[tuple[each, ...], BeforeValidator(_listed(int)), Field(min_length=1)]


Average = Annotated[Literal["answers", "tokens"], parameter("weigh every answer alike, or every token")]
Positions = Annotated[
    Literal["answer", "all", "prompt"], parameter("what counts: the answer's tokens, the whole row, or the prompt's tokens")
]


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter of a method, retain term or metric."""

    name: str
    type: Any
    default: Any
    help: str
    phrase: bool = False  # text that the method sees as token ids

    def parse(self, owner: str, value: Any) -> Any:
        """The value in its declared type.

        Raises:
            UnlearnError: not of that type, or out of bounds.
        """
        kind = TypeAdapter(self.type, config=ConfigDict(allow_inf_nan=False))
        try:
            check_plain(value, self.type)
            check_size(parsed := kind.validate_python(value))
            if value == "" or (self.phrase and not parsed):
                raise ValueError("a text without a character means nothing here")
            return parsed
        except ValueError as error:  # of pydantic too
            if value == "none":  # as the command line writes None
                with suppress(ValidationError):
                    return kind.validate_python(None)
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            shown = textwrap.shorten(repr(value), SHOWN)
            raise UnlearnError(f"{owner}: parameter '{self.name}' = {shown}: {reason}", self.help) from None


@dataclass(frozen=True)
class Declared:
    """A registered function together with what its signature declares; called like the function itself."""

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    paper: str | None = None
    # The authors' setting: parameters of its own and settings of `unlearn forget`, by name; empty: the paper gives none.
    published: Mapping[str, Any] | None = None
    because: str = ""  # why the defaults differ from it, or why there is none

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @property
    def documentation(self) -> str:
        """The docstring of the file: name, formula, source, limits."""
        return inspect.cleandoc(inspect.getmodule(self.function).__doc__ or "")

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
    robust: str = "none"
    optim: str = "auto"
    lora_init: str = "default"


@dataclass(frozen=True)
class Term(Declared):
    """(Outputs by role, parameters) -> losses [B]."""

    logits: frozenset[str] = frozenset()  # roles whose Outputs must carry logits
    hidden: frozenset[str] = frozenset()  # roles whose Outputs must carry hidden states, at the parameter `layer(s)`
    reads: Literal["stream", "mlp"] = "stream"  # hidden states are the residual stream after a block, or its MLP's output
    logps: bool = True  # False: token_logps are not used, and the forward pass may stop after the deepest layer
    # A row's loss and gradient depend on values of the other rows of the micro-batch; no gradient reaches those.
    coupled: bool = False


NextWeight = Callable[[float, float, float, Mapping[str, Any]], float]


@dataclass(frozen=True)
class Method(Term):
    """A forget objective."""

    defaults: Defaults = field(default_factory=Defaults)
    alternatives: Alternatives = "refusals"  # where alternative answers come from if the data brings none
    trains: Trains = "all"  # which modules get an adapter
    applied: Applied = "adapter"  # what the artefact is, and how it is used
    # A dual variable: (retain weight, retain loss, epochs before the step, parameters) -> retain weight of the next step.
    next_retain_weight: NextWeight | None = None


@dataclass(frozen=True)
class Procedure(Declared):
    """A method that is no loss: (workbench, parameters) -> iterator of step records. See `training/workbench.py`.

    With a parameter `base` the user chooses the method it is built on, and that one's settings but for the epochs are the
    defaults.
    """

    defaults: Defaults = field(default_factory=Defaults)
    artefact: Literal["adapter", "model"] = "model"
    base: str = "npo"  # the method of its workbench, if it has no parameter of that name
    scheduled: bool = True  # it has steps whose rate follows --lr-scheduler-type and --warmup-ratio
    steps: Callable[..., int] = lambda bench, **parameters: 1  # (workbench, parameters) -> steps in all


@dataclass(frozen=True)
class Robust(Declared):
    """A rule that makes one step's gradient: (gradients, parameters) -> None. See `training/gradients.py`."""


@dataclass(frozen=True)
class RetainTerm(Term):
    """A term that keeps the retain rows: same form as a method, seen on retain rows."""


@dataclass(frozen=True)
class Metric(Declared):
    """A pure function of measurements: (Measured by split, parameters) -> values [R], or one number.

    A metric of one split says `split`. One that compares splits names them, and stands in the report under `group`: with
    `aggregate="auc"` it returns one score a row for each of two splits, and its value is the probability that a row of the
    second has the larger one. `baseline` is a mapping from split to the retain-only model's measurements, `before` one to
    those of the untouched model. With further numbers to tell a metric returns (values, details).
    """

    targets: Mapping[str, Target] = field(default_factory=dict)
    range: tuple[float, float] = (0.0, 1.0)
    generates: bool = False  # needs generated answers, not only teacher-forced ones
    aggregate: Literal["mean", "auc"] = "mean"
    group: str | None = None  # where a metric of several splits stands in the report
    splits: tuple[str, ...] = ()  # a metric of one split: those it is made for; empty: all
    undefined: str = ""  # why a row may have no value, for the report
    fluency: bool = False  # about the language of the answers, whatever they say
    shown: bool = True  # in the table of a terminal; the report has every metric

    def target(self, split: str) -> Target | None:
        """Which way is better on a split; `forget_jailbreak` goes by `forget`."""
        return self.targets.get(split, self.targets.get(split.partition("_")[0]))


@dataclass(frozen=True)
class Attack(Declared):
    """An attempt to bring back what was forgotten: (target, parameters) -> iterator of points. See `attacks/_target.py`.

    Parameters `learning_rate` and `seed` are single values for the attack; the user may give several, and each is a
    curve of its own.
    """

    along: str = "step"  # what the points of a curve are told by
    access: Literal["weights", "queries", "activations"] = "weights"  # what the attacker needs


def _signature(function: Callable[..., Any], allowed: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, Parameter]]:
    hints = get_type_hints(function, include_extras=True)
    needs, parameters = [], {}
    for name, item in inspect.signature(function).parameters.items():
        if item.kind is inspect.Parameter.KEYWORD_ONLY:
            if item.default is inspect.Parameter.empty:
                raise TypeError(f"{function.__name__}: parameter '{name}' needs a default")
            extras = getattr(hints[name], "__metadata__", ())
            # The last help text wins: a parameter may say more than a shared type such as `Average` does.
            help_text = next((x.description for x in reversed(extras) if isinstance(x, FieldInfo)), None) or ""
            parameters[name] = Parameter(name, hints[name], item.default, help_text, _PHRASE in extras)
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


def method(
    *,
    paper: str | None = None,
    defaults: Defaults | None = None,
    logits: tuple[str, ...] = (),
    hidden: tuple[str, ...] = (),
    **declared: Any,
) -> Callable[[Callable], Method]:
    """Declare a forget objective.

    Args:
        paper: arXiv id; every method of this package has one.
        defaults: settings where the user gives none; None: those of `Defaults`.
        logits: roles whose Outputs must carry logits [B, T, V].
        hidden: roles whose Outputs must carry hidden states, one [B, T, H] for each of the parameter `layer(s)`.
        declared: further fields of `Method`, `published` and `because` among them.
    """
    named = {"logits": frozenset(logits), "hidden": frozenset(hidden), **declared}
    return _declare(Method, ROLES, paper, defaults=defaults or Defaults(), **named)


def retain_term(
    *, paper: str | None = None, logits: tuple[str, ...] = (), hidden: tuple[str, ...] = (), **declared: Any
) -> Callable[[Callable], RetainTerm]:
    """Declare a retain term; its roles are on retain rows. Arguments as for `method`."""
    named = {"logits": frozenset(logits), "hidden": frozenset(hidden), **declared}
    return _declare(RetainTerm, RETAIN_ROLES, paper, **named)


def procedure(
    *, paper: str | None = None, defaults: Defaults | None = None, **declared: Any
) -> Callable[[Callable], Procedure]:
    """Declare a method that works on weights rather than through one loss; arguments as for `method`."""
    return _declare(Procedure, ("bench",), paper, defaults=defaults or Defaults(), **declared)


def robust(*, paper: str | None = None) -> Callable[[Callable], Robust]:
    """Declare a rule that makes the gradient of a step; it is called with `Gradients`."""
    return _declare(Robust, ("gradients",), paper)


def attack(*, along: str, paper: str | None = None, **declared: Any) -> Callable[[Callable], Attack]:
    """Declare an attack; it is called with a `Target`. `declared`: further fields of `Attack`."""
    return _declare(Attack, ("target",), paper, along=along, **declared)


def metric(
    *,
    targets: Mapping[str, Target],
    range: tuple[float, float],
    paper: str | None = None,
    **declared: Any,
) -> Callable[[Callable], Metric]:
    """Declare a metric. `targets` says for each split or group whether smaller, larger or equal to the baseline is better.

    `declared`: further fields of `Metric`.
    """
    return _declare(Metric, SPLITS, paper, targets=MappingProxyType(dict(targets)), range=range, **declared)


METHODS = Registry[Method | Procedure]("method", "unlearn_cli.methods")
RETAIN_TERMS = Registry[RetainTerm]("retain term", "unlearn_cli.retain_terms")
METRICS = Registry[Metric]("metric", "unlearn_cli.metrics")
ROBUST = Registry[Robust]("robust rule", "unlearn_cli.robust")
ATTACKS = Registry[Attack]("attack", "unlearn_cli.attacks")
