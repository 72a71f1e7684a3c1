"""Progress of long work, on standard error: bars on a terminal, and elsewhere a plain line now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
from rich.text import Text

from diffclient.cli.pace import Pace
from diffclient.plain_text import printable
from diffserver.cli.output import moving_bars, progress_console, warn

Unit = Literal["share", "bytes"]


class Bar:
    """How far one piece of work is; whoever shows it hears of each change."""

    def __init__(self, what: str, total: float | None, unit: Unit, changed: Callable[[Bar], None]) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, 0.0
        self._changed = changed

    def move(self, done: float, what: str | None = None, total: float | None = None) -> None:
        """Say how much is done, and what is being done or how much there is, if that changed."""
        self.done, self.what, self.total = done, what or self.what, total or self.total
        self._changed(self)

    def advance(self, by: float) -> None:
        """Say that so much more is done."""
        self.move(self.done + by)

    def amount(self) -> str:
        """Return how much is done, in words."""
        if self.unit == "bytes":
            whole = "" if self.total is None else f" of {self.total / 1e6:,.1f}"
            return f"{self.done / 1e6:,.1f}{whole} MB"
        return f"{self.done / (self.total or 1.0):.0%}"


class Bars:
    """The bars of one command, as lines: one of the work that moved, whenever one is due."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._last: Bar | None = None

    def add(self, what: str, total: float | None = 1.0, unit: Unit = "share") -> Bar:
        """Return a new bar."""
        return Bar(what, total, unit, self._show)

    def say(self, text: str) -> None:
        """Print a line between."""
        warn(text)

    def end(self) -> None:
        """Tell that all is done, if lines were told before."""
        if self._last and self._pace.told:
            warn(f"{self._last.what.strip()}: done after {self._pace.seconds():.0f} s")

    def _show(self, bar: Bar) -> None:
        self._last = bar
        if self._pace.due():
            warn(f"{bar.what.strip()}: {bar.amount()}")


class _OnTerminal(Bars):
    """The same as bars that move."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown

    def add(self, what: str, total: float | None = 1.0, unit: Unit = "share") -> Bar:
        number = self._shown.add_task(what, total=total, amount="")
        return Bar(
            what,
            total,
            unit,
            lambda bar: self._shown.update(
                number, completed=bar.done, total=bar.total, description=bar.what, amount=bar.amount()
            ),
        )

    def say(self, text: str) -> None:
        self._shown.console.print(text)


class _Plain(ProgressColumn):
    """A field of a bar's task, which rich's own column would parse as markup."""

    def __init__(self, text: Callable[[Task], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        """Return it as one line."""
        return Text(printable(self._text(task)))


@contextmanager
def bars(pace: Pace | None = None) -> Iterator[Bars]:
    """Yield where work that runs in the block tells how far it is."""
    if not progress_console.is_terminal:
        lines = Bars(pace or Pace())
        yield lines
        lines.end()
        return
    columns = (
        _Plain(lambda task: task.description),
        BarColumn(),
        _Plain(lambda task: task.fields["amount"]),
        TimeElapsedColumn(),
    )
    with moving_bars(*columns) as shown:
        yield _OnTerminal(shown)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[float, str], bool]]:
    """Yield what moves a bar, to a share that is done, with a message, while the block runs."""
    with bars() as shown:
        bar = shown.add(what)

        def move(done: float, message: str) -> bool:
            bar.move(done, message)
            return True

        yield move
        move(1.0, what)  # which may have been done already
