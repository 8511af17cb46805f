"""What limits the claim of an attack's report: its budget, what was not tried, and whether it can succeed at all."""

from __future__ import annotations

from typing import get_args

from unlearn_cli.attack_report import Budget, PositiveControl
from unlearn_cli.attacks._target import Place
from unlearn_cli.attacks.relearn import Data
from unlearn_cli.config import AttackConfig
from unlearn_cli.config.relearn_attack import BY_NAME, SUITES
from unlearn_cli.evaluation.recovery import recovery
from unlearn_cli.recipes.attacking.curves import Curves
from unlearn_cli.recipes.attacking.recovery import over_seeds
from unlearn_cli.recipes.attacking.settings import ConfiguredAttack
from unlearn_cli.recipes.scoring.scores import BOOTSTRAP_SEED

REGAINED = 0.1  # recovery that a control must regain to show that the attack can succeed
ALL_ATTACKS = (*SUITES["full"], *BY_NAME)
WITH_ASK = (  # what the attack `ask` tries
    "questions that combine several facts, and other names for the same thing",
    "other languages",
    "conversations of several turns",
)
NOT_IN_PACKAGE = ("longer training than the budget, and rates outside of it",)


def budget(one: ConfiguredAttack, attacker_rows: int) -> Budget:
    """The effort of the attacker, over all settings."""

    def values(name: str) -> list[float]:
        return sorted({setting[name] for setting in one.settings if name in setting})

    of_settings = [setting.get("steps", 0) for setting in one.settings]
    steps = [step for value in of_settings for step in (value if isinstance(value, tuple) else (value,))]
    return Budget(
        curves=len(one.settings), steps=max(steps, default=0), learning_rates=values("learning_rate"),
        seeds=[int(seed) for seed in values("seed")], rows=attacker_rows,
    )  # fmt: skip


def not_tried(one: ConfiguredAttack, attacks: list[ConfiguredAttack]) -> list[str]:
    """What was not tried: other attacks of this package, other parameters of this attack, and what the package lacks."""
    tried = {other.name for other in attacks}
    untried = [f"--attack {name}" for name in ALL_ATTACKS if name not in tried]
    if one.name == "relearn":
        data = {setting["data"] for setting in one.settings}
        untried += [f"-p data={name}" for name in get_args(Data) if name not in data]
        untried += [] if any(setting["full"] for setting in one.settings) else ["-p full=true"]
        untried += [] if any(setting["quantize_to"] for setting in one.settings) else ["-p quantize_to=4"]
    return [*untried, *(() if "ask" in tried else WITH_ASK), *NOT_IN_PACKAGE]


def positive_control(curves: Curves, one: ConfiguredAttack, config: AttackConfig) -> PositiveControl | None:
    """The result of the same attack on a run by a weak method; None without such a run.

    The control's start and its maximum are in units of recovery, and averaged over seeds like those of the run, so that both
    attacks can be compared.
    """
    if config.control is None:
        return None
    original, control, baseline = curves.start("original"), curves.start("control"), curves.start("baseline")
    if original is None or control is None:
        return None
    metric = one.attack.shows
    before = original.forget[metric]
    lowest = before * 0.0
    untouched = baseline.forget[metric] if baseline is not None else lowest
    draw = {"samples": config.bootstrap_samples, "seed": BOOTSTRAP_SEED}
    start = recovery(control.forget[metric], before, untouched, untouched, **draw).value
    best: float | None = None
    place: Place | None = None
    for seeds in over_seeds(one.settings):
        floors, originals = (curves.averaged(role, one.attack, seeds) for role in ("baseline", "original"))
        for at, point in curves.averaged("control", one.attack, seeds).items():
            attacked = point.forget[metric]
            floor = floors[at].forget[metric] if at in floors else attacked * 0.0
            known, unknown = (originals[at].forget[metric], floor) if one.attack.own_rows else (before, untouched)
            value = recovery(attacked, known, floor, unknown, **draw).value
            if value is not None and at != 0 and (best is None or value > best):
                best, place = value, at
    regained = None if best is None or start is None else best - start
    return PositiveControl(
        run=config.control, start=start, max=best, at=place, succeeded=regained is not None and regained >= REGAINED
    )


def control_note(control: PositiveControl | None, attack: str) -> str:
    """A sentence on whether this attack can succeed."""
    if control is None:
        return f"{attack}: no positive control (--control RUN): whether this attack can succeed on these rows was not shown"
    return control.in_words(attack)
