"""Settings that would change nothing in a run of its method. Whoever gives one counts on it, so it is refused or noted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from unlearn_cli.config import ForgetConfig
from unlearn_cli.config.option import default_of
from unlearn_cli.config.resolve import as_flag, is_given
from unlearn_cli.contract import ROBUST
from unlearn_cli.errors import UnlearnError
from unlearn_cli.recipes.forgetting.settings import Settings

TARGETS = ("lora_target_modules", "lora_target_parameters")
ADAPTER = ("lora_r", "lora_alpha", "lora_dropout", *TARGETS)
# What only the training of a base method reads.
TRAINING = (
    "epochs", "learning_rate", "lr_scheduler_type", "warmup_ratio", "weight_decay", "max_grad_norm", "optim",
    "auto_batch_size", "forget_weight", "retain_weight", "retain_term", "retain_parameters", "robust", "robust_parameters",
    "lora_init", "lora_from", *ADAPTER,
)  # fmt: skip


def check_ignored(settings: Settings) -> None:
    """Refuse settings that mean nothing to the method.

    Raises:
        UnlearnError: one of them is given.
    """
    method, procedure = settings.objective.method, settings.procedure
    if procedure and procedure.strength:
        why, hint = f"{procedure.name} takes steps of its own", f"-p {procedure.strength[0]}=NUMBER forgets more or less"
        _refuse(settings, (*TRAINING, *procedure.ignores), why, hint)
    if settings.config.full:
        _refuse(settings, ADAPTER, "--full trains no adapter", "leave one of them out")
    if method.trains != "all":
        _refuse(settings, TARGETS, f"{method.name} names the modules of its adapter itself", "leave it out")


def ignored_notes(settings: Settings, *, has_adapter: bool) -> Iterator[str]:
    """A note on each setting that means nothing beside another one, or to this model: a grid or a file may give both.

    `has_adapter`: the model was loaded with an adapter.
    """
    unread: dict[str, tuple[str, ...]] = {}
    if settings.objective.retain_term.name == "none" and not settings.procedure:
        unread["this run has no retain term"] = ("retain_weight", "retain_ratio")
    if settings.config.max_steps:
        unread["--max-steps is the length of this run"] = ("epochs",)
    if has_adapter:
        unread["the model has an adapter, which is trained"] = ADAPTER
    for why, names in unread.items():
        yield from (f"{flag} changes nothing: {why}" for flag in _flags(settings, names))


def _refuse(settings: Settings, names: Iterable[str], why: str, hint: str) -> None:
    for flag in _flags(settings, names):
        raise UnlearnError(f"{why}, and {flag} changes nothing", hint)


def _flags(settings: Settings, names: Iterable[str]) -> Iterator[str]:
    """The flags of those settings that were given, and differ from what stands there otherwise."""
    term, rule = settings.objective.retain_term, ROBUST.get(settings.config.robust)
    filled = {"retain_parameters": term.resolve({}), "robust_parameters": rule.resolve({})}  # as a report has them
    for name in names:
        value, usual = getattr(settings.config, name), filled.get(name, default_of(ForgetConfig.model_fields[name]))
        if is_given(settings.sources.get(name)) and value != usual:
            yield as_flag(ForgetConfig, name, value).split()[0]
