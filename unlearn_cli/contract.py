"""The contract of methods, retain terms, robust rules, metrics and attacks: what each declares, and where it is registered.

A decorator reads the function's signature. Positional names say what it needs (forward passes for a method, splits for a
metric); keyword-only names are its hyper-parameters (`parameters.py`). A file imports all that it declares from here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from unlearn_cli.parameters import (
    Average,
    Depths,
    Layers,
    Parameter,
    Phrase,
    Positions,
    WholeNumbers,
    parameter,
    read_signature,
)
from unlearn_cli.registry import Registry, unknown

__all__ = [
    "ATTACKS", "CONTEXTS", "FAMILIES", "METHODS", "METRICS", "RETAIN_ROLES", "RETAIN_TERMS", "ROBUST", "ROLES", "SPLITS",
    "Alternatives", "Applied", "Attack", "Average", "Declared", "Defaults", "Depths", "Layers", "Method", "Metric",
    "Parameter", "Phrase", "Positions", "Procedure", "Recovered", "RetainTerm", "Robust", "Sizes", "TRAINED", "Target",
    "Term", "Trains", "WholeNumbers",
    "attack", "method", "metric", "parameter", "procedure", "retain_term", "robust",
]  # fmt: skip

OUTPUT_ROLES = ("policy", "reference", "alternative", "alternative_reference")
# The reference on the forget answers, with a sentence in front of each question: the parameter `expert_sentence` or
# `novice_sentence`.
CONTEXTS = ("expert", "novice")
# progress: float, share of the steps that are done, 0 at the first and below 1 at the last. direction: [H] float32, the mean
# hidden state before refusals minus the mean hidden state before forget answers (`layer` says at which depth).
ROLES = (*OUTPUT_ROLES, *CONTEXTS, "progress", "direction")
RETAIN_ROLES = ("policy", "reference", "alternative", "progress")
SPLITS = ("split", "forget", "retain", "holdout", "real_authors", "world_facts", "before", "baseline")

Target = Literal["min", "max", "baseline"]
Alternatives = Literal["refusals", "generated", "novice", "traces", "mismatched", "perturbed"]
Trains = Literal["all", "down_projection", "assistant"]
Recovered = Literal["probability", "extraction_strength", "rouge_l"]  # metrics whose recovery under an attack is reported
Applied = Literal["adapter", "negated_adapter", "logit_difference", "logit_offset", "reinforced_difference"]


# Families of methods, in the order of `unlearn list methods`.
FAMILIES = {
    "ascent": "the simplest losses; unbounded, so they need a target or a short run",
    "preference": "an answer, or another one in its place, as a preference",
    "token weights": "ascent that leaves tokens alone once they are unlikely",
    "target distribution": "each says where the probability is to go",
    "composition": "the weights stay, an assistant's logits are combined with theirs; two passes",
    "weights": "train, then go the other way",
    "representation": "hidden states at a depth are disturbed; for topics more than for facts",
    "against relearning": "slower; for what must not come back under fine-tuning",
}


@dataclass(frozen=True)
class Declared:
    """A registered function and what its signature declares. It is called like the function itself."""

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    paper: str | None = None
    # The authors' setting by name: its own parameters and settings of `unlearn forget`. Empty: the paper gives none.
    published: Mapping[str, Any] | None = None
    family: str = ""  # of a method: one of FAMILIES
    because: str = ""  # why the defaults differ from the published setting, or why there is none

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @property
    def documentation(self) -> str:
        """The docstring of the file: name, formula, source, limits."""
        return inspect.cleandoc(getattr(inspect.getmodule(self.function), "__doc__", None) or "")

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
    """Settings that depend on the method. They apply where the user gives none.

    `learning_rate_multiplier` scales the rate of the LoRA scaling rule (`training/optimizer.py`). It was found by trial.
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
    # A row's loss and gradient depend on values of the other rows of the micro-batch; no gradient reaches those rows.
    coupled: bool = False


NextWeight = Callable[[float, float, float, Mapping[str, Any]], float]


@dataclass(frozen=True)
class Method(Term):
    """A forget objective."""

    defaults: Defaults = field(default_factory=Defaults)
    alternatives: Alternatives = "refusals"  # where alternative answers come from if the data brings none
    trains: Trains = "all"  # which modules get an adapter
    applied: Applied = "adapter"  # what the artifact is, and how it is used
    # A dual variable: (retain weight, retain loss, epochs before the step, parameters) -> retain weight of the next step.
    next_retain_weight: NextWeight | None = None


TRAINED = 3  # sets of tensors that AdamW adds to what it trains: the gradient and two moments


@dataclass(frozen=True)
class Sizes:
    """What a procedure counts its memory in; bytes, where nothing else is said."""

    whole: int  # every weight
    mlps: int  # the matrices of the blocks' MLPs
    adapter: int  # the weights of the base method's adapter
    read: int  # features that the last matrix of an MLP reads
    recorded: int  # what goes into the MLPs' matrices and comes out of them, over all tokens of the forget rows


@dataclass(frozen=True)
class Procedure(Declared):
    """A method that is no loss: (workbench, parameters) -> iterator of step records. See `training/workbench.py`.

    With a parameter `base` the user chooses the method it is built on. The defaults are then those of that method, except
    for the epochs.
    """

    defaults: Defaults = field(default_factory=Defaults)
    artifact: Literal["adapter", "model"] = "model"
    base: str = "npo"  # the method of its workbench, if it has no parameter of that name
    # Of one that takes steps of its own, and never trains its base method: the parameters that are doubled to forget more.
    # Two, if one of them alone may change nothing. Settings of the training are refused then.
    strength: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()  # further settings that it does not read
    steps: Callable[..., int] = lambda bench, **parameters: 1  # (workbench, parameters) -> steps in all
    # (Sizes, parameters) -> bytes that it holds at its most, beside the model and what the base method's training needs:
    # copies, gradients, an optimizer's moments. For the memory estimate.
    holds: Callable[..., float] = lambda sizes, **parameters: 0.0
    # Groups whose rows, questions included, it distills from a copy in one pass. "neutral": the model's own answers to the
    # shipped everyday prompts, which it writes before training, and the shipped paragraphs.
    distills: tuple[str, ...] = ()
    # The parameter of its length, which is doubled where rows stay above the level.
    longer: str = ""
    needs_level: bool = False  # without a value for `level` it reads the level of never having known from its workbench


@dataclass(frozen=True)
class Robust(Declared):
    """A rule that makes one step's gradient: (gradients, parameters) -> None. See `training/gradients.py`."""

    # (bytes of the trained weights, parameters) -> bytes that it holds at its most beside one gradient
    holds: Callable[..., float] = lambda trained, **parameters: 0.0


@dataclass(frozen=True)
class RetainTerm(Term):
    """A term that keeps the retain rows. It has the form of a method and is computed on retain rows."""


@dataclass(frozen=True)
class Metric(Declared):
    """A pure function of measurements: (Measured by split, parameters) -> values [R], or one number.

    A metric of one split has the positional name `split`. A metric that compares splits names them, and stands in the report
    under `group`. With `aggregate="auc"` it returns one score for each row of two splits, and its value is the probability
    that a row of the second split has the larger score. `baseline` maps a split to the retain-only model's measurements,
    `before` to those of the untouched model. A metric that has further numbers returns (values, details).
    """

    targets: Mapping[str, Target] = field(default_factory=dict)
    range: tuple[float, float] = (0.0, 1.0)
    generates: bool = False  # needs generated answers, not only teacher-forced ones
    aggregate: Literal["mean", "auc"] = "mean"
    group: str | None = None  # where a metric of several splits stands in the report
    splits: tuple[str, ...] = ()  # a metric of one split: the splits it is for; empty: all
    undefined: str = ""  # why a row may have no value, for the report
    fluency: bool = False  # about the language of the answers, not their content
    shown: bool = True  # in the terminal's table; the report has every metric

    def target(self, split: str) -> Target | None:
        """Which direction is better on a split. `forget_jailbreak` has the target of `forget`."""
        return self.targets.get(split, self.targets.get(split.partition("_")[0]))


@dataclass(frozen=True)
class Attack(Declared):
    """An attempt to bring back what was forgotten: (target, parameters) -> iterator of points. See `attacks/_target.py`.

    Parameters `learning_rate` and `seed` are single values for the attack. The user may give several; each makes its own
    curve.
    """

    along: str = "step"  # the quantity that the points of a curve are ordered by
    access: Literal["weights", "queries", "activations"] = "weights"  # what the attacker needs
    # It is judged by rows of its own, so that recovery compares with the original and the baseline under the same attack.
    own_rows: bool = False
    # The metric by which it brings answers back. One that samples answers leaves their probability as it is.
    shows: Recovered = "probability"


def _declare(kind: type, allowed: tuple[str, ...], paper: str | None, **extra: Any) -> Callable[[Callable], Any]:
    if paper is not None and not re.fullmatch(r"\d{4}\.\d{4,5}", paper):
        raise TypeError(f"paper='{paper}' is no arXiv id")

    def decorate(function: Callable) -> Any:
        needs, parameters = read_signature(function, allowed)
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
        defaults: settings that apply where the user gives none; None: those of `Defaults`.
        logits: roles whose Outputs must carry logits [B, T, V].
        hidden: roles whose Outputs must carry hidden states, one [B, T, H] for each of the parameter `layer(s)`.
        declared: further fields of `Method`, such as `published` and `because`.
    """
    named = {"logits": frozenset(logits), "hidden": frozenset(hidden), **declared}
    return _declare(Method, ROLES, paper, defaults=defaults or Defaults(), **named)


def retain_term(
    *, paper: str | None = None, logits: tuple[str, ...] = (), hidden: tuple[str, ...] = (), **declared: Any
) -> Callable[[Callable], RetainTerm]:
    """Declare a retain term, which is computed on retain rows. Arguments as for `method`."""
    named = {"logits": frozenset(logits), "hidden": frozenset(hidden), **declared}
    return _declare(RetainTerm, RETAIN_ROLES, paper, **named)


def procedure(
    *, paper: str | None = None, defaults: Defaults | None = None, **declared: Any
) -> Callable[[Callable], Procedure]:
    """Declare a method that is more than one loss. Arguments as for `method`."""
    return _declare(Procedure, ("bench",), paper, defaults=defaults or Defaults(), **declared)


def robust(*, paper: str | None = None, **declared: Any) -> Callable[[Callable], Robust]:
    """Declare a rule that makes the gradient of a step; it is called with `Gradients`. `declared`: fields of `Robust`."""
    return _declare(Robust, ("gradients",), paper, **declared)


def attack(*, along: str, paper: str | None = None, **declared: Any) -> Callable[[Callable], Attack]:
    """Declare an attack; it is called with a `Target`. `declared`: further fields of `Attack`."""
    if (shows := declared.get("shows", "probability")) not in get_args(Recovered):
        raise TypeError(f"shows='{shows}' is none of {', '.join(get_args(Recovered))}")
    return _declare(Attack, ("target",), paper, along=along, **declared)


def metric(
    *,
    targets: Mapping[str, Target],
    range: tuple[float, float],
    paper: str | None = None,
    **declared: Any,
) -> Callable[[Callable], Metric]:
    """Declare a metric.

    Args:
        targets: for each split or group, which value is better: smaller, larger, or the baseline's.
        range: smallest and largest value.
        paper: arXiv id.
        declared: further fields of `Metric`.
    """
    return _declare(Metric, SPLITS, paper, targets=MappingProxyType(dict(targets)), range=range, **declared)


METHODS = Registry[Method | Procedure]("method", "unlearn_cli.methods")
RETAIN_TERMS = Registry[RetainTerm]("retain term", "unlearn_cli.retain_terms")
METRICS = Registry[Metric]("metric", "unlearn_cli.metrics")
ROBUST = Registry[Robust]("robust rule", "unlearn_cli.robust")
ATTACKS = Registry[Attack]("attack", "unlearn_cli.attacks")
