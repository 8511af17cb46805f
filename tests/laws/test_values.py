"""Values that nobody can mean are refused with exit 2 and a hint, whatever the option, whoever declares it."""

import math
from typing import Any

import pytest

from unlearn_cli.cli.app import WITH_SETTINGS
from unlearn_cli.config import (
    AttackConfig,
    ChatConfig,
    CheckConfig,
    CleanConfig,
    CompareConfig,
    DemoConfig,
    EvaluateConfig,
    ForgetConfig,
    InitConfig,
    MergeConfig,
    Options,
    PushConfig,
    RecordConfig,
    ReproduceConfig,
    SweepConfig,
    VerifyConfig,
    resolve,
    restored,
)
from unlearn_cli.config.option import option
from unlearn_cli.contract import ATTACKS, METHODS, METRICS, RETAIN_TERMS, ROBUST
from unlearn_cli.errors import EXIT_USAGE, UnlearnError
from unlearn_cli.values import is_path, kinds

COMMANDS = (
    ForgetConfig, EvaluateConfig, CompareConfig, AttackConfig, ChatConfig, SweepConfig, MergeConfig, PushConfig,
    RecordConfig, VerifyConfig, ReproduceConfig, CleanConfig, DemoConfig, CheckConfig, InitConfig,
)  # fmt: skip
OPTIONS = [(model, name) for model in COMMANDS for name in model.model_fields]
# No number, path, name, list or mapping of any option is one of these.
NEVER = {
    "NaN": math.nan, "'nan'": "nan", "infinity": math.inf, "'-inf'": "-inf", "-1": -1, "1e30": 1e30, "10**30": 10**30,
    "true": True, "''": "", "NUL": "a\0b", "0": 0, "list": [["x"]], "mapping": {"x": {"y": 1}}, "[true]": [True],
    "long name": "a" * 300, "no home": "~nobody-is-called-that/x",
}  # fmt: skip
# What means something all the same: by kind of option, then for single options.
PATH, TEXT = {"'nan'", "'-inf'"}, {"'nan'", "'-inf'", "long name", "no home"}  # as names, which are looked up later
SWITCH, MAPPING = {"true", "0"}, {"mapping"}
MEANT = {
    "system": TEXT | {"''"},  # an empty system prompt takes the model's own away
    "model": PATH | {"''"},  # what no model has, as in a report of measurements alone
    "forget_loss_floor": {"-1", "0"},  # losses of ascent are negative
    "columns": TEXT | MAPPING,
    **dict.fromkeys(("runs", "repo", "push_to_hub", "place", "max_memory"), set()),
    **dict.fromkeys(("eval_limit", "samples", "show", "stride", "temperature", "jobs", "seed", "retain_held_out"), {"0"}),
    **dict.fromkeys(("forget_weight", "retain_weight", "weight_decay", "warmup_ratio", "lora_dropout", "lora_from"), {"0"}),
}
MEANT_IN = {
    (AttackConfig, "generate_limit"): {"0", "-1"},
    (CompareConfig, "include_samples"): {"0"},
    **{(model, "generate_limit"): {"0"} for model in (ForgetConfig, SweepConfig, EvaluateConfig)},
}


def command_of(model):
    return {AttackConfig: "relearn-attack"}.get(model, model.__name__.removesuffix("Config").lower())


def meant(model, name):
    """The labels of `NEVER` that an option takes."""
    if (model, name) in MEANT_IN or name in MEANT:
        return MEANT_IN[model, name] if (model, name) in MEANT_IN else MEANT[name]
    field = model.model_fields[name]
    wanted = kinds(field.annotation)
    if is_path(field):
        return PATH
    if Any in wanted:
        return MAPPING
    return SWITCH if bool in wanted else TEXT if wanted <= {str, type(None)} else set()


def taken(parse):
    """Whether a value is taken; how it is refused is looked at."""
    try:
        parse()
    except UnlearnError as error:
        assert error.exit_code == EXIT_USAGE and error.hint and error.message
        return False
    return True


@pytest.mark.parametrize(("model", "name"), OPTIONS, ids=lambda x: x if isinstance(x, str) else command_of(x))
def test_no_option_takes_what_nobody_means(model, name):
    for label, value in NEVER.items():
        for source in ("flag", "python"):
            allowed = taken(lambda source=source, value=value: resolve(model, {name: value}, None, called=source))
            assert allowed == (label in meant(model, name)), f"{name} = {label}"


def test_every_command_with_settings_is_looked_at():
    assert {command_of(model) for model in COMMANDS} == {module.NAME for module in WITH_SETTINGS}


def test_an_option_without_bounds_is_seen():
    class Careless(Options):
        count: int = option(3, "of something", "Training")

    accepted = {
        label for label, value in NEVER.items() if taken(lambda value=value: resolve(Careless, {"count": value}, None))
    }
    assert accepted == {"10**30", "-1", "0"} and accepted != meant(Careless, "count")


@pytest.mark.parametrize("name", ["model", "forget", "retain", "output_dir", "chat_template", "holdout"])
def test_a_home_folder_is_expanded_from_every_source(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text(f"{name}: ~/x\n")
    monkeypatch.setenv(f"UNLEARN_{name.upper()}", "~/x")
    for flags, file in (({name: "~/x"}, None), ({}, None), ({}, tmp_path / "c.yaml")):
        assert str(getattr(resolve(ForgetConfig, flags, file)[0], name)) == str(tmp_path / "x")


def test_a_home_folder_is_expanded_for_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = [(m, n) for m, n in OPTIONS if is_path(m.model_fields[n])]
    assert len(paths) > 15
    for model, name in paths:
        given = {"runs": ["~/x"], "place": ["x=~/x"]}.get(name, "~/x")
        value = getattr(resolve(model, {name: given}, None)[0], name)
        inner = "x" if name == "place" else 0 if isinstance(value, tuple) else None
        assert str(value if inner is None else value[inner]) == str(tmp_path / "x")


def test_a_report_with_such_a_value_is_refused_in_words():
    for name, value in (("max_length", -4), ("max_length", True), ("model", "a\0"), ("forget", 3)):
        assert not taken(lambda name=name, value=value: restored(EvaluateConfig, {name: value}))


REGISTRIES = (METHODS, RETAIN_TERMS, ROBUST, METRICS, ATTACKS)
PARAMETERS = [(registry, entry) for registry in REGISTRIES for entry in registry.names()]
# Parameters that may be negative; 0 is looked at by each one's own bounds.
BELOW_ZERO = {("masc", "margin"), ("tar", "bound")}


@pytest.mark.parametrize(("registry", "entry"), PARAMETERS, ids=lambda x: x if isinstance(x, str) else x.kind)
def test_no_parameter_takes_what_nobody_means(registry, entry):
    for name, parameter in registry.get(entry).parameters.items():
        wanted = kinds(parameter.type)
        for label, value in NEVER.items():
            if label == "0" or (str in wanted and label in TEXT):
                continue
            means = (label == "true" and bool in wanted) or (label == "-1" and (entry, name) in BELOW_ZERO)
            assert taken(lambda p=parameter, v=value: p.parse(entry, v)) == means, f"{entry} {name} = {label}"
