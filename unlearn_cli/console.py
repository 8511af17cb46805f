"""The only module that prints: data on stdout, everything for people on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Column
from rich.text import Text

from unlearn_cli import launched
from unlearn_cli.errors import EXIT_FAILED, UnlearnError

LINE_EVERY_SECONDS = 5.0  # between plain progress lines, without a terminal
PIPED_WIDTH = 200  # characters of a line in a file or a pipe, which have no width


# What moves the cursor, renames the window, hides text or reverses its direction; and half of a surrogate pair, which no
# encoding has. A stranger's report, rows or model may hold any of it.
_UNSEEN = [
    *range(9),
    *range(11, 32),
    *range(127, 160),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
]
_VISIBLE = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _UNSEEN}


def visible(text: str) -> str:
    """A text in which what a terminal would obey is written out: `\\x1b` for an escape."""
    return text if text.isprintable() else text.translate(_VISIBLE)


class SafeConsole(Console):
    """A console on which text obeys nobody: only the console's own codes reach the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """See `Console.render`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


class Reporter:
    """Prints the messages of a command. With `quiet` it prints only errors, failed gates and data."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.notes: list[str] = []  # every note and warning, for the report
        self._err = SafeConsole(stderr=True, highlight=False)
        self._live = self._err.is_terminal and not os.environ.get("CI")

    @property
    def width(self) -> int:
        """Characters of a line on stderr."""
        return self._err.width

    @property
    def styled(self) -> bool:
        """Whether stderr shows colors and dim text."""
        return self._err.color_system is not None and not self._err.no_color

    @property
    def one_screen(self) -> bool:
        """Whether stdout and stderr are on the same screen, so that nothing needs to be printed on both."""
        return sys.stdout.isatty() and sys.stderr.isatty()

    @property
    def table_width(self) -> int:
        """Characters of a line on stdout."""
        console = Console()
        return console.width if console.is_terminal or "COLUMNS" in os.environ else PIPED_WIDTH

    def data(self, text: str) -> None:
        """Print a line on stdout.

        Raises:
            BrokenPipeError: the reader of stdout has gone.
            UnlearnError: it cannot be written, as on a full disk.
        """
        text = visible(text) if sys.stdout.isatty() else text.encode(errors="backslashreplace").decode()
        with _to_stdout():
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def table(self, renderable: RenderableType) -> None:
        """Print the table that is the result of a command on stdout, even if quiet. Raises what `data` does."""
        with _to_stdout():
            SafeConsole(highlight=False, width=self.table_width).print(renderable)

    def say(self, message: str, *, even_if_quiet: bool = False) -> None:
        """Print a message, as on the progress of the work."""
        if even_if_quiet or not self.quiet:
            self._err.print(escape(message), soft_wrap=True)

    def show(self, renderable: RenderableType, *, folded: bool = True) -> None:
        """Print a table or another drawing on stderr; unless `folded` its lines stay whole, so that they can be pasted."""
        if not self.quiet:
            self._err.print(renderable, soft_wrap=not folded)

    def ask(self, question: str) -> str:
        """The line that the user types after a question; empty where nobody can be asked, and at the end of input."""
        if self.quiet or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return ""
        self._err.print(f"{escape(question)} ", end="")
        return sys.stdin.readline().strip()

    def note(self, message: str) -> None:
        """Print a note or a warning, and store it for the report."""
        self.notes.append(message)
        if not self.quiet:
            self._err.print(f"[yellow]note:[/] {escape(message)}", soft_wrap=True)

    def error(self, error: UnlearnError) -> None:
        """Print an error and its hint, even if quiet. Of several processes only the first says what all of them run into."""
        if not error.message or (launched.rank() > 0 and error.exit_code != EXIT_FAILED):
            return
        try:
            self._err.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
            if error.hint:
                self._err.print(f"\n[bold cyan]hint:[/] {escape(error.hint)}", soft_wrap=True)
        except MemoryError:  # colors need memory, which may be what the error is about
            sys.stderr.write(f"error: {error.message}\n\nhint: {error.hint}\n")

    @contextmanager
    def progress(self, phase: str, total: int, done: int = 0) -> Iterator[ProgressBar]:
        """A bar on a terminal, a line every few seconds elsewhere, nothing if quiet."""
        if self.quiet:
            yield ProgressBar(phase, total, done)
        elif self._live:
            # The detail takes the rest of the line. A narrow terminal has a short bar or none.
            whole, rest = Column(no_wrap=True), Column(no_wrap=True, ratio=1)
            width = 24 if self.width >= 110 else 12 if self.width >= 80 else 0
            columns = (
                TextColumn("{task.description}", table_column=whole),
                *([BarColumn(width, table_column=Column(width=width))] if width else []),
                MofNCompleteColumn(table_column=whole.copy()),
                TimeElapsedColumn(table_column=whole.copy()),
                TimeRemainingColumn(table_column=whole.copy()),
                _Detail(table_column=rest),
            )
            with Progress(*columns, console=self._err, transient=True, expand=True) as drawn:
                yield _DrawnBar(phase, total, done, drawn)
        else:
            bar = _PlainBar(phase, total, done, self)
            yield bar
            bar.finish()


class Bars(Reporter):
    """Shows the progress bars of a run inside another command. Its messages are in its report."""

    def say(self, message: str, *, even_if_quiet: bool = False) -> None:
        """Print nothing but errors."""
        if even_if_quiet:
            super().say(message, even_if_quiet=True)

    def show(self, renderable: RenderableType, *, folded: bool = True) -> None:
        """Print nothing."""

    def note(self, message: str) -> None:
        """Store a note for the report."""
        self.notes.append(message)


def page(lines: Callable[[int], Iterable[Text]]) -> None:
    """Print the lines that `lines(width)` gives on stdout; longer lines are not folded."""
    console = SafeConsole(highlight=False)
    for line in lines(console.width):
        console.print(line, soft_wrap=True)


@contextmanager
def _to_stdout() -> Iterator[None]:
    """Raise an error about stdout, and not about the work, if stdout cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(error) from error


def unwritable(error: OSError) -> UnlearnError:
    """The error for a stdout that cannot be written."""
    return UnlearnError(f"cannot write to stdout: {error.strerror or error}", exit_code=EXIT_FAILED)


class _Detail(ProgressColumn):
    """What a bar says behind its times: as many parts, divided by two spaces, as the line has room for."""

    def render(self, task: Task) -> RenderableType:
        return _Parts(task.fields["detail"].split("  "))


class _Parts(list[str]):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        fitting = [text for text in accumulate(self, "{}  {}".format) if cell_len(text) <= options.max_width]
        yield Text(fitting[-1] if fitting else self[0], no_wrap=True, overflow="ellipsis")


class ProgressBar:
    """Progress of one phase; this one is silent."""

    def __init__(self, phase: str, total: int, done: int) -> None:
        self.phase, self.total, self.done = phase, total, done

    def advance(self, count: int = 1, detail: str = "") -> None:
        """Add `count` to what is done."""
        self.done += count


class _DrawnBar(ProgressBar):
    def __init__(self, phase: str, total: int, done: int, drawn: Progress) -> None:
        super().__init__(phase, total, done)
        self._drawn = drawn
        self._task = drawn.add_task(phase, total=total, completed=done, detail="")

    def advance(self, count: int = 1, detail: str = "") -> None:
        super().advance(count)
        self._drawn.update(self._task, completed=self.done, detail=detail)


class _PlainBar(ProgressBar):
    def __init__(self, phase: str, total: int, done: int, reporter: Reporter) -> None:
        super().__init__(phase, total, done)
        self._reporter, self._detail = reporter, ""
        self._start = self._last = time.monotonic()

    def advance(self, count: int = 1, detail: str = "") -> None:
        super().advance(count)
        self._detail = detail
        if time.monotonic() - self._last >= LINE_EVERY_SECONDS:
            self._line()

    def finish(self) -> None:
        self._line()

    def _line(self) -> None:
        self._last = time.monotonic()
        spent = self._last - self._start
        line = f"{self.phase} {self.done}/{self.total} {spent:.0f}s"
        self._reporter.say(f"{line}: {self._detail}" if self._detail else line)
