"""The attacks of a command, and their settings: suites, learning rates, seeds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from unlearn_cli.config import AttackConfig, ModelOptions, restored
from unlearn_cli.contract import ATTACKS, Attack
from unlearn_cli.models.load import load_config
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.attacking.attacked_models import original_of
from unlearn_cli.registry import unknown
from unlearn_cli.report import RunReport
from unlearn_cli.training.optimizer import scaling_rule

FULL_RATES = (0.1, 0.4, 1.0)  # times the learning rate of the scaling rule
USUAL_RATE = 0.4  # times the same
QUICK: dict[str, dict[str, Any]] = {"relearn": {"steps": (0, 5, 15)}, "quantize": {"bits": (8, 4), "formats": ("nf4",)}}
Setting = dict[str, Any]  # the parameters of an attack


@dataclass(frozen=True)
class ConfiguredAttack:
    """An attack and its settings; each setting gives a curve."""

    attack: Attack
    settings: list[Setting]

    @property
    def name(self) -> str:
        """Name of the attack."""
        return self.attack.name


def chosen_attacks(config: AttackConfig) -> list[Attack]:
    """The attacks that --attack or --suite names.

    Raises:
        UnlearnError: an unknown attack, or a parameter that none of the attacks has.
    """
    attacks = [ATTACKS.get(name) for name in config.attacks]
    parameters = {parameter for attack in attacks for parameter in attack.parameters}
    for name in config.parameters:
        if name not in parameters:
            raise unknown("parameter of these attacks:", name, parameters)
    return attacks


def configured(attack: Attack, config: AttackConfig, run: RunReport) -> ConfiguredAttack:
    """The attack with a setting for each learning rate and seed."""
    given = {name: value for name, value in config.parameters.items() if name in attack.parameters}
    if config.suite == "quick":
        given = {**QUICK.get(attack.name, {}), **given}
    resolved = attack.resolve(given)
    varied: dict[str, list[Any]] = {}
    if "learning_rate" in attack.parameters and "learning_rate" not in given:
        varied["learning_rate"] = list(config.learning_rates) or _usual_rates(config, run, full=bool(resolved.get("full")))
    if "seed" in attack.parameters and "seed" not in given:
        varied["seed"] = list(config.seeds) or ([0, 1, 2] if config.suite == "full" else [0])
    settings = [{**resolved, **dict(zip(varied, values, strict=True))} for values in product(*varied.values())]
    return ConfiguredAttack(attack, settings)


def _usual_rates(config: AttackConfig, run: RunReport, *, full: bool) -> list[float]:
    """Rates by the scaling rule: for a fresh adapter, or `full`, a tenth of that, for every weight."""
    source = resolve_source(original_of(config, run), None if config.base else run.config.get("revision"))
    text = load_config(source, restored(ModelOptions, run.config, granted=config, base=None)).get_text_config()
    rule = scaling_rule(text.model_type, text.hidden_size, full=full)
    shares = FULL_RATES if config.suite == "full" else (USUAL_RATE,)
    return [float(f"{share * rule:.2g}") for share in shares]
