"""Fill in the settings that depend on the method and the model, and record the origin of each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unlearn_cli.config import ForgetConfig
from unlearn_cli.contract import METHODS, RETAIN_TERMS, ROBUST, Method, Procedure, Term
from unlearn_cli.data.written import AUTO
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.depth import depth_index
from unlearn_cli.recipes.forgetting.conflicts import check_settings
from unlearn_cli.recipes.forgetting.ignored import check_ignored
from unlearn_cli.recipes.forgetting.settings import CompleteConfig, Settings, has_target
from unlearn_cli.recipes.scoring import benchmark_splits
from unlearn_cli.registry import is_file
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.optimizer import LORA_OVER_FULL, scaling_rule

BY_METHOD = (
    "retain_term", "forget_weight", "retain_weight", "epochs", "batch_size", "retain_ratio", "robust", "optim", "lora_init",
)  # fmt: skip

SOFT_RETAIN_TERM = "kl"  # replaces nll, which would raise the probability of the retain rows above that before


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
