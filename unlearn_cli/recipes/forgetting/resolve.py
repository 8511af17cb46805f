"""Fill in what the user left to the method, the model or the device, and remember where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unlearn_cli.config import DataOptions, ForgetConfig
from unlearn_cli.contract import METHODS, RETAIN_TERMS, ROBUST, Method, Procedure, Term
from unlearn_cli.data.chat_template import resolve_template
from unlearn_cli.data.tokenize import Encoder
from unlearn_cli.errors import UnlearnError
from unlearn_cli.models.depth import depth_index
from unlearn_cli.models.load import LoadedModel
from unlearn_cli.recipes.forgetting.precheck import required
from unlearn_cli.registry import is_file
from unlearn_cli.training.objective import Objective
from unlearn_cli.training.optimizer import LORA_OVER_FULL, scaling_rule

BY_METHOD = (
    "retain_term", "forget_weight", "retain_weight", "epochs", "batch_size", "retain_ratio", "robust", "optim", "lora_init",
)  # fmt: skip


@dataclass
class Settled:
    """A configuration without gaps, and the origin of each value."""

    config: ForgetConfig
    sources: dict[str, str]
    objective: Objective
    procedure: Procedure | None = None  # what is run, if it is no method; the objective is then that of its base

    def set(self, origin: str, **values: Any) -> None:
        """Fill in values that came from `origin`."""
        self.config = self.config.model_copy(update=values)
        self.sources.update(dict.fromkeys(values, origin))

    def fill_default(self, name: str, value: Any) -> None:
        """Fill in a default that is worked out, unless a value was given."""
        if getattr(self.config, name) is None:
            self.set("default", **{name: value})


def settle_method(config: ForgetConfig, sources: dict[str, str]) -> Settled:
    """Names, parameters and weights of the method and its retain term.

    Raises:
        UnlearnError: an unknown name or parameter, or splits that the method needs and that are missing.
    """
    chosen = METHODS.get(config.method)
    procedure, method, parameters = None, chosen, chosen.resolve(config.parameters)
    defaults, owner = chosen.defaults, chosen.name
    if isinstance(chosen, Procedure):
        procedure, method = chosen, METHODS.get(parameters.get("base", chosen.base))
        if not isinstance(method, Method):
            raise UnlearnError(f"{chosen.name} cannot be built on {method.name}", "-p base=npo")
        if "base" in parameters:
            defaults, owner = replace(method.defaults, epochs=chosen.defaults.epochs), method.name
    settled = Settled(config, dict(sources), None, procedure)  # type: ignore[arg-type] - set at the end
    for name in BY_METHOD:
        if getattr(config, name) is None and not (name == "epochs" and config.max_steps):
            settled.set(f"method {owner}", **{name: getattr(defaults, name)})
    term = RETAIN_TERMS.get(settled.config.retain_term)
    rule = ROBUST.get(settled.config.robust)
    # A file of the user's own keeps its path, so that a report is a recipe that can be run again.
    found = {"method": chosen.name, "retain_term": term.name, "robust": rule.name}
    asked = {name: getattr(settled.config, name) for name in found}
    named = {name: asked[name] if is_file(asked[name]) else found[name] for name in found}
    origins = {name: settled.sources[name] for name in named}
    settled.config = settled.config.model_copy(
        update={
            **named,
            "parameters": parameters,
            "retain_parameters": term.resolve(config.retain_parameters),
            "robust_parameters": rule.resolve(config.robust_parameters),
        }
    )
    settled.sources.update(origins)
    settled.objective = Objective(
        method,
        term,
        parameters if procedure is None else method.resolve({}),
        settled.config.retain_parameters,
        settled.config.forget_weight,
        settled.config.retain_weight,
    )
    _check_splits(settled)
    return settled


def _check_splits(settled: Settled) -> None:
    config, objective = settled.config, settled.objective
    required(config)
    composed = settled.procedure is None and objective.method.applied not in ("adapter", "negated_adapter")
    whole = config.full or (settled.procedure is not None and settled.procedure.artefact == "model")
    if objective.method.applied == "logit_offset" and (objective.retain_term.hidden or config.robust == "lat"):
        raise UnlearnError(
            f"{objective.method.name} runs three passes, and hidden states are read or pushed in one",
            "a retain term on log-probabilities (nll, kl), and --robust sam, gru or none",
        )
    if whole and settled.procedure and (config.stop_when or config.forget_loss_floor is not None):
        raise UnlearnError(
            f"{settled.procedure.name} goes through stages, and its first one is not what it writes",
            "leave --stop-when and --forget-loss-floor out",
        )
    if settled.procedure and config.max_steps:
        raise UnlearnError(f"{settled.procedure.name} goes through stages and takes no --max-steps", "--epochs, or -p")
    schedule = ForgetConfig.model_fields["lr_scheduler_type"].default
    if settled.procedure and not settled.procedure.scheduled and config.lr_scheduler_type != schedule:
        raise UnlearnError(f"{settled.procedure.name} takes steps of one length", "leave --lr-scheduler-type out")
    quantized = config.load_in_4bit or config.load_in_8bit
    if config.full and config.lora_init != "default":
        raise UnlearnError("--lora-init starts an adapter, and --full trains none", "leave one of them out")
    if config.calibrate and (whole or composed):
        raise UnlearnError("--calibrate scales an adapter, and this run writes none that is simply added", "leave it out")
    if config.lora_init != "default" and (settled.procedure or objective.method.applied != "adapter"):
        raise UnlearnError(f"--lora-init {config.lora_init} is for methods whose artefact is an adapter", "leave it out")
    if (procedure := settled.procedure) and (config.full or (quantized and procedure.artefact == "model")):
        raise UnlearnError(f"{procedure.name} works on whole matrices", "leave --full and the quantization out")
    if (objective.retain_groups or settled.procedure) and not config.retain:
        raise UnlearnError(
            f"{config.method} with retain term {objective.retain_term.name} needs rows to keep",
            "--retain retain.jsonl, or --retain-term none",
        )
    if config.full and (objective.method.trains, objective.method.applied) != ("all", "adapter"):
        raise UnlearnError(f"{objective.method.name} trains an adapter", "leave --full out")
    if config.full and objective.live_groups:
        raise UnlearnError(
            f"--full keeps no second model, and {objective.method.name} with {objective.retain_term.name} "
            "needs the reference in every step",
            "--retain-term nll, or LoRA",
        )


def settle_model(settled: Settled, model_config: Any) -> None:
    """Values that follow from the model's size and family."""
    config = settled.config
    text = model_config.get_text_config()
    limit = getattr(text, "max_position_embeddings", None)
    if limit and config.max_length > limit:
        settled.set("the model's limit", max_length=limit)
    if config.learning_rate == "auto":
        owner = settled.objective.method if settled.procedure is None or "base" in config.parameters else settled.procedure
        multiplier = owner.defaults.learning_rate_multiplier
        rate = scaling_rule(text.model_type, text.hidden_size, full=config.full) * multiplier
        rule = f"scaling rule at hidden size {text.hidden_size}, times {multiplier:g} for {config.method}"
        settled.set(rule if not config.full else f"{rule}, without LoRA's {LORA_OVER_FULL:g}", learning_rate=rate)


def settle_objective(settled: Settled, loaded: LoadedModel) -> None:
    """What an objective leaves to the model: depths become block numbers, phrases become token ids.

    A retain term without layers or positions of its own looks at the method's.

    Raises:
        UnlearnError: a depth outside 0 to 1, or a phrase that is no token.
    """
    objective = settled.objective
    count = loaded.config.num_hidden_layers
    layers = _layers(objective.method, objective.parameters, count, ())
    retain_layers = _layers(objective.retain_term, objective.retain_parameters, count, layers)
    retain_parameters = dict(objective.retain_parameters)
    if "positions" in retain_parameters and retain_parameters["positions"] is None:
        retain_parameters["positions"] = objective.parameters.get("positions", "all")
    settled.objective = replace(
        objective,
        layers=layers,
        retain_layers=retain_layers,
        parameters=_tokenized(objective.method, objective.parameters, loaded.tokenizer),
        retain_parameters=_tokenized(objective.retain_term, retain_parameters, loaded.tokenizer),
    )


def _layers(term: Term, parameters: Mapping[str, Any], count: int, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    depths = [parameters[name] for name in ("layer", "layers") if parameters.get(name) is not None]
    if not depths:
        return (otherwise or (depth_index(0.5, count),)) if term.hidden else ()
    if depths[0] == "all":
        return tuple(range(1, count + 1))
    chosen = depths[0] if isinstance(depths[0], tuple) else (depths[0],)
    return tuple(depth_index(depth, count) for depth in chosen)


def _tokenized(term: Term, parameters: Mapping[str, Any], tokenizer: Any) -> dict[str, Any]:
    made = dict(parameters)
    for name, declared in term.parameters.items():
        if declared.phrase and isinstance(made[name], str):
            # A space in front: the phrase stands where an answer's words do.
            made[name] = tuple(tokenizer(f" {made[name].strip()}", add_special_tokens=False)["input_ids"])
            if not made[name]:
                raise UnlearnError(f"{term.name}: parameter '{name}' holds no token of this model", declared.help)
    return made


def default_output(config: ForgetConfig) -> Path:
    """runs/MODEL-METHOD under the working directory."""
    return Path("runs") / f"{Path(config.model).name}-{Path(config.method).stem}"


def make_encoder(options: DataOptions, tokenizer: Any, stop_ids: frozenset[int], limit: int | None) -> Encoder:
    """The encoder that these options ask for; `limit` is the longest sequence the model can take."""
    template = resolve_template(options.chat_template, tokenizer)
    length = min(options.max_length, limit) if limit else options.max_length
    return Encoder(tokenizer, length, template, options.stride, stop_ids, options.enable_thinking)
