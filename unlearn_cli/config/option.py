"""The declaration of an option, and the types into which texts on a command line are converted."""

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
from pydantic.fields import FieldInfo

from unlearn_cli.assignments import Unreadable, looks_like_range, read_assignments, split_at_commas
from unlearn_cli.errors import UnlearnError
from unlearn_cli.values import SEED, Extra, extra_of, possible

LARGEST_RATE = 100.0  # of learning
_REPOSITORY = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*/[A-Za-z0-9_](|[\w.-]{0,94}\w)")

_WORD = re.compile(r"\w[\w.-]*")
_DEVICE, _SIZE = re.compile(r"\d{1,3}|cpu|mps"), re.compile(r"\d{1,9}(\.\d{1,9})?[KMGT]i?B", re.IGNORECASE)


def option(default: Any, help: str, panel: str, **extra: Any) -> Any:
    """One option: its default, its help text, and its panel in `--help`.

    Args:
        default: the value if no source gives one.
        help: one line for `--help`.
        panel: the heading in `--help`.
        extra: fields of `values.Extra`, and bounds for pydantic: a number needs a smallest and a largest value.
            `short`: a one-letter flag. `flag`: the long flag, if it is not the field's name. `metavar`: how `--help` names
            the value. `required`: an argument that must be given. `runtime`: the option does not change the result and is
            left out when configurations are compared. `names`: the values are names of this kind of `unlearn list`
            ("methods"). `path`: a text that may be a path. `may_be_empty`: the empty text is a value.
            `consent`: some values let code run or data leave this machine; the rule of this name in `CONSENTS` says which,
            and only the user's own flag may set those.
    """
    if "names" in extra:
        extra.setdefault("consent", "files")  # a name may be the path of a Python file
    cli = {key: extra.pop(key) for key in Extra.__annotations__ if key in extra}
    return Field(default, description=help, json_schema_extra={"panel": panel, **cli}, **extra)


def _as_lines(value: Any) -> Any:
    """`name=value` texts from a mapping, which a config file may hold; a text is split at commas."""
    return [f"{key}={text}" for key, text in value.items()] if isinstance(value, Mapping) else split_at_commas(value)


def _pairs(value: Any) -> Any:
    """A dict from `a=1,b=2` or a list of such texts; a dict is returned as it is."""
    if isinstance(value, Mapping) or value is None:
        return value
    return {_key(name): values[-1] for name, values in read_assignments(_texts(value), _value)}


def _folders(value: Any) -> Any:
    """{"base": "~/model"} from `base=~/model` or a list of such texts: a path is a text, whatever it looks like."""
    if isinstance(value, Mapping) or value is None:
        return value
    pairs = [text.partition("=") for text in _texts([value] if isinstance(value, str) else value)]
    for name, equals, folder in pairs:
        if not (name and equals and folder):
            raise Unreadable(f"{name}{equals}{folder}")
    return {name: Path(folder).expanduser() for name, _, folder in pairs}


def _sizes(value: Any) -> Any:
    """{"0": "20GiB"} from `0=20GiB` or a list of such texts: memory of devices, by number or name."""
    if value is None:
        return value
    pairs = value.items() if isinstance(value, Mapping) else (text.partition("=")[::2] for text in _texts(value))
    sizes = {str(device).strip(): str(size).strip() for device, size in pairs}
    for device, size in sizes.items():
        if not (_DEVICE.fullmatch(device) and _SIZE.fullmatch(size)):
            raise Unreadable(f"{device}={size}")
    return sizes


def _grids(value: Any) -> Any:
    """{"a": (1, 2)} from `a=1,2` or a list of such texts; in a mapping a single value is a grid of one."""
    if value is None:
        return value
    if isinstance(value, Mapping):
        grids = {_key(str(name)): values for name, values in value.items()}
        return {key: tuple(values) if isinstance(values, (list, tuple)) else (values,) for key, values in grids.items()}
    return {_key(name): tuple(values) for name, values in read_assignments(_texts(value), _grid_value, several=True)}


def _key(name: str) -> str:
    return name.replace("-", "_")


def _value(text: str) -> Any:
    """The value that a text on the command line stands for: a number, a truth value, a list, or the text itself."""
    try:
        return yaml.safe_load(text) if text else ""
    except (yaml.YAMLError, RecursionError):  # an impossible date or a number of 5,000 digits is a ValueError already
        raise ValueError(text) from None


def _grid_value(text: str) -> Any:
    """As `_value`; a range stays a text, where YAML would read `4:32` as minutes and seconds."""
    return text if looks_like_range(text) else _value(text)


def _texts(value: Any) -> list[str]:
    """The parts of a value that is not a mapping. Each must be a text, but a config file may hold anything."""
    parts = split_at_commas(value)
    for part in parts if isinstance(parts, list) else [parts]:
        if not isinstance(part, str):
            raise Unreadable(str(part))
    return parts


def _folder(path: Any) -> Any:
    """The run folder. Its report.json may be given instead: that is what commands print."""
    return path.parent if isinstance(path, Path) and path.name == "report.json" else path


def _repository(value: Any) -> Any:
    """Refuse a text that is not a repository's name by the Hub's rule; the owner is required."""
    if isinstance(value, str) and not _REPOSITORY.fullmatch(value):
        raise ValueError("this is not the name of a repository; org/name is expected")
    return value


GRIDS = dict[str, tuple[Any, ...]]
Grids = Annotated[GRIDS, BeforeValidator(_grids)]
Names = Annotated[tuple[str, ...], BeforeValidator(split_at_commas)]
Seeds = Annotated[tuple[Annotated[int, Field(**SEED)], ...], BeforeValidator(split_at_commas)]
Rates = Annotated[tuple[Annotated[float, Field(gt=0, le=LARGEST_RATE)], ...], BeforeValidator(split_at_commas)]
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
Folders = Annotated[dict[str, Path], BeforeValidator(_folders)]
Columns = Annotated[tuple[str, ...], BeforeValidator(_as_lines)]
Sizes = Annotated[dict[str, str], BeforeValidator(_sizes)]
Pairs = Annotated[dict[str, Any], BeforeValidator(_pairs)]
RunFolder = Annotated[Path, AfterValidator(_folder)]
MaybeRunFolder = Annotated[Path | None, AfterValidator(_folder)]
Repository = Annotated[str, BeforeValidator(_repository)]


class Options(BaseModel):
    """A group of options. It is immutable and takes no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _possible(cls, value: Any, info: ValidationInfo) -> Any:
        return possible(value, cls.model_fields[info.field_name or ""])


Settings = TypeVar("Settings", bound=Options)


def runtime_fields(model: type[Options]) -> set[str]:
    """Fields that do not change a result."""
    return {name for name, field in model.model_fields.items() if extra_of(field).get("runtime")}


def _texts_in(value: Any) -> Iterator[str]:
    """Every text in nested mappings and sequences, without the keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for item in value.values() for text in _texts_in(item))
    elif isinstance(value, (list, tuple)):
        yield from (text for item in value for text in _texts_in(item))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


# For each kind of consent: whether a value lets code run or data leave this machine.
CONSENTS: dict[str, Callable[[Any], bool]] = {
    "set": bool,
    "files": lambda value: any(text.strip().endswith((".py", ".yaml", ".yml")) for text in _texts_in(value)),
    "kernels": lambda value: "/" in str(value),  # transformers takes such a name for a repository of kernels
    "trackers": lambda value: value not in ("none", "tensorboard"),
    "launchers": lambda value: value != "none",
    # What a queue is asked for is a number or a name; anything else may be commands that the job begins with. An address is
    # where rows and results go.
    "commands": lambda value: (
        "address" in value or not all(isinstance(one, (int, float)) or _is_word(one) for one in value.values())
    ),
}


def consent(model: type[Options], name: str, value: Any) -> bool:
    """Whether this value of an option lets code run or data leave this machine."""
    field = model.model_fields.get(name)
    rule = extra_of(field).get("consent") if field is not None else None
    if rule == "grid":
        return any(consent(model, inner, each) for inner, values in value.items() for each in values)
    return rule is not None and CONSENTS[rule](value)


def without_consents(model: type[Options], config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `model` in the `config` of a report, without values that only the user's own flag may set."""
    return {name: config[name] for name in model.model_fields if name in config and not consent(model, name, config[name])}


def restored(
    model: type[Settings], config: Mapping[str, Any], /, *, granted: Options | None = None, **update: Any
) -> Settings:
    """The settings of `model` from the `config` of a report, with changes; a setting that is missing there has its default.

    Args:
        model: the settings to fill.
        config: the report's. A report may come from anybody, so it gives no consent.
        granted: settings of the command that runs now; only their consents count.
        update: settings to change.

    Raises:
        UnlearnError: the report holds a value that the option does not take.
    """
    given = {name: value for name, value in (granted or ()) if consent(model, name, value)}
    try:
        return model.model_validate(without_consents(model, config) | given | update)
    except ValidationError as error:
        first = error.errors()[0]
        name, reason = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
        hint = f"{name}: {model.model_fields[name].description}; give the option here to use another value"
        raise UnlearnError(f"the report's setting {name} is not possible: {reason}", hint) from None


def default_of(field: FieldInfo) -> Any:
    """A field's default value, also if a factory makes it; None if the field is required."""
    return None if field.is_required() else field.get_default(call_default_factory=True)
