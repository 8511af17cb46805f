"""Which attacks are made, and with which parameters: suites, learning rates, seeds."""

from __future__ import annotations

from typing import Any

from unlearn_cli.config import AttackConfig, ModelOptions, restored
from unlearn_cli.contract import ATTACKS, Attack
from unlearn_cli.models.load import load_config
from unlearn_cli.models.source import resolve_source
from unlearn_cli.recipes.attacking.attacked_models import original_of
from unlearn_cli.registry import unknown
from unlearn_cli.report import RunReport
from unlearn_cli.training.optimizer import scaling_rule

RATES = (0.1, 0.4, 1.0)  # of the LoRA scaling rule
USUAL_RATE = 0.4
QUICK_STEPS = (0, 5, 15)
QUICK = {"relearn": {"steps": QUICK_STEPS}, "quantize": {"bits": (8, 4), "formats": ("nf4",)}}
Setting = dict[str, Any]


def chosen(config: AttackConfig) -> list[Attack]:
    """The attacks that are asked for, by name or by suite.

    Raises:
        UnlearnError: an unknown attack, or a parameter that none of them has.
    """
    attacks = [ATTACKS.get(name) for name in config.attacks]
    known = {parameter for attack in attacks for parameter in attack.parameters}
    for name in config.parameters:
        if name not in known:
            raise unknown("parameter of these attacks:", name, known)
    return attacks


def settings_of(attack: Attack, config: AttackConfig, run: RunReport) -> list[Setting]:
    """The attack's parameters, one mapping for each curve: every learning rate with every seed."""
    given = {name: value for name, value in config.parameters.items() if name in attack.parameters}
    if config.suite == "quick":
        given = {**QUICK.get(attack.name, {}), **given}
    resolved = attack.resolve(given)
    rates = [resolved.get("learning_rate")]
    if "learning_rate" in attack.parameters and "learning_rate" not in given:
        rates = list(config.learning_rates) or _usual_rates(config, run)
    seeds = [resolved.get("seed")]
    if "seed" in attack.parameters and "seed" not in given:
        seeds = list(config.seeds) or ([0, 1, 2] if config.suite == "full" else [0])
    made = []
    for rate in rates:
        for seed in seeds:
            varied = {"learning_rate": rate, "seed": seed}
            made.append({**resolved, **{name: value for name, value in varied.items() if value is not None}})
    return made


def _usual_rates(config: AttackConfig, run: RunReport) -> list[float]:
    source = resolve_source(original_of(config, run), None if config.base else run.config.get("revision"))
    text = load_config(source, restored(ModelOptions, run.config, granted=config, base=None)).get_text_config()
    rule = scaling_rule(text.model_type, text.hidden_size)
    shares = RATES if config.suite == "full" else (USUAL_RATE,)
    return [float(f"{share * rule:.2g}") for share in shares]
