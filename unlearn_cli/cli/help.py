"""`--help` as plain text that any terminal can show: names are never cut, examples can be pasted.

Typer's own boxes shorten an option's name in a narrow column, keep the source's line breaks and fold examples without a
backslash. Its code for that is private, so this file builds the page from what the commands declare.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from unlearn_cli.console import Reporter, page
from unlearn_cli.errors import EXIT_USAGE, UnlearnError, plain_reason
from unlearn_cli.registry import ALIASES

INDENT = 2
GAP = 2  # between an option and its description
USUAL = "_usual_options"  # attribute of a command's body: names of the options that its `--help` shows
NARROW = 24  # characters that a description needs; where fewer are left it starts on its own line


class Command(TyperCommand):
    """A command with our `--help`. It also takes options by the names that they have in config files and in other tools."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `TyperCommand`; `--learning_rate` and `--lr` are `--learning-rate`."""
        known = {flag for parameter in self.get_params(ctx) for flag in parameter.opts}
        try:
            return super().parse_args(ctx, [_usual_spelling(word, known) for word in args])
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:  # some of the parser's errors do not say of which command they are
                error.ctx = ctx  # type: ignore[attr-defined] # the class is private to Typer
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the page. The parser's formatter stays empty, as with Typer's own help."""
        _print(self, ctx)


class Group(TyperGroup):
    """A group of commands with our `--help`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As for a command."""
        _print(self, ctx)


def _with_usual(name: str) -> type[Group]:
    """A group that passes a first word which is not a command to the command `name`."""

    class WithUsual(Group):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            known = {*self.commands, *ctx.help_option_names}
            if args and args[0] not in known and name in self.commands:
                args = [name, *args]
            return super().parse_args(ctx, args)

    return WithUsual


class App(typer.Typer):
    """A Typer application whose commands have our `--help`; `usual` is the command where the first word is none."""

    def __init__(self, *, usual: str | None = None, **options: Any) -> None:
        super().__init__(cls=_with_usual(usual) if usual else Group, **options)

    def command(self, *arguments: Any, **options: Any) -> Any:
        """See `typer.Typer.command`."""
        return super().command(*arguments, cls=Command, **options)


@contextmanager
def plain_usage_errors() -> Iterator[None]:
    """A context in which a usage error of the parser looks like every other error, without Typer's drawn box."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, "format_message"):  # the parser's own errors have it, in every version of Typer
            raise
        if type(error).__name__ != "NoArgsIsHelpError":  # which has printed the help page
            Reporter().error(_usage_error(error))
        raise SystemExit(getattr(error, "exit_code", EXIT_USAGE)) from None


def _usage_error(error: Any) -> UnlearnError:
    """A usage error of the parser as an error of ours. An option of another command is named as one."""
    message = error.message if (alike := getattr(error, "possibilities", None)) else error.format_message()
    context = getattr(error, "ctx", None)
    option = getattr(error, "option_name", "") if type(error).__name__ == "NoSuchOption" else ""
    others = [f"`unlearn {name}`" for name in _commands_with(option)] if option else []
    if alike and not others:
        message += f"; did you mean {' or '.join(alike)}?"
    message = plain_reason(message).replace(". Did you mean", "; did you mean")
    hint = f"{context.command_path} --help" if context is not None else None
    if context is not None and re.search(r"no such command 'help'", message, re.I):
        hint = f"{context.command_path} COMMAND --help, such as `unlearn forget --help`"
    if others:
        hint = f"{option} is an option of {_listed(others)}" + (f"; {hint}" if hint else "")
    return UnlearnError(message[:1].lower() + message[1:].rstrip("."), hint)


def _commands_with(option: str) -> list[str]:
    """Names of the commands that have an option."""
    from unlearn_cli import config  # noqa: PLC0415 - pydantic, for a wrong command line alone
    from unlearn_cli.cli.app import WITH_SETTINGS  # noqa: PLC0415 - which imports this file

    name = option.lstrip("-").replace("-", "_")
    modules = [
        module
        for module in WITH_SETTINGS
        if name in getattr(config, module.SETTINGS).model_fields and name not in getattr(module, "POSITIONAL", ())
    ]
    return [f"{module.GROUP} {module.NAME}" if hasattr(module, "GROUP") else module.NAME for module in modules]


def _listed(words: list[str], most: int = 4) -> str:
    """Words as in a sentence; of many the first."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and others"
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _usual_spelling(word: str, known: set[str]) -> str:
    """An option as this command spells it, with its value after `=`; any other word unchanged."""
    flag, equals, value = word.partition("=")
    if not flag.startswith("--") or flag in known:
        return word
    name = flag[2:].replace("-", "_")
    usual = "--" + ALIASES.get(name, name).replace("_", "-")
    return usual + equals + value if usual in known else word


def show_all(ctx: typer.Context, wanted: bool) -> None:
    """Print the help page with every option, and end. The callback of `--help-all`."""
    if wanted:
        _print(ctx.command, ctx, everything=True)
        raise typer.Exit


def _print(command: Any, ctx: Any, *, everything: bool = False) -> None:
    page(lambda width: page_lines(command, ctx, width, everything=everything))


def page_lines(command: Any, ctx: Any, width: int, *, everything: bool = False) -> Iterator[Text]:
    """The lines of the help page; a command with many options shows the usual ones, or `everything`."""
    usual = None if everything else getattr(command.callback, USUAL, None)
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    yield from _folded(f"[bold]Usage:[/] {escape(usage)}", width, hang=7)
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield Text()
        if paragraph.startswith("  "):
            for line in paragraph.splitlines():
                yield from map(Text, broken(line, width))
        else:
            yield from _folded(" ".join(paragraph.split()), width)
    sections = list(_sections(command, ctx, usual))
    for title, rows in sections:
        yield Text()
        yield Text(title, style="bold")
        yield from _table(rows, width)
    if usual is not None:
        shown = sum(len(rows) for _, rows in sections)
        every = sum(len(rows) for _, rows in _sections(command, ctx, None))
        yield Text()
        yield from _folded(f"{every - shown} more options, in groups: [bold]{ctx.command_path} --help-all[/]", width)


def broken(line: str, width: int) -> list[str]:
    """A command line as lines of at most `width` characters; all but the last end in a backslash.

    An option stays together with its value. Quoted text, and the part after a pipe, stay in one piece. A part that is longer
    than a line is not broken.
    """
    if len(line) <= width:
        return [line]
    parts: list[str] = []
    for word in re.findall(r"(?:'[^']*'|[^\s'])+", line):
        last = parts[-1] if parts else ""
        value = last.startswith("-") and " " not in last and word[0] not in "-|"
        if value or last.startswith("|"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    indent = " " * (len(line) - len(line.lstrip()))
    lines = [indent + parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 3 > width:
            lines.append(indent * 3 + part)
        else:
            lines[-1] += f" {part}"
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _sections(command: Any, ctx: Any, usual: frozenset[str] | None) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Arguments and options by heading, then the commands of a group. Of the options only the `usual`, under one heading."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        plain = "Arguments" if parameter.param_type_name == "argument" else "Options"
        panel = getattr(parameter, "rich_help_panel", None)
        if not getattr(parameter, "hidden", False) and (usual is None or parameter.name in usual or panel is None):
            heading = panel if panel and usual is None else plain
            sections.setdefault(heading, []).append((_term(parameter), getattr(parameter, "help", None) or ""))
    for heading in sorted(sections, key=lambda name: (name != "Arguments", name == "Options")):  # --help itself comes last
        yield heading, sections[heading]
    if hasattr(command, "list_commands"):
        listed = [(name, command.get_command(ctx, name)) for name in command.list_commands(ctx)]
        yield "Commands", [(name, inspect.cleandoc(one.help or "").split("\n\n")[0]) for name, one in listed]


def _term(parameter: Any) -> str:
    """`-m, --model MODEL`."""
    metavar = parameter.metavar or (parameter.name or "").upper()
    if parameter.param_type_name == "argument":
        return metavar
    flags = ", ".join(sorted(parameter.opts, key=len))
    return flags if getattr(parameter, "is_flag", False) else f"{flags} {metavar}"


def _table(rows: list[tuple[str, str]], width: int) -> Iterator[Text]:
    """Terms on the left, their meaning on the right; a long term has its own line."""
    widest = max(NARROW - GAP, width * 2 // 5)
    column = max((len(term) for term, _ in rows if len(term) <= widest), default=widest) + INDENT + GAP
    for term, meaning in rows:
        first = Text(" " * INDENT).append(term, style="bold cyan")
        lines = _folded(" ".join(meaning.split()), max(NARROW, width - column))
        if lines and len(first) + GAP <= column:
            first.pad_right(column - len(first))
            first.append_text(lines.pop(0))
        yield first
        yield from (Text(" " * column).append_text(line) for line in lines)


def _folded(text: str, width: int, hang: int = 0) -> list[Text]:
    """Markup as lines of at most `width` characters; all but the first are indented by `hang`."""
    lines = Text.from_markup(text).wrap(Console(), width - hang, overflow="fold")
    for i, line in enumerate(lines):
        line.rstrip()
        line.pad_left(hang if i else 0)
    return list(lines)
