"""The only module that prints: data on stdout, everything for people on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from unlearn_cli.errors import EXIT_FAILED, UnlearnError

LINE_EVERY_SECONDS = 5.0  # plain progress lines, where there is no terminal to draw on
PIPED_WIDTH = 200  # of a drawing that goes to a file or a pipe, where nobody has said how wide a line is


class Reporter:
    """What a command says while it works. `quiet` leaves errors, failed gates and data."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.notes: list[str] = []  # every note and warning, for the report
        self._err = Console(stderr=True, highlight=False)
        self._live = self._err.is_terminal and not os.environ.get("CI")

    @property
    def width(self) -> int:
        """Characters of a line of what is shown."""
        return self._err.width

    @property
    def styled(self) -> bool:
        """Whether dim and coloured text can be told apart in what is shown."""
        return self._err.color_system is not None and not self._err.no_color

    @property
    def one_screen(self) -> bool:
        """Whether stdout and stderr are read on the same screen, so that what stands in one need not be in the other."""
        return sys.stdout.isatty() and sys.stderr.isatty()

    @property
    def product_width(self) -> int:
        """Characters of a line of a `product`."""
        drawn = Console()
        return drawn.width if drawn.is_terminal or "COLUMNS" in os.environ else PIPED_WIDTH

    def data(self, text: str) -> None:
        """A line for whoever reads stdout.

        Raises:
            BrokenPipeError: nobody reads it any more.
            UnlearnError: it cannot be written, as on a full disk.
        """
        with _to_stdout():
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def product(self, renderable: RenderableType) -> None:
        """A table that is what the command was called for: on stdout, even if quiet. Raises what `data` does."""
        with _to_stdout():
            Console(highlight=False, width=self.product_width).print(renderable)

    def say(self, message: str) -> None:
        """Tell what is going on."""
        if not self.quiet:
            self._err.print(escape(message), soft_wrap=True)

    def insist(self, message: str) -> None:
        """Tell why a command ends as it does, even if quiet."""
        self._err.print(escape(message), soft_wrap=True)

    def show(self, renderable: RenderableType) -> None:
        """A table or another drawing."""
        if not self.quiet:
            self._err.print(renderable)

    def note(self, message: str) -> None:
        """Something worth knowing; also kept for the report."""
        self.notes.append(message)
        if not self.quiet:
            self._err.print(f"[yellow]note:[/] {escape(message)}", soft_wrap=True)

    def error(self, error: UnlearnError) -> None:
        """An error and the next step; printed even if quiet."""
        self._err.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
        if error.hint:
            self._err.print(f"\n[bold cyan]hint:[/] {escape(error.hint)}", soft_wrap=True)

    @contextmanager
    def progress(self, what: str, total: int, done: int = 0) -> Iterator[ProgressBar]:
        """A bar on a terminal, a line now and then elsewhere, nothing if quiet."""
        if self.quiet:
            yield ProgressBar(what, total, done)
        elif self._live:
            # The detail takes what is left and is cut at its end; on a narrow terminal the bar is short, then none.
            whole, rest = Column(no_wrap=True), Column(no_wrap=True, overflow="ellipsis", ratio=1)
            width = 24 if self.width >= 110 else 12 if self.width >= 80 else 0
            columns = (
                TextColumn("{task.description}", table_column=whole),
                *([BarColumn(width, table_column=Column(width=width))] if width else []),
                MofNCompleteColumn(table_column=whole.copy()),
                TimeElapsedColumn(table_column=whole.copy()),
                TimeRemainingColumn(table_column=whole.copy()),
                TextColumn("{task.fields[detail]}", markup=False, table_column=rest),
            )
            with Progress(*columns, console=self._err, transient=True, expand=True) as drawn:
                yield _DrawnBar(what, total, done, drawn)
        else:
            bar = _PlainBar(what, total, done, self)
            yield bar
            bar.finish()


def page(lines: Callable[[int], Iterable[Text]]) -> None:
    """A page on stdout, as `lines(width)` gives it; a line that is longer all the same stays whole."""
    drawn = Console(highlight=False)
    for line in lines(drawn.width):
        drawn.print(line, soft_wrap=True)


@contextmanager
def _to_stdout() -> Iterator[None]:
    """Tell a stdout that takes nothing from errors of the work itself."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(error) from error


def unwritable(error: OSError) -> UnlearnError:
    """The error for a stdout that takes nothing."""
    return UnlearnError(f"cannot write to stdout: {error.strerror or error}", exit_code=EXIT_FAILED)


class ProgressBar:
    """Progress of one phase; this one is silent."""

    def __init__(self, what: str, total: int, done: int) -> None:
        self.what, self.total, self.done = what, total, done

    def advance(self, count: int = 1, detail: str = "") -> None:
        """`count` more are done."""
        self.done += count


class _DrawnBar(ProgressBar):
    def __init__(self, what: str, total: int, done: int, drawn: Progress) -> None:
        super().__init__(what, total, done)
        self._drawn = drawn
        self._task = drawn.add_task(what, total=total, completed=done, detail="")

    def advance(self, count: int = 1, detail: str = "") -> None:
        super().advance(count)
        self._drawn.update(self._task, completed=self.done, detail=detail)


class _PlainBar(ProgressBar):
    def __init__(self, what: str, total: int, done: int, reporter: Reporter) -> None:
        super().__init__(what, total, done)
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
        line = f"{self.what} {self.done}/{self.total} {spent:.0f}s"
        self._reporter.say(f"{line}: {self._detail}" if self._detail else line)
