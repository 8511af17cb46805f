"""Hyper-parameters of registered functions: declared by keyword-only names, and read from the user's values.

A parameter has a type, a default and, through `parameter`, bounds and a help text. The recipe knows some names: `positions`
(which tokens of a row count), `layer` or `layers` (relative depths at which hidden states are read), and `samples` (how many
alternative answers the model generates for a question). A parameter of type `Phrase` is text that arrives as token ids.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from unlearn_cli.errors import UnlearnError
from unlearn_cli.values import check_plain, check_size

SHOWN = 80  # characters of a wrong value that a message repeats


def parameter(help: str, **bounds: Any) -> Any:
    """A hyper-parameter's help text and pydantic bounds (gt, ge, lt, le), for use inside `Annotated`."""
    return Field(description=help, **bounds)


def _split(kind: type) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if isinstance(value, str):
            return tuple(kind(part) for part in value.split("+"))
        return (value,) if isinstance(value, (int, float)) else value

    return parse


_PHRASE = "phrase"
Phrase = Annotated[str | tuple[int, ...], _PHRASE]  # text for the user, token ids for the method
# Relative depths, written 0.3+0.6.
Depths = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], BeforeValidator(_split(float)), Field(min_length=1)]
Layers = Annotated[
    Literal["all"] | tuple[Annotated[float, Field(ge=0, le=1)], ...],
    BeforeValidator(lambda value: value if value == "all" else _split(float)(value)),
]


@dataclass(frozen=True)
class WholeNumbers:
    """Bounds of each of several numbers, written 1+2+5; for use inside `Annotated[tuple[int, ...], WholeNumbers(0, 9)]`."""

    smallest: int
    largest: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        number = core_schema.int_schema(ge=self.smallest, le=self.largest)
        numbers = core_schema.tuple_variable_schema(number, min_length=1)
        return core_schema.no_info_before_validator_function(_split(int), numbers)


Average = Annotated[Literal["answers", "tokens"], parameter("give every answer the same weight, or every token")]
Positions = Annotated[
    Literal["answer", "all", "prompt"], parameter("which tokens count: the answer's, the whole row's, or the prompt's")
]


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter of a method, retain term or metric."""

    name: str
    type: Any
    default: Any
    help: str
    phrase: bool = False  # text that the method receives as token ids

    def parse(self, owner: str, value: Any) -> Any:
        """The value in its declared type.

        Raises:
            UnlearnError: not of that type, or out of bounds.
        """
        kind = TypeAdapter(self.type, config=ConfigDict(allow_inf_nan=False))
        try:
            check_plain(value, self.type)
            check_size(parsed := kind.validate_python(value))
            if value == "" or (self.phrase and not parsed):
                raise ValueError("the text is empty")
            return parsed
        except ValueError as error:  # of pydantic too
            if value == "none":  # as the command line writes None
                with suppress(ValidationError):
                    return kind.validate_python(None)
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            shown = textwrap.shorten(repr(value), SHOWN)
            raise UnlearnError(f"{owner}: parameter '{self.name}' = {shown}: {reason}", self.help) from None


def read_signature(function: Callable[..., Any], allowed: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, Parameter]]:
    """The positional names of a function, in order, and its keyword-only names as parameters.

    Raises:
        TypeError: a positional name is not allowed, or a parameter has no default.
    """
    hints = get_type_hints(function, include_extras=True)
    needs: list[str] = []
    parameters: dict[str, Parameter] = {}
    for name, item in inspect.signature(function).parameters.items():
        if item.kind is inspect.Parameter.KEYWORD_ONLY:
            if item.default is inspect.Parameter.empty:
                raise TypeError(f"{function.__name__}: parameter '{name}' needs a default")
            extras = getattr(hints[name], "__metadata__", ())
            # The last help text wins: a parameter may say more than a shared type such as `Average` does.
            help_text = next((x.description for x in reversed(extras) if isinstance(x, FieldInfo)), None) or ""
            parameters[name] = Parameter(name, hints[name], item.default, help_text, _PHRASE in extras)
        elif name in allowed:
            needs.append(name)
        else:
            raise TypeError(f"{function.__name__}: positional name '{name}' is none of {', '.join(allowed)}")
    return tuple(needs), parameters
