"""Settings to command-line options: a field of a settings model is declared once, and a flag is made of it here."""

from __future__ import annotations

import inspect
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from rich.markup import escape

from unlearn_cli.cli import completion
from unlearn_cli.config import Options, default_of, resolve
from unlearn_cli.console import Reporter
from unlearn_cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, UnlearnError, out_of_memory, unusable_path
from unlearn_cli.quiet import quiet_libraries

Settings = TypeVar("Settings", bound=Options)
Recipe = Callable[[Any, dict[str, str], list[str], Reporter], int | None]


def _flag_type(field: FieldInfo) -> tuple[Any, bool]:
    """What Typer parses, and whether the flag repeats; pydantic does the real checking."""
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        options = [a for a in get_args(annotation) if a is not type(None)]
        annotation = options[0] if len(options) == 1 else str
    if get_origin(annotation) in (tuple, dict):
        return list[str] | None, True
    if get_origin(annotation) is Literal or annotation not in (str, int, float, bool, Path):
        return str | None, False
    return annotation | None, False


def _choices(field: FieldInfo) -> tuple[str, ...]:
    """The words that a setting may be, if it is a Literal or may be one."""
    options = [field.annotation, *get_args(field.annotation)]
    return tuple(word for option in options if get_origin(option) is Literal for word in get_args(option))


def _metavar(field: FieldInfo) -> str | None:
    """What `--help` calls a value: the words it may be, or its kind."""
    kinds = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}
    kind = next((kinds[a] for a in (field.annotation, *get_args(field.annotation)) if a in kinds), None)
    return "|".join([*_choices(field), *([kind] if kind else [])]) or None


def _completion(field: FieldInfo, several: bool) -> completion.Complete | None:
    """What a shell may complete, if that is known."""
    if "names" in (field.json_schema_extra or {}):
        return completion.names(field.json_schema_extra["names"], several=several)
    return completion.words(_choices(field)) if _choices(field) else None


def _help(field: FieldInfo) -> str:
    """The description and the default, with brackets that are not markup."""
    value = default_of(field)
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    known = "" if value in (None, "", (), {}, Path()) or isinstance(value, bool) else f" (default: {shown})"
    return escape(f"{field.description}{known}")


def _parameter(name: str, field: FieldInfo, positional: tuple[str, ...]) -> inspect.Parameter:
    extra = field.json_schema_extra or {}
    help_text = _help(field)
    annotation, several = _flag_type(field)
    if name in positional:
        declared = typer.Argument(help=help_text, metavar=extra.get("metavar"), show_default=False)
    else:
        flag = extra.get("flag", "--" + name.replace("_", "-"))
        declared = typer.Option(
            *([extra["short"]] if "short" in extra else []),
            flag,
            help=help_text,
            metavar=extra.get("metavar") or _metavar(field),
            show_default=False,
            rich_help_panel=extra.get("panel"),
            autocompletion=_completion(field, several),
        )
    default = inspect.Parameter.empty if extra.get("required") else None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, declared]
    )


def command(
    app: typer.Typer,
    name: str,
    model: type[Settings],
    run: Recipe,
    *,
    help: str,
    positional: tuple[str, ...] = (),
) -> None:
    """Add a command whose options are the fields of `model` and whose body is `run(settings, sources, argv, reporter)`."""

    def body(config_file: Path | None = None, debug: bool = False, **flags: Any) -> None:
        execute(lambda: resolve(model, _given(flags), config_file), checked, debug=debug)

    def checked(config: Settings, sources: dict[str, str], argv: list[str], reporter: Reporter) -> int | None:
        from unlearn_cli.recipes.forgetting.precheck import check  # noqa: PLC0415 - the lazy boundary

        check(config)
        return run(config, sources, argv, reporter)

    config = inspect.Parameter(
        "config_file",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            Path | None,
            typer.Option(
                "-c",
                "--config",
                help="YAML or JSON, or a report.json to run again",
                metavar="FILE",
                rich_help_panel="Output",
            ),
        ],
    )
    debug = inspect.Parameter(
        "debug",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, typer.Option("--debug", help="show tracebacks", rich_help_panel="Output")],
    )
    fields = [_parameter(field, info, positional) for field, info in model.model_fields.items()]
    fields.sort(key=lambda p: _PANELS.index((model.model_fields[p.name].json_schema_extra or {}).get("panel", "Output")))
    body.__signature__ = inspect.Signature([*fields, config, debug])  # type: ignore[attr-defined]
    app.command(name, help=help, rich_help_panel="Commands")(body)


_PANELS = ["Model", "Data", "Method", "Training", "LoRA", "Measuring", "Output"]


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None and value != []}


def execute(settings: Callable[[], tuple[Settings, dict[str, str]]], run: Recipe, *, debug: bool) -> None:
    """Resolve settings, run a recipe, and turn what it raises into an exit code and words on stderr."""
    reporter = Reporter()
    try:
        config, sources = settings()
        reporter = Reporter(quiet=getattr(config, "quiet", False))
        if getattr(config, "offline", False):
            os.environ["HF_HUB_OFFLINE"] = "1"
        with quiet_libraries():
            code = run(config, sources, sys.argv[1:], reporter)
    except UnlearnError as error:
        if debug:
            raise
        reporter.error(error)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        raise  # `main` ends quietly: whoever read stdout has gone
    except KeyboardInterrupt:
        reporter.error(UnlearnError("interrupted"))
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except Exception as error:
        if debug:
            raise
        code = getattr(error, "exit_code", None)  # an interruption that a recipe has dealt with
        if code is None:
            bug = "this is a bug: --debug shows where; please report it with `unlearn env`"
            known = out_of_memory(error) or unusable_path(error)
            known = known or UnlearnError(f"{type(error).__name__}: {error}", bug, EXIT_FAILED)
            reporter.error(known)
            raise typer.Exit(known.exit_code) from None
        reporter.error(UnlearnError(str(error)))
        raise typer.Exit(code) from None
    raise typer.Exit(code or 0)
