"""Fill in the settings that depend on the method and the model, and record the origin of each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from unlearn_cli.config import ForgetConfig
from unlearn_cli.contract import METHODS, RETAIN_TERMS, ROBUST, Method, Procedure, Term
from unlearn_cli.data.written import AUTO
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.depth import depth_index
from unlearn_cli.recipes.forgetting.ignored import check_ignored
from unlearn_cli.recipes.scoring import benchmark_splits
from unlearn_cli.registry import is_file
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.optimizer import LORA_OVER_FULL, scaling_rule
from unlearn_cli.training.pairing import Pairing

BY_METHOD = (
    "retain_term", "forget_weight", "retain_weight", "epochs", "batch_size", "retain_ratio", "robust", "optim", "lora_init",
)  # fmt: skip

BUDGET_EPOCHS, BUDGET_STEPS = 3, 120  # a run with a target trains at most 3 times the method's epochs, but may use 120 steps
SOFT_RETAIN_TERM = "kl"  # replaces nll, which would raise the probability of the retain rows above that before


def has_target(config: ForgetConfig, method: Method) -> bool:
    """Whether a run trains until a target is reached. It does not if the user set another end or a fixed strength."""
    fixed = config.no_target or config.stop_when or config.calibrate or config.forget_loss_floor is not None
    return not fixed and method.applied == "adapter"


class CompleteConfig(ForgetConfig):
    """Settings of `unlearn forget` in which the method's defaults are filled in; `epochs` is None if steps are counted."""

    retain_term: str
    forget_weight: float
    retain_weight: float
    batch_size: int
    retain_ratio: int
    robust: str
    optim: Literal["auto", "adamw", "paged_adamw_8bit", "sophia", "sign"]
    lora_init: Literal["default", "fila", "pissa"]


@dataclass(frozen=True)
class Settings:
    """The settings of a run, the origin of each value, and the objective that they define."""

    config: CompleteConfig
    sources: Mapping[str, str]  # name of a setting -> origin of its value
    objective: Objective  # a procedure's is that of its base method
    procedure: Procedure | None = None  # the method, if it is a procedure

    def filled(self, origin: str, **values: Any) -> Settings:
        """These settings with new values, whose origin is `origin`."""
        sources = {**self.sources, **dict.fromkeys(values, origin)}
        return replace(self, config=self.config.model_copy(update=values), sources=sources)

    @property
    def writes_model(self) -> bool:
        """Whether the artifact is a whole model, not an adapter."""
        return self.config.full or (self.procedure is not None and self.procedure.artifact == "model")

    @property
    def negation(self) -> float:
        """The factor with which the trained adapter is subtracted from the weights; 0: it is added as usual."""
        negated = self.procedure is None and self.objective.method.applied == "negated_adapter"
        return self.config.parameters["alpha"] if negated else 0.0

    def pairing(self, forget_rows: int, retain_rows: int) -> Pairing:
        """The schedule of rows: which rows each step uses."""
        batch = self.config.batch_size * self.config.gradient_accumulation_steps
        return Pairing(self.config.seed, forget_rows, retain_rows, batch, batch * self.config.retain_ratio)

    @property
    def has_target(self) -> bool:
        """Whether training goes on until a target is reached, instead of following a fixed schedule."""
        return self.procedure is None and has_target(self.config, self.objective.method)

    def steps(self, pairing: Pairing) -> int:
        """Optimizer steps of a run; a limit if it has a target. For a procedure, the steps of its base method."""
        if self.config.max_steps:
            return self.config.max_steps
        steps = pairing.steps(self.epochs)
        if self.has_target and self.sources.get("epochs", "").startswith("method"):
            return max(BUDGET_EPOCHS * steps, BUDGET_STEPS)
        return steps

    @property
    def epochs(self) -> float:
        """Passes over the forget rows, for a run without --max-steps."""
        assert self.config.epochs is not None
        return self.config.epochs

    @property
    def learning_rate(self) -> float:
        """The peak learning rate; available after `resolve_model`."""
        assert self.config.learning_rate != "auto"
        return self.config.learning_rate


def resolve_method(config: ForgetConfig, sources: Mapping[str, str]) -> Settings:
    """Fill in what depends on the method: retain term, rule, parameters, weights and schedule.

    Raises:
        UnlearnError: an unknown name or parameter, settings that exclude each other, or missing splits.
    """
    chosen = METHODS.get(config.method)
    parameters = chosen.resolve(config.parameters)
    procedure = chosen if isinstance(chosen, Procedure) else None
    method = METHODS.get(parameters.get("base", procedure.base)) if procedure else chosen
    if not isinstance(method, Method):
        raise UnlearnError(f"{chosen.name} cannot be built on {method.name}", "-p base=npo")
    defaults, owner = chosen.defaults, chosen.name
    if procedure and "base" in parameters:
        defaults, owner = replace(method.defaults, epochs=chosen.defaults.epochs), method.name
    missing = [n for n in BY_METHOD if getattr(config, n) is None and not (n == "epochs" and config.max_steps)]
    values: dict[str, Any] = dict(config) | {name: getattr(defaults, name) for name in missing}
    if "retain_term" in missing and values["retain_term"] == "nll" and not (config.full or procedure):
        soft = has_target(config, method) or not benchmark_splits.keeps(config)
        values["retain_term"] = SOFT_RETAIN_TERM if soft else "nll"
    term, rule = RETAIN_TERMS.get(values["retain_term"]), ROBUST.get(values["robust"])
    for name, entry in (("method", chosen), ("retain_term", term), ("robust", rule)):
        if not is_file(values[name]):  # a user's file keeps its path, so that its report can be run again
            values[name] = entry.name
    values["parameters"] = parameters
    values["retain_parameters"] = term.resolve(config.retain_parameters)
    values["robust_parameters"] = rule.resolve(config.robust_parameters)
    objective = Objective(
        method,
        term,
        method.resolve({}) if procedure else parameters,
        values["retain_parameters"],
        values["forget_weight"],
        values["retain_weight"],
    )
    complete = CompleteConfig.model_construct(config.model_fields_set, **values)
    settings = Settings(complete, {**sources, **dict.fromkeys(missing, f"method {owner}")}, objective, procedure)
    if not (config.retain or benchmark_splits.keeps(config)) and (objective.retain_groups or procedure):
        settings = settings.filled("default: no --retain", retain=AUTO)
    check_ignored(settings)
    check_settings(settings)
    return settings


def check_settings(settings: Settings) -> None:
    """Check that no settings exclude each other.

    Raises:
        UnlearnError: some do; the hint says which to leave out.
    """
    config, objective = settings.config, settings.objective
    if config.device_map != "none":
        _check_spread(settings)
    if settings.procedure:
        _check_procedure(settings, settings.procedure)
    if objective.method.applied == "logit_offset" and (objective.retain_term.hidden or config.robust == "lat"):
        raise UnlearnError(
            f"{objective.method.name} runs three passes, but hidden states can be read or changed in one pass only",
            "a retain term on log-probabilities (nll, kl), and --robust sam, gru or none",
        )
    aims = [name for name in ("until", "keep", "baseline") if getattr(config, name)]
    if aims and not settings.has_target:
        flag = f"--{aims[0]}"
        raise UnlearnError(
            f"{flag} is for a run with a target, and this run has a fixed schedule",
            f"leave out {flag}, or what fixes the schedule: --no-target, --stop-when, --calibrate, --forget-loss-floor, a "
            "procedure, or a method that composes logits or weights",
        )
    for name in ("stop_when", "calibrate", "until", "keep"):
        condition = getattr(config, name)
        if condition and not config.retain and any(split == "retain" for split, *_ in condition.names()):
            flag = f"--{name.replace('_', '-')}"
            raise UnlearnError(f"{flag} '{condition}': no retain rows are measured", "--retain retain.jsonl")
    if config.full and config.lora_init != "default":
        raise UnlearnError("--lora-init starts an adapter, and --full trains none", "leave one of them out")
    composed = settings.procedure is None and objective.method.applied not in ("adapter", "negated_adapter")
    if config.calibrate and (settings.writes_model or composed):
        raise UnlearnError("--calibrate scales an adapter, and this run writes no plain adapter", "leave --calibrate out")
    if config.lora_init != "default" and (settings.procedure or objective.method.applied != "adapter"):
        raise UnlearnError(f"--lora-init {config.lora_init} is for methods whose artifact is an adapter", "leave it out")
    if config.full and (objective.method.trains, objective.method.applied) != ("all", "adapter"):
        raise UnlearnError(f"{objective.method.name} trains an adapter", "leave --full out")
    if config.auto_batch_size and objective.coupled:
        raise UnlearnError(
            f"--auto-batch-size: the loss of {objective.method.name} depends on which rows are in one pass",
            "give --batch-size and --gradient-accumulation-steps",
        )
    if config.full and objective.live_groups:
        raise UnlearnError(
            f"--full keeps no second model, and {objective.method.name} with {objective.retain_term.name} "
            "needs the reference in every step",
            "--retain-term nll, or LoRA",
        )


def _check_spread(settings: Settings) -> None:
    """Check that a run on a base that is spread over several devices leaves the base's weights alone."""
    config = settings.config
    if settings.procedure or config.full or config.lora_init != "default":
        name = config.method if settings.procedure else "--full" if config.full else f"--lora-init {config.lora_init}"
        raise UnlearnError(
            f"{name} changes or copies weights of the base, and --device-map auto spreads it over several devices",
            "a method that trains an adapter, such as --method npo, without --full and --lora-init; or one device",
        )
    if config.robust != "none":
        raise UnlearnError(
            f"--robust {config.robust} needs all gradients on one device, and --device-map auto spreads them over several",
            "--robust none, or one device",
        )


def _check_procedure(settings: Settings, procedure: Procedure) -> None:
    config, name = settings.config, procedure.name
    if settings.writes_model and (config.stop_when or config.forget_loss_floor is not None):
        raise UnlearnError(
            f"{name} has several stages, and these options end only the first",
            "leave --stop-when and --forget-loss-floor out",
        )
    longer = f"-p {procedure.strength[0]}=NUMBER forgets more or less" if procedure.strength else "--epochs, or -p"
    if config.max_steps:
        raise UnlearnError(f"{name} has several stages, and --max-steps is for one", longer)
    if config.full or (procedure.artifact == "model" and (config.load_in_4bit or config.load_in_8bit)):
        raise UnlearnError(f"{name} changes whole matrices itself", "leave --full and the quantization out")


def resolve_model(settings: Settings, model_config: Any) -> Settings:
    """Fill in the settings that depend on the model's size and family: maximum length and learning rate."""
    config, procedure = settings.config, settings.procedure
    text = model_config.get_text_config()
    limit = getattr(text, "max_position_embeddings", None)
    if limit and config.max_length > limit:
        settings = settings.filled("the model's limit", max_length=limit)
    if config.learning_rate == "auto":
        owner = settings.objective.method if procedure is None or "base" in config.parameters else procedure
        multiplier = owner.defaults.learning_rate_multiplier
        rate = scaling_rule(text.model_type, text.hidden_size, full=config.full) * multiplier
        rule = f"scaling rule at hidden size {text.hidden_size}, times {multiplier:g} for {config.method}"
        origin = rule if not config.full else f"{rule}, without LoRA's {LORA_OVER_FULL:g}"
        settings = settings.filled(origin, learning_rate=rate)
    return settings


def resolve_objective(settings: Settings, model_config: Any, tokenizer: Any) -> Settings:
    """Fill in the parameters that depend on the model: depths become block numbers, phrases become token ids.

    A retain term without layers or positions of its own uses the method's.

    Raises:
        UnlearnError: a phrase has no token of this model.
    """
    objective, count = settings.objective, model_config.num_hidden_layers
    layers = _layers(objective.method, objective.parameters, count, ())
    retain_layers = _layers(objective.retain_term, objective.retain_parameters, count, layers)
    retain_parameters = dict(objective.retain_parameters)
    if "positions" in retain_parameters and retain_parameters["positions"] is None:
        retain_parameters["positions"] = objective.parameters.get("positions", "all")
    resolved = replace(
        objective,
        layers=layers,
        retain_layers=retain_layers,
        parameters=_tokenized(objective.method, objective.parameters, tokenizer),
        retain_parameters=_tokenized(objective.retain_term, retain_parameters, tokenizer),
    )
    return replace(settings, objective=resolved)


def _layers(term: Term, parameters: Mapping[str, Any], count: int, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    depths = [parameters[name] for name in ("layer", "layers") if parameters.get(name) is not None]
    if not depths:
        return (otherwise or (depth_index(0.5, count),)) if term.hidden else ()
    if depths[0] == "all":
        return tuple(range(1, count + 1))
    chosen = depths[0] if isinstance(depths[0], tuple) else (depths[0],)
    return tuple(depth_index(depth, count) for depth in chosen)


def _tokenized(term: Term, parameters: Mapping[str, Any], tokenizer: Any) -> dict[str, Any]:
    values = dict(parameters)
    for name, declared in term.parameters.items():
        if declared.phrase and isinstance(values[name], str):
            # With a space in front, because the phrase stands inside an answer.
            values[name] = tuple(tokenizer(f" {values[name].strip()}", add_special_tokens=False)["input_ids"])
            if not values[name]:
                raise UnlearnError(f"{term.name}: parameter '{name}' holds no token of this model", declared.help)
    return values
