"""What an option is, and the kinds of values that texts on a command line become."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from unlearn_cli.errors import UnlearnError
from unlearn_cli.values import SEED, possible

LARGEST_RATE = 100.0  # of learning
_REPOSITORY = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*/[A-Za-z0-9_](|[\w.-]{0,94}\w)")


def option(default: Any, help: str, panel: str, **extra: Any) -> Any:
    """One option: its default, help text and the panel of `--help` it stands in.

    `short` is a one-letter flag, `metavar` what its value is called, `required=True` marks an argument that must be given,
    `runtime=True` options that do not change the result and are left out when configurations are compared, `names` the kind
    of `unlearn list` whose names its values are ("methods"), `path=True` a text that may be a path, `may_be_empty=True` one
    that means something without a character. `consent` marks an option that lets code run or data leave this machine, by the
    rule in `CONSENTS` that says which of its values do; the user's own flag is the only source of those.
    Everything else goes to pydantic (bounds): a number needs a smallest and a largest value.
    """
    if "names" in extra:
        extra.setdefault("consent", "files")  # a name may be the path of a Python file
    declared = ("short", "metavar", "runtime", "flag", "required", "names", "consent", "path", "may_be_empty")
    cli = {key: extra.pop(key) for key in declared if key in extra}
    return Field(default, description=help, json_schema_extra={"panel": panel, **cli}, **extra)


class Unreadable(ValueError):
    """A part of a value that is not of the form its option takes."""

    def __init__(self, part: str) -> None:
        super().__init__(f"'{part}' cannot be read")
        self.part = part


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)):
        parts = [part for item in value for part in (item.split(",") if isinstance(item, str) else [item])]
        return [part.strip() if isinstance(part, str) else part for part in parts]
    return value


def _as_lines(value: Any) -> Any:
    """A mapping, as config files may hold, to `name=value` texts; texts are split at commas."""
    return [f"{key}={text}" for key, text in value.items()] if isinstance(value, Mapping) else _listed(value)


def _pairs(value: Any) -> Any:
    """`a=1,b=2`, or a list of such, to a dict; a dict passes."""
    if isinstance(value, Mapping) or value is None:
        return value
    made = {}
    for part in _texts(value):
        key, equals, text = part.partition("=")
        if not equals or not key:
            raise Unreadable(part)
        made[key.strip().replace("-", "_")] = _value(text, part)
    return made


def _value(text: str, part: str) -> Any:
    """What a text on the command line stands for: a number, a truth value, a list, or itself."""
    try:
        return yaml.safe_load(text) if text else ""
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that is none, a number of 5,000 digits
        raise Unreadable(part) from None


def _texts(value: Any) -> list[str]:
    """The parts of a value that is no mapping: a config file may hold anything."""
    parts = _listed(value)
    for part in parts if isinstance(parts, list) else [parts]:
        if not isinstance(part, str):
            raise Unreadable(str(part))
    return parts


def _grids(value: Any) -> Any:
    """`a=1,2`, or a list of such, to {"a": (1, 2)}; in a mapping a single value is a grid of one."""
    if value is None:
        return value
    if isinstance(value, Mapping):
        held = {str(key).replace("-", "_"): values for key, values in value.items()}
        return {key: tuple(values) if isinstance(values, (list, tuple)) else (values,) for key, values in held.items()}
    made: dict[str, list[Any]] = {}
    key = None
    for part in _texts(value):
        name, equals, text = part.partition("=")
        if equals:
            key = name.strip().replace("-", "_")
            made[key] = []
        elif key is None:
            raise Unreadable(part)
        else:
            text = part
        made[key].append(_value(text, part))
    return {name: tuple(values) for name, values in made.items()}


def _folder(path: Any) -> Any:
    """A run folder, also where its report.json is named, which is what commands print."""
    return path.parent if isinstance(path, Path) and path.name == "report.json" else path


def _repository(value: Any) -> Any:
    """The Hub's rule for names of repositories, with an owner."""
    if isinstance(value, str) and not _REPOSITORY.fullmatch(value):
        raise ValueError("not the name of a repository: org/name expected")
    return value


GRIDS = dict[str, tuple[Any, ...]]
Grids = Annotated[GRIDS, BeforeValidator(_grids)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Seeds = Annotated[tuple[Annotated[int, Field(**SEED)], ...], BeforeValidator(_listed)]
Rates = Annotated[tuple[Annotated[float, Field(gt=0, le=LARGEST_RATE)], ...], BeforeValidator(_listed)]
Expressions = Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
Columns = Annotated[tuple[str, ...], BeforeValidator(_as_lines)]
Pairs = Annotated[dict[str, Any], BeforeValidator(_pairs)]
RunFolder = Annotated[Path, AfterValidator(_folder)]
MaybeRunFolder = Annotated[Path | None, AfterValidator(_folder)]
Repository = Annotated[str, BeforeValidator(_repository)]


class Options(BaseModel):
    """A group of options: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _possible(cls, value: Any, info: ValidationInfo) -> Any:
        return possible(value, cls.model_fields[info.field_name])


Settings = TypeVar("Settings", bound=Options)


def runtime_fields(model: type[Options]) -> set[str]:
    """Fields that do not change a result."""
    return {name for name, field in model.model_fields.items() if (field.json_schema_extra or {}).get("runtime")}


def _texts_in(value: Any) -> Iterator[str]:
    """Every text in nested mappings and sequences; keys are not looked at."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for item in value.values() for text in _texts_in(item))
    elif isinstance(value, (list, tuple)):
        yield from (text for item in value for text in _texts_in(item))


# Which values of an option let code run or data leave this machine.
CONSENTS: dict[str, Callable[[Any], bool]] = {
    "set": bool,
    "files": lambda value: any(text.strip().endswith((".py", ".yaml", ".yml")) for text in _texts_in(value)),
    "kernels": lambda value: "/" in str(value),  # transformers takes such a name for a repository of kernels
    "trackers": lambda value: value not in ("none", "tensorboard"),
}


def consent(model: type[Options], name: str, value: Any) -> bool:
    """Whether this value of an option lets code run or data leave this machine."""
    field = model.model_fields.get(name)
    rule = (field.json_schema_extra or {}).get("consent") if field is not None else None
    if rule == "grid":
        return any(consent(model, inner, each) for inner, values in value.items() for each in values)
    return rule is not None and CONSENTS[rule](value)


def without_consents(model: type[Options], config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `model` in the `config` of a report, without what only the user's own flag may allow."""
    return {name: config[name] for name in model.model_fields if name in config and not consent(model, name, config[name])}


def restored(
    model: type[Settings], config: Mapping[str, Any], /, *, granted: Options | None = None, **update: Any
) -> Settings:
    """The settings of `model` as the `config` of a report holds them, with changes; what it does not hold is default.

    Args:
        model: the settings to fill.
        config: of a report, which may come from anybody: it grants no consent.
        granted: settings of the command that runs now, whose consents count.
        update: changes.

    Raises:
        UnlearnError: the report holds a value that the option cannot have.
    """
    given = {name: value for name, value in (granted or ()) if consent(model, name, value)}
    try:
        return model.model_validate(without_consents(model, config) | given | update)
    except ValidationError as error:
        first = error.errors()[0]
        name, reason = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
        hint = f"{name}: {model.model_fields[name].description}; give the option here to use another value"
        raise UnlearnError(f"the report's setting {name} is not possible: {reason}", hint) from None


def default_of(field: Any) -> Any:
    """A field's default value, whether given outright or by a factory."""
    return None if field.is_required() else field.get_default(call_default_factory=True)
