"""One of two drawings, whichever the terminal has room for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

UNBOUNDED = 10_000
USUAL = 80  # characters of a line from which on nothing is left out, and names fold instead


@dataclass(frozen=True)
class Fitted:
    """`full` on a usual terminal and wherever it fits, else `narrow`; a column of both must be able to fold."""

    full: Callable[[], Table]
    narrow: Callable[[], Table]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn = self.full()
        needed = Measurement.get(console, options.update(width=UNBOUNDED), drawn).maximum
        yield drawn if options.max_width >= min(needed, USUAL) else self.narrow()
