"""Settings from a config file, the environment and flags, and the source of each value."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from unlearn_cli.config.forget import ForgetConfig
from unlearn_cli.config.option import GRIDS, Options, Settings, consent, default_of, runtime_fields
from unlearn_cli.config.recipes import RECIPES, RecipeName
from unlearn_cli.errors import UnlearnError, plain_reason
from unlearn_cli.jsonfile import read_json
from unlearn_cli.limits import TooMuch, bounded
from unlearn_cli.registry import ALIASES, unknown
from unlearn_cli.values import extra_of

FILES = "--config takes YAML, JSON, or a report.json of an earlier run"
FILLED_IN = ("default: ", "method ", "the model's", "scaling rule")  # how the source begins of a value that nobody gave
SHOWN = 80  # characters of a wrong value that a message repeats


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML. Its texts are Unicode. A mapping with the same key twice is refused: either value could be meant."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """See `SafeLoader`. The two halves of a character that JSON escapes as a pair are put together.

        Raises:
            YAMLError: a text holds half of a character.
        """
        value = super().construct_scalar(node)
        try:
            return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise yaml.YAMLError("a text holds half of a surrogate pair, which is not a character") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See `SafeLoader`.

        Raises:
            YAMLError: a key occurs twice.

        """
        keys = [key.value for key, _ in node.value]
        if len({str(key) for key in keys}) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.YAMLError(f"the key '{twice}' occurs twice")
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        with bounded():
            return yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except TooMuch as error:
        raise UnlearnError(f"{path} cannot be read: {error}", FILES) from None
    except OSError as error:
        raise UnlearnError(f"{path} cannot be read: {error.strerror}", FILES) from None
    except RecursionError:
        raise UnlearnError(f"{path}: lists or mappings are nested too deep", FILES) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, an impossible date, a number of 5,000 digits
        raise UnlearnError(f"{path}: {str(error).splitlines()[0]}", "the file is not valid YAML or JSON") from None


def read_config_file(path: Path, model: type[Options]) -> dict[str, Any]:
    """The settings in a YAML or JSON file, or in one of our reports, by field name.

    Raises:
        UnlearnError: the file is missing, broken or not a mapping, or has a key that is no setting of `model`.
    """
    path = path.expanduser()
    if not path.is_file():
        raise UnlearnError(f"config file not found: {path}", FILES)
    content = read_json(path, FILES) if path.suffix == ".json" else _read_yaml(path)
    if not isinstance(content, dict):
        raise UnlearnError(f"{path} holds no settings: expected names and values", FILES)
    if "schema_version" in content and isinstance(content.get("config"), dict):
        config = _settings_of_report(content, model)
        # In a report a list is one value of one run; a sweep would take it for several values.
        single = [key for key in config if model.model_fields[key].annotation == GRIDS and isinstance(config[key], dict)]
        return config | {key: {name: (value,) for name, value in config[key].items()} for key in single}
    settings = _usual_names({str(key).replace("-", "_"): value for key, value in content.items()}, model)
    for key in settings:
        if key not in model.model_fields:
            raise unknown(f"setting in {path}:", key, model.model_fields)
    return settings


def _usual_names(settings: Mapping[str, Any], model: type[Options]) -> dict[str, Any]:
    """The settings with each alias replaced by the name of our option."""
    return {key if key in model.model_fields else ALIASES.get(key, key): value for key, value in settings.items()}


def _settings_of_report(content: dict[str, Any], model: type[Options]) -> dict[str, Any]:
    """The settings given to a report's run, without its output folder and its verbosity.

    Values that unlearn filled in are filled in again. With a target, given epochs are a limit; epochs of the method are
    a third of the limit. A default that has changed since the report stays that of the report.
    """
    sources = content.get("config_sources")
    sources = _usual_names(sources, model) if isinstance(sources, dict) else {}
    values, given = _usual_names(content["config"], model), {}
    for key in (key for key in model.model_fields if key not in runtime_fields(model)):
        value, source = values.get(key), str(sources.get(key, ""))
        changed = value != default_of(model.model_fields[key])
        if value is not None and (is_given(source) or (source == "default" and changed)):
            given[key] = value
    return given


def is_given(source: str | None) -> bool:
    """Whether the source of a setting's value is the user: a flag, a file, the environment, a recipe."""
    return source is not None and source != "default" and not source.startswith(FILLED_IN)


def _environment(model: type[Options]) -> dict[str, str]:
    names = {f"UNLEARN_{name.upper()}": name for name in model.model_fields}
    return {names[key]: value for key, value in os.environ.items() if key in names and value}


def given(model: type[Settings], settings: Settings | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given from Python: those set in a settings object, and those by name, which win.

    Raises:
        UnlearnError: the object holds the settings of another command.
    """
    if settings is None:
        return dict(more)
    if not isinstance(settings, model):
        raise UnlearnError(f"{type(settings).__name__} is not the settings class of this command", f"{model.__name__}(...)")
    return {name: getattr(settings, name) for name in settings.model_fields_set} | dict(more)


def resolve(
    model: type[Settings],
    flags: Mapping[str, Any],
    config_file: Path | None,
    *,
    called: str = "flag",
    environment: bool = True,
) -> tuple[Settings, dict[str, str]]:
    """Settings from all sources, and the source of each field's value.

    Args:
        model: the settings of the command.
        flags: values from the command line or from Python; None means "not given".
        config_file: the file of `--config`.
        called: the source of `flags`: "flag" or "python".
        environment: `UNLEARN_*` variables count.

    Raises:
        UnlearnError: a key is unknown (the hint has the nearest one), or a value is not possible.
    """
    file = read_config_file(config_file, model) if config_file else {}
    for name in flags:
        if name not in model.model_fields:
            raise unknown("setting", name, model.model_fields)
    values: dict[str, Any] = {}
    sources = dict.fromkeys(model.model_fields, "default")
    layers = ((str(config_file), file), ("environment", _environment(model) if environment else {}), (called, flags))
    for source, layer in layers:
        for key, value in layer.items():
            if value is not None and value != []:
                values[key], sources[key] = value, source
    if issubclass(model, ForgetConfig) and values.get("recipe") in list(RECIPES):
        _apply_recipe(values["recipe"], values, sources)
    try:
        with bounded():  # a page of YAML can stand for a list of a billion values
            settings = model(**values)
    except TooMuch as error:
        raise UnlearnError(f"the settings cannot be read: {error}", FILES) from None
    except RecursionError:
        raise UnlearnError("a setting's lists or mappings are nested too deep", FILES) from None
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        field = model.model_fields[name]
        where = _spelled(name, field, sources[name])
        shown, reason = textwrap.shorten(repr(first["input"]), SHOWN), plain_reason(first["msg"])
        part = getattr(first.get("ctx", {}).get("error"), "part", None)
        if sources[name] == "python":
            message = f"{name}={shown}: {reason}"
        elif part is not None:
            message = f"{where} {textwrap.shorten(part, SHOWN)}: expected {extra_of(field).get('metavar')}"
        else:
            message = f"{where} {shown}: {reason}"
        raise UnlearnError(message, field.description) from None
    _check_consents(settings, sources, called)
    return settings, sources


def _apply_recipe(name: RecipeName, values: dict[str, Any], sources: dict[str, str]) -> None:
    """Fill in the recipe's settings where no other source gave a value.

    Raises:
        UnlearnError: the recipe is for one method, and another one was given.
    """
    recipe = RECIPES[name]
    given = values.get("method")
    if given and "parameters" in recipe and str(given).replace("_", "-") != recipe["method"]:
        raise UnlearnError(
            f"the recipe {name} is for {recipe['method']}, and the given method is {given}",
            f"leave out one of them: --recipe {name} or --method {given}",
        )
    for key, value in recipe.items():
        if key not in values:
            values[key], sources[key] = value, f"recipe {name}"


def _check_consents(settings: Options, sources: Mapping[str, str], called: str) -> None:
    """Only the user, on this command line or in this call, may let code run or data leave this machine.

    Raises:
        UnlearnError: a file or the environment sets such a value; the hint is the flag that allows it.
    """
    model = type(settings)
    for name, value in settings:
        if sources[name] in ("default", called) or not consent(model, name, value):
            continue
        field, where = model.model_fields[name], _spelled(name, model.model_fields[name], sources[name])
        raise UnlearnError(
            f"{where} asks for {_written(value)}, which lets code run or data leave this machine ({field.description})",
            "only a flag of your own allows that; if you trust it, add " + as_flag(model, name, value),
        )


def as_flag(model: type[Options], name: str, value: Any) -> str:
    """A setting as it is written on the command line of `model`'s command."""
    return _spelled(name, model.model_fields[name], "flag") + ("" if value is True else f" {_written(value)}")


def _written(value: Any) -> str:
    """A value in the form that a flag takes."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_written(one)}" for name, one in value.items())
    if isinstance(value, tuple):
        return ",".join(map(_written, value))
    return "true" if value is True else str(value)


def _spelled(name: str, field: FieldInfo, source: str) -> str:
    """A setting as its source spells it: the flag, the variable, or the key of a file."""
    extra = extra_of(field)
    if source == "environment":
        return f"UNLEARN_{name.upper()}"
    if source != "flag":
        return f"{source}: {name}"
    if extra.get("required"):
        return extra["metavar"]
    # Where a flag does not have its setting's name (-p, --parameter), users know the short one.
    return extra.get("short", extra["flag"]) if "flag" in extra else "--" + name.replace("_", "-")
