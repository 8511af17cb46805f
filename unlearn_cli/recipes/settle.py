"""Fill in what the user left to the method, the model or the device, and remember where each value came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.config import DataOptions, ForgetConfig
from unlearn_cli.contract import METHODS, RETAIN_TERMS
from unlearn_cli.data.tokenize import Encoder, resolve_template
from unlearn_cli.errors import UnlearnError
from unlearn_cli.training.loop import Objective
from unlearn_cli.training.optimizer import LORA_OVER_FULL, scaling_rule

BY_METHOD = ("retain_term", "forget_weight", "retain_weight", "epochs", "batch_size", "retain_ratio")


@dataclass
class Settled:
    """A configuration without gaps, and the origin of each value."""

    config: ForgetConfig
    sources: dict[str, str]
    objective: Objective

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
    method = METHODS.get(config.method)
    settled = Settled(config, dict(sources), None)  # type: ignore[arg-type] - set at the end
    for name in BY_METHOD:
        if getattr(config, name) is None and not (name == "epochs" and config.max_steps):
            settled.set(f"method {method.name}", **{name: getattr(method.defaults, name)})
    term = RETAIN_TERMS.get(settled.config.retain_term)
    settled.set(
        sources["parameters"], method=method.name, retain_term=term.name, parameters=method.resolve(config.parameters)
    )
    settled.config = settled.config.model_copy(update={"retain_parameters": term.resolve(config.retain_parameters)})
    settled.sources["method"], settled.sources["retain_term"] = sources["method"], settled.sources["retain_term"]
    settled.objective = Objective(
        method,
        term,
        settled.config.parameters,
        settled.config.retain_parameters,
        settled.config.forget_weight,
        settled.config.retain_weight,
    )
    _check_splits(settled)
    return settled


def _check_splits(settled: Settled) -> None:
    config, objective = settled.config, settled.objective
    if not config.forget:
        raise UnlearnError("no rows to forget", "--forget forget.jsonl; `unlearn forget --help` shows the formats")
    if not config.model:
        raise UnlearnError("no model", "--model FOLDER_OR_HUB_ID")
    if config.load_in_4bit and config.load_in_8bit:
        raise UnlearnError("--load-in-4bit and --load-in-8bit exclude each other")
    if "retain" in objective.groups and not config.retain:
        raise UnlearnError(
            f"{objective.method.name} with retain term {objective.retain_term.name} needs rows to keep",
            "--retain retain.jsonl, or --retain-term none",
        )
    if config.full and objective.live_groups:
        raise UnlearnError(
            f"--full keeps no second model, and {objective.retain_term.name} needs the reference in every step",
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
        multiplier = settled.objective.method.defaults.learning_rate_multiplier
        rate = scaling_rule(text.model_type, text.hidden_size, full=config.full) * multiplier
        rule = f"scaling rule at hidden size {text.hidden_size}, times {multiplier:g} for {config.method}"
        settled.set(rule if not config.full else f"{rule}, without LoRA's {LORA_OVER_FULL:g}", learning_rate=rate)


def default_output(config: ForgetConfig) -> Path:
    """runs/MODEL-METHOD under the working directory."""
    return Path("runs") / f"{Path(config.model).name}-{config.method}"


def make_encoder(options: DataOptions, tokenizer: Any, stop_ids: frozenset[int], limit: int | None) -> Encoder:
    """The encoder that these options ask for; `limit` is the longest sequence the model can take."""
    template = resolve_template(options.chat_template, tokenizer)
    length = min(options.max_length, limit) if limit else options.max_length
    return Encoder(tokenizer, length, template, options.stride, stop_ids)
