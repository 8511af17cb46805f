"""Command-line options from settings: a field of a settings model is declared once, and becomes a flag here."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from rich.markup import escape

from unlearn_cli import config, launched
from unlearn_cli.cli.help import USUAL, show_all
from unlearn_cli.config import Options, default_of
from unlearn_cli.console import Reporter
from unlearn_cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, Terminated, UnlearnError, out_of_memory, unusable_path
from unlearn_cli.quiet import quiet_libraries
from unlearn_cli.recipes.catalogue.entries import names
from unlearn_cli.values import extra_of

Recipe = Callable[[Any, dict[str, str], list[str], Reporter], int | None]
Completion = Callable[[str], list[str]]


def _flag_type(field: FieldInfo) -> tuple[Any, bool]:
    """The type that Typer parses, and whether the flag repeats. Pydantic checks the value.

    A path stays a text here: `Path("")` would be the current folder.
    """
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        options = [a for a in get_args(annotation) if a is not type(None)]
        annotation = options[0] if len(options) == 1 else str
    if get_origin(annotation) in (tuple, dict):
        return list[str] | None, True
    if get_origin(annotation) is Literal or annotation not in (str, int, float, bool):
        return str | None, False
    return annotation | None, False


def _choices(field: FieldInfo) -> tuple[str, ...]:
    """The words that an option accepts: those of a Literal, also inside a union."""
    options = [field.annotation, *get_args(field.annotation)]
    return tuple(word for option in options if get_origin(option) is Literal for word in get_args(option))


def _metavar(field: FieldInfo) -> str | None:
    """How `--help` names the value: the accepted words, or its type."""
    kinds = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}
    kind = next((kinds[a] for a in (field.annotation, *get_args(field.annotation)) if a in kinds), None)
    return "|".join([*_choices(field), *([kind] if kind else [])]) or None


def _completion(field: FieldInfo, several: bool) -> Completion | None:
    """What a shell may complete: names of a registry, or the words that the option accepts."""
    if kind := extra_of(field).get("names"):
        return lambda incomplete: _completed(names(kind), incomplete, several)
    choices = _choices(field)
    return (lambda incomplete: list(choices)) if choices else None


def _completed(words: Sequence[str], incomplete: str, several: bool) -> list[str]:
    """The words; with `several`, after the text before the last comma."""
    before, comma, _ = incomplete.rpartition(",") if several else ("", "", "")
    return [before + comma + word for word in words]


def _help(field: FieldInfo) -> str:
    """The description and the default, with brackets escaped, because they are not markup."""
    value = default_of(field)
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    default = "" if value in (None, "", (), {}, Path()) or isinstance(value, bool) else f" (default: {shown})"
    return escape(f"{field.description}{default}")


def _parameter(name: str, field: FieldInfo, positional: tuple[str, ...]) -> inspect.Parameter:
    extra = extra_of(field)
    help_text = _help(field)
    annotation, several = _flag_type(field)
    declared: Any
    if name in positional:
        declared = typer.Argument(help=help_text, metavar=extra.get("metavar"), show_default=False)
    else:
        declared = typer.Option(
            *([extra["short"]] if "short" in extra else []),
            extra.get("flag", "--" + name.replace("_", "-")),
            help=help_text,
            metavar=extra.get("metavar") or _metavar(field),
            show_default=False,
            rich_help_panel=extra["panel"],
            autocompletion=_completion(field, several),
        )
    return _keyword(name, Annotated[annotation, declared], inspect.Parameter.empty if extra.get("required") else None)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_CONFIG = typer.Option(
    "-c", "--config", help="YAML or JSON, or a report.json to run again", metavar="FILE", rich_help_panel="Output"
)
_DEBUG = typer.Option("--debug", help="show tracebacks", rich_help_panel="Output")
_HELP_ALL = typer.Option("--help-all", help="Show all options.", is_eager=True, callback=show_all)
_PANELS = ["Model", "Data", "Method", "Training", "LoRA", "Measuring", "Output"]


def add_command(app: typer.Typer, module: ModuleType) -> None:
    """Add the command of a module of `cli/`: its options are the fields of its settings, its body is its `run`."""
    model: type[Options] = getattr(config, module.SETTINGS)
    positional, usual = getattr(module, "POSITIONAL", ()), getattr(module, "USUAL", ())
    run: Recipe = module.run

    def body(config_file: Path | None = None, debug: bool = False, help_all: bool = False, **flags: Any) -> None:
        from unlearn_cli.recipes.checking.command import check  # noqa: PLC0415 - the lazy boundary

        with errors_as_messages(debug):
            settings, sources = config.resolve(model, _given(flags), config_file)
            if getattr(settings, "offline", False):
                os.environ["HF_HUB_OFFLINE"] = "1"
            reporter = Reporter(quiet=getattr(settings, "quiet", False) or launched.rank() > 0)
            with quiet_libraries():
                launched.check(module.NAME)
                check(settings)
                code = run(settings, sources, sys.argv[1:], reporter)
        raise typer.Exit(code or 0)

    fields = sorted(model.model_fields.items(), key=lambda item: _PANELS.index(extra_of(item[1])["panel"]))
    parameters = [_parameter(field, info, positional) for field, info in fields]
    parameters.append(_keyword("config_file", Annotated[Path | None, _CONFIG], None))
    parameters.append(_keyword("debug", Annotated[bool, _DEBUG], False))
    if usual:
        parameters.append(_keyword("help_all", Annotated[bool, _HELP_ALL], False))
        body.__dict__[USUAL] = frozenset({*usual, "config_file"})
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what Typer reads the options from
    app.command(module.NAME, help=module.HELP, rich_help_panel="Commands")(body)


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None and value != []}


@contextmanager
def errors_as_messages(debug: bool | None) -> Iterator[None]:
    """A context in which an error becomes a message on stderr and an exit code.

    `debug` is whether a traceback is wanted instead; None for a command without the option,
    for which UNLEARN_DEBUG stands.
    """
    reporter = Reporter()
    switch = "UNLEARN_DEBUG=1" if debug is None else "--debug"
    debug = debug or os.environ.get("UNLEARN_DEBUG", "0") not in ("", "0")
    try:
        with _unwound_by_sigterm():
            yield
    except UnlearnError as error:
        if debug:
            raise
        reporter.error(error)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        raise  # the reader of stdout has gone; `main` ends quietly
    except KeyboardInterrupt as stop:
        reporter.error(UnlearnError("interrupted", "give the command again"))
        raise typer.Exit(getattr(stop, "exit_code", EXIT_INTERRUPTED)) from None
    except Exception as error:
        if debug:
            raise
        code = getattr(error, "exit_code", None)  # an interruption that a recipe has handled
        if code is None:
            bug = f"this is a bug: {switch} shows where; please report it with `unlearn env`"
            shown = out_of_memory(error) or unusable_path(error)
            shown = shown or UnlearnError(f"{type(error).__name__}: {error}", bug, EXIT_FAILED)
            reporter.error(shown)
            raise typer.Exit(shown.exit_code) from None
        reporter.error(UnlearnError(str(error)))
        raise typer.Exit(code) from None


@contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """A context in which SIGTERM ends the command as Ctrl-C does: it leaves no lock and no half of a file.

    A second one ends it at once. A host that handles the signal keeps its own handler.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
