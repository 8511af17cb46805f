"""Whether an expression can be told at all: its splits against what a command will measure, before the work. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from unlearn_cli.attack_report import SCORED
from unlearn_cli.config import AttackConfig, EvaluateConfig, ForgettingOptions, Options, SweepConfig
from unlearn_cli.contract import ATTACKS, METRICS, Metric
from unlearn_cli.data.benchmarks import PRESETS, benchmark
from unlearn_cli.errors import UnlearnError
from unlearn_cli.expressions.parser import MOMENTS, PLACES, Expression
from unlearn_cli.recipes.scoring import gates
from unlearn_cli.registry import unknown
from unlearn_cli.report import RunReport

DATA = ("forget", "retain", "holdout", "choices")


def parsed(config: Options) -> list[tuple[str, Expression]]:
    """Every expression of a command, with its flag.

    Raises:
        UnlearnError: one that is none.
    """
    also = ("recovery",) if isinstance(config, AttackConfig) else ()
    made = [(flag, gates.parsed((text,), also=also)[0]) for flag, text in _texts(config)]
    return [(flag, replace(e, text=config.score) if flag == "--score" else e) for flag, e in made]


def _texts(config: Options) -> Iterator[tuple[str, str]]:
    if isinstance(config, (EvaluateConfig, AttackConfig)):
        yield from (("--fail-if", text) for text in config.fail_if)
    if isinstance(config, ForgettingOptions):
        varied = config.grid if isinstance(config, SweepConfig) else {}
        for name in ("stop_when", "calibrate"):
            for text in (getattr(config, name), *varied.get(name, ())):
                if text:
                    yield f"--{name.replace('_', '-')}", str(text)
    if isinstance(config, SweepConfig):
        yield "--score", f"({config.score}) > 0"  # arithmetic is parsed as the left side of a comparison


def check(config: Options, expressions: list[tuple[str, Expression]], run: RunReport | None) -> None:
    """Refuse names that will have no value whatever the model does.

    Args:
        config: the settings of the command.
        expressions: of `parsed`.
        run: the report of the run that `config` names, if it names one.

    Raises:
        UnlearnError: a split or an attack nobody knows, or one that the command was not asked for.
    """
    if isinstance(config, AttackConfig):
        for _, expression in expressions:
            _attacks(expression, [name.replace("_", "-") for name in config.attacks])
    elif expressions and not getattr(config, "measured", None):  # without a model there is no work to be saved
        splits = _splits(config, run)
        for flag, expression in expressions:
            for split, metric, moment in expression.names():
                declared = METRICS.get(metric)
                try:
                    _split(expression.text, split, declared, splits, type(config))
                except UnlearnError as error:
                    other = " or another --score, such as --score=-forget.probability" if flag == "--score" else ""
                    raise UnlearnError(error.message, f"{error.hint}{other}") from None
                if isinstance(config, ForgettingOptions):
                    _while_forgetting(flag, expression.text, declared, moment)
                if moment not in MOMENTS:
                    raise UnlearnError(f"'{expression.text}': '{moment}' is of an attack's recovery", ", ".join(MOMENTS))


def _attacks(expression: Expression, made: list[str]) -> None:
    """The names of one expression: attacks that are made, metrics and places of their recovery."""
    for attack, metric, place in expression.names():
        if not ATTACKS.has(attack):
            error = unknown("attack", attack, [name.replace("-", "_") for name in ATTACKS.names()])
            raise UnlearnError(f"'{expression.text}': {error.message}", error.hint)
        if ATTACKS.canonical(attack) not in made:
            raise UnlearnError(
                f"'{expression.text}': {attack} is not among the attacks that are made ({', '.join(made)})",
                f"--attack {','.join([*made, ATTACKS.canonical(attack)])}",
            )
        if metric not in (*SCORED, "recovery"):
            known = ", ".join(("recovery", *SCORED))
            raise UnlearnError(f"'{expression.text}': no recovery of {metric} is told", f"known: {known}")
        if place not in (*PLACES, "after"):
            raise UnlearnError(f"'{expression.text}': '{place}' is none of {', '.join(PLACES)}", f"{attack}.{metric}.max")


def _splits(config: Options, run: RunReport | None) -> list[str]:
    """The names of the splits that will be measured."""
    kept = run.config if run is not None else {}
    named = {name for name in DATA if getattr(config, name, None) or (name != "choices" and kept.get(name))}
    if getattr(config, "benchmark", None):
        named |= set(benchmark(config.benchmark, config.benchmark_dir))
    return sorted(named | {f"forget_{name}" for name in getattr(config, "probes", ())})


def _split(text: str, split: str, metric: Metric, splits: list[str], command: type[Options]) -> None:
    """One name: its split, or the group of a metric that compares splits, and what that needs."""
    needs = [name for name in metric.needs if name not in ("split", "before", "baseline")]
    if needs and split == metric.group:
        missing = [name for name in needs if name not in splits]
    elif (needs or (metric.splits and split not in metric.splits)) and (split in splits or split in DATA):
        own = metric.group or metric.splits[0]
        raise UnlearnError(f"'{text}': {metric.name} stands under '{own}'", f"write {own}.{metric.name}")
    else:
        missing = [] if split in splits else [split]
    if not missing:
        return
    if (flag := _flag(missing[0], command)) is None:
        error = unknown("split", split, splits)
        raise UnlearnError(f"'{text}': {error.message}", error.hint)
    raise UnlearnError(f"'{text}': no {missing[0]} rows are measured", flag)


def _flag(split: str, command: type[Options]) -> str | None:
    """The option that brings a split, where the command has one."""
    if split in DATA:
        return f"--{split} {split}.jsonl" if split in command.model_fields else None
    if split in ("forget_paraphrase", "forget_jailbreak"):
        name, value = "probes", split.removeprefix("forget_")
    else:
        name, value = "benchmark", next((name for name, parts in PRESETS.items() if split in parts), None)
    return f"--{name} {value}" if value and name in command.model_fields else None


def _while_forgetting(flag: str, text: str, metric: Metric, moment: str) -> None:
    """What `forget` does not measure, or not on the way."""
    if moment == "baseline" or "baseline" in metric.needs:
        raise UnlearnError(f"{flag} '{text}': forget measures no baseline", "`unlearn evaluate RUN --baseline MODEL` does")
    if flag == "--stop-when" and metric.generates:
        raise UnlearnError(
            f"{flag} '{text}': no answers are generated on the way, which {metric.name} needs",
            "forget.probability, or another metric without generated answers",
        )
