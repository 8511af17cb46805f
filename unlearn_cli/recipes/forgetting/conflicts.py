"""Settings of a run that exclude each other."""

from __future__ import annotations

from unlearn_cli.contract import Procedure
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.forgetting.settings import Settings
from unlearn_cli.recipes.scoring import benchmark_splits


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
        no_retain = not (config.retain or benchmark_splits.keeps(config))
        if condition and no_retain and any(split == "retain" for split, *_ in condition.names()):
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
