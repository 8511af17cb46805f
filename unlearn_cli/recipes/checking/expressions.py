"""Refuse expressions that will have no value, before any work, by the splits that a command measures. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unlearn_cli.attack_report import SCORED
from unlearn_cli.config import (
    AttackConfig,
    DataOptions,
    EvaluateConfig,
    ForgetConfig,
    ForgettingOptions,
    MeasuringOptions,
    Options,
    SweepConfig,
)
from unlearn_cli.config.expressions import RECOVERY
from unlearn_cli.contract import ATTACKS, METRICS, Metric
from unlearn_cli.data.benchmarks._benchmark import choose, names
from unlearn_cli.data.general_ability import GENERAL
from unlearn_cli.data.probes import PROBES
from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.parser import MOMENTS, PLACES, ROWS, Condition, Expression, Missing
from unlearn_cli.recipes.scoring import benchmark_splits
from unlearn_cli.registry import unknown
from unlearn_cli.report import RunReport

DATA = ("forget", "retain", "holdout", "choices")


def _expressions(config: Options) -> Iterator[tuple[str, Expression]]:
    """Every expression of a command that measures, with its flag."""
    if isinstance(config, EvaluateConfig):
        yield from (("--fail-if", condition) for condition in config.fail_if)
    if isinstance(config, ForgettingOptions):
        varied = config.grid if isinstance(config, SweepConfig) else {}
        for name in ("stop_when", "calibrate", "until", "keep"):
            read = (getattr(ForgetConfig.model_validate({name: value}), name) for value in varied.get(name, ()))
            for condition in (getattr(config, name), *read):
                if condition:
                    yield f"--{name.replace('_', '-')}", condition
    if isinstance(config, SweepConfig) and config.score:
        yield "--score", config.score


def check(config: Options, run: RunReport | None) -> None:
    """Refuse names in expressions that will have no value.

    Args:
        config: the settings of the command.
        run: the report of the run that `config` names, if it names one.

    Raises:
        UnlearnError: an unknown split or attack, or one that the command does not measure.
    """
    if isinstance(config, AttackConfig):
        for condition in config.fail_if:
            _check_attacks(condition, [name.replace("_", "-") for name in config.attacks])
    elif not getattr(config, "measured", None):  # without a model there is no work to be saved
        splits = _measured_splits(config, run)
        for flag, expression in _expressions(config):
            _check_splits(config, flag, expression, splits)


def _check_attacks(expression: Expression, attacks: Sequence[str]) -> None:
    """Refuse an attack that does not run, a metric without a recovery, and a place that no recovery has."""
    for attack, metric, place in expression.names():
        if not ATTACKS.has(attack):
            error = unknown("attack", attack, [name.replace("-", "_") for name in ATTACKS.names()])
            raise UnlearnError(f"'{expression}': {error.message}", error.hint)
        if ATTACKS.canonical(attack) not in attacks:
            raise UnlearnError(
                f"'{expression}': {attack} is not among the attacks of this command ({', '.join(attacks)})",
                f"--attack {','.join([*attacks, ATTACKS.canonical(attack)])}",
            )
        if metric not in (*SCORED, RECOVERY):
            known = ", ".join((RECOVERY, *SCORED))
            raise UnlearnError(f"'{expression}': {metric} has no recovery", f"known: {known}")
        if place not in (*PLACES, "after"):
            raise UnlearnError(f"'{expression}': '{place}' is none of {', '.join(PLACES)}", f"{attack}.{metric}.max")


def _check_splits(config: Options, flag: str, expression: Expression, splits: Sequence[str]) -> None:
    """Refuse a split that is not measured, and a metric or a moment that the command does not have.

    Raises:
        UnlearnError: names it.
    """
    if not expression.names():
        raise UnlearnError(f"{flag} '{expression}' names nothing that is measured", "for example forget.probability < 0.1")
    if flag == "--until" and isinstance(expression, Condition) and _rises(expression):
        raise UnlearnError(
            f"{flag} '{expression}' holds when the forget rows are likely", "the forget half is below a value: use < or <="
        )
    for split, name, moment in expression.names():
        metric = METRICS.get(name)
        try:
            _check_split(expression.text, split, metric, splits, type(config))
        except UnlearnError as error:
            another = " or another --score, such as --score=-forget.probability" if flag == "--score" else ""
            raise UnlearnError(error.message, f"{error.hint}{another}") from None
        if isinstance(config, ForgettingOptions):
            _check_while_forgetting(flag, expression.text, metric, moment)
        if moment not in MOMENTS + ROWS:
            raise UnlearnError(f"'{expression}': '{moment}' is of an attack's recovery", ", ".join(MOMENTS + ROWS))


def _rises(condition: Condition) -> bool:
    """Whether a condition on the forget rows' probability holds of certain answers, and not of impossible ones."""
    if any((split, metric) != ("forget", "probability") for split, metric, _ in condition.names()):
        return False
    try:
        return condition.holds(lambda *_: 1.0) and not condition.holds(lambda *_: 1e-9)
    except Missing:  # it divides by zero for one of them
        return False


def _measured_splits(config: Options, run: RunReport | None) -> list[str]:
    """The names of the splits that will be measured."""
    from_run = run.config if run is not None else {}
    splits = {name for name in DATA if getattr(config, name, None) or (name != "choices" and from_run.get(name))}
    if isinstance(config, ForgettingOptions) and config.retain_term != "none":
        splits.add("retain")  # the model writes them where none are given, if the method needs any: the recipe knows
    if isinstance(config, EvaluateConfig):
        splits |= {f"forget_{name}" for name in config.probes}
    if benchmark := benchmark_splits.chosen(config) if isinstance(config, DataOptions) else None:
        splits |= set(benchmark_splits.parts(benchmark, trained=not isinstance(config, EvaluateConfig)))
    elif name := from_run.get("benchmark"):
        splits |= set(benchmark_splits.parts(choose(name), trained=True))
    if isinstance(config, ForgetConfig) and run is not None:  # a run on a run measures the rows of earlier runs
        splits |= {f"forget_{number}" for number in range(1, len(run.chain) + 2)}
    if splits and isinstance(config, MeasuringOptions) and not (config.no_general or from_run.get("no_general")):
        splits |= set(GENERAL)
    return sorted(splits)


def _check_split(text: str, split: str, metric: Metric, splits: Sequence[str], command: type[Options]) -> None:
    """Refuse a name if its split, or a split that its metric compares, is not measured."""
    needs = [name for name in metric.needs if name not in ("split", "before", "baseline")]
    if needs and split == metric.group:
        missing = [name for name in needs if name not in splits]
    elif (needs or (metric.splits and split not in metric.splits)) and (split in splits or split in DATA):
        place = metric.group or metric.splits[0]
        raise UnlearnError(f"'{text}': {metric.name} belongs to '{place}'", f"write {place}.{metric.name}")
    else:
        missing = [] if split in splits else [split]
    if not missing:
        return
    if (flag := _flag(missing[0], command)) is None:
        error = unknown("split", split, splits)
        raise UnlearnError(f"'{text}': {error.message}", error.hint)
    raise UnlearnError(f"'{text}': no {missing[0]} rows are measured", flag)


def _flag(split: str, command: type[Options]) -> str | None:
    """The option that adds a split; None if the command has none."""
    if split in DATA:
        return f"--{split} {split}.jsonl" if split in command.model_fields else None
    if split in GENERAL:
        return "leave --no-general out" if "no_general" in command.model_fields else None
    if split.removeprefix("forget_") in PROBES:
        return f"--probes {split.removeprefix('forget_')}" if "probes" in command.model_fields else None
    preset = next((name for name in names() if split in choose(name).variant.evaluate), None)
    return f"--benchmark {preset}" if preset and "benchmark" in command.model_fields else None


def _check_while_forgetting(flag: str, text: str, metric: Metric, moment: str) -> None:
    """Refuse a metric that `forget` does not measure, or does not measure during training."""
    if moment == "baseline" or "baseline" in metric.needs:
        raise UnlearnError(f"{flag} '{text}': forget measures no baseline", "`unlearn evaluate RUN --baseline MODEL` does")
    if flag == "--stop-when" and metric.generates:
        raise UnlearnError(
            f"{flag} '{text}': no answers are generated during training, which {metric.name} needs",
            "forget.probability, or another metric without generated answers",
        )
